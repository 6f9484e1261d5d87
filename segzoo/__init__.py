"""segzoo: a plug-in based model zoo for semantic segmentation.

Every public name is imported when it is first used (PEP 562), so ``import segzoo`` costs nothing
and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from segzoo.lazy import lazy_names

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

_MODULES = ("errors", "hooks", "interfaces", "specs", "zoo")

_get, __dir__ = lazy_names(
    __name__,
    {
        "creation": "create",
        "data_check": "check_data",
        "drawing": "Drawing draw",
        "evaluation": "evaluate",
        "exporting": "export",
        "hooks": "hookimpl",
        "listing": "list_datasets list_decoders list_encoders list_losses list_metrics list_models "
        "list_recipes list_weights",
        "prediction": "Predictor Segmentation predict",
        "segmenter": "Adapted SegmentationModel Segmenter",
        "training": "train",
        "weights": "load push save",
        "weights.conversion": "convert",
    },
)

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
    try:
        return import_module(f"segzoo.{name}") if name in _MODULES else _get(name)
    except ImportError as error:
        raise _explained(error) from error


def _explained(error: ImportError) -> ImportError:
    """Return an error that also says that another program's files are in the way, where that is so."""
    from segzoo.distribution import damage

    told = damage() if (error.name or "").partition(".")[0] == "segzoo" else ""
    return type(error)(f"{error}; {told}", name=error.name, path=error.path) if told else error
