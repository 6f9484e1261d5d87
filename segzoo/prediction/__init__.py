"""Prediction: image files or arrays in, masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.prediction.outputs import Band, Output, OutputOptions, write_outputs
    from segzoo.prediction.predictor import Predictor, predict
    from segzoo.prediction.segmentation import Segmentation

__all__ = ["Band", "Output", "OutputOptions", "Predictor", "Segmentation", "predict", "write_outputs"]

_WHERE = {
    **dict.fromkeys(("Band", "Output", "OutputOptions"), "outputs.interface"),
    "Predictor": "predictor",
    "Segmentation": "segmentation",
    "predict": "predictor",
    "write_outputs": "outputs.writing",
}

# A segmentation draws itself without torch, which the predictor needs.
__getattr__, __dir__ = lazy_names(__name__, _WHERE)
