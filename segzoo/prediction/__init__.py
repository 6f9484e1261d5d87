"""Prediction: image files or arrays in, masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.prediction.predictor import Predictor, predict
    from segzoo.prediction.segmentation import Segmentation

__all__ = ["Predictor", "Segmentation", "predict"]

_WHERE = {
    "Predictor": "predictor",
    "Segmentation": "segmentation",
    "predict": "predictor",
}

# A segmentation draws itself without torch, which the predictor needs.
__getattr__, __dir__ = lazy_names(__name__, _WHERE)
