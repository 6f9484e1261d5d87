"""Prediction: image files or arrays in, masks out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segzoo.prediction.predictor import predict
    from segzoo.prediction.ready import Predictor
    from segzoo.prediction.segmentation import Segmentation

__all__ = ["Predictor", "Segmentation", "predict"]

_WHERE = {
    "Predictor": "segzoo.prediction.ready",
    "Segmentation": "segzoo.prediction.segmentation",
    "predict": "segzoo.prediction.predictor",
}


def __getattr__(name: str) -> Any:
    # A segmentation draws itself without torch, which the predictor needs.
    if name not in _WHERE:
        raise AttributeError(f"module 'segzoo.prediction' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
