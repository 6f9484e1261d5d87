"""segzoo: a plug-in based model zoo for semantic segmentation.

Every public name is imported when it is first used (PEP 562), so ``import segzoo`` costs nothing
and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: The version that is installed.
__version__ = "0.1.0"

if TYPE_CHECKING:
    from segzoo import errors, hooks, interfaces, specs, zoo
    from segzoo.creation import create
    from segzoo.data_check import check_data
    from segzoo.drawing import Drawing, draw
    from segzoo.evaluation import evaluate
    from segzoo.exporting import export
    from segzoo.hooks import hookimpl
    from segzoo.listing import (
        list_datasets,
        list_decoders,
        list_encoders,
        list_losses,
        list_metrics,
        list_models,
        list_recipes,
        list_weights,
    )
    from segzoo.prediction import Predictor, Segmentation, predict
    from segzoo.segmenter import Adapted, SegmentationModel, Segmenter
    from segzoo.training import train
    from segzoo.weights import load, push, save
    from segzoo.weights.conversion import convert

_WHERE = {
    "Adapted": "segzoo.segmenter",
    "Drawing": "segzoo.drawing",
    "Predictor": "segzoo.prediction",
    "Segmentation": "segzoo.prediction",
    "SegmentationModel": "segzoo.segmenter",
    "Segmenter": "segzoo.segmenter",
    "check_data": "segzoo.data_check",
    "convert": "segzoo.weights.conversion",
    "create": "segzoo.creation",
    "draw": "segzoo.drawing",
    "errors": "",
    "evaluate": "segzoo.evaluation",
    "export": "segzoo.exporting",
    "hookimpl": "segzoo.hooks",
    "hooks": "",
    "interfaces": "",
    "list_datasets": "segzoo.listing",
    "list_decoders": "segzoo.listing",
    "list_encoders": "segzoo.listing",
    "list_losses": "segzoo.listing",
    "list_metrics": "segzoo.listing",
    "list_models": "segzoo.listing",
    "list_recipes": "segzoo.listing",
    "list_weights": "segzoo.listing",
    "load": "segzoo.weights",
    "predict": "segzoo.prediction",
    "push": "segzoo.weights",
    "save": "segzoo.weights",
    "specs": "",
    "train": "segzoo.training",
    "zoo": "",
}

__all__ = [
    "Adapted",
    "Drawing",
    "Predictor",
    "Segmentation",
    "SegmentationModel",
    "Segmenter",
    "__version__",
    "check_data",
    "convert",
    "create",
    "draw",
    "errors",
    "evaluate",
    "export",
    "hookimpl",
    "hooks",
    "interfaces",
    "list_datasets",
    "list_decoders",
    "list_encoders",
    "list_losses",
    "list_metrics",
    "list_models",
    "list_recipes",
    "list_weights",
    "load",
    "predict",
    "push",
    "save",
    "specs",
    "train",
    "zoo",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'segzoo' has no attribute {name!r}")
    try:
        value = getattr(import_module(where), name) if where else import_module(f"segzoo.{name}")
    except ImportError as error:
        raise _explained(error) from error
    globals()[name] = value
    return value


def _explained(error: ImportError) -> ImportError:
    """Return an error that also says that another program's files are in the way, where that is so."""
    from segzoo.distribution import damage

    told = damage() if (error.name or "").partition(".")[0] == "segzoo" else ""
    return type(error)(f"{error}; {told}", name=error.name, path=error.path) if told else error


def __dir__() -> list[str]:
    return __all__
