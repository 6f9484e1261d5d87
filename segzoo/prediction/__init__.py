"""Prediction: images in, as files or arrays; masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.prediction.outputs import Band, Output, OutputOptions, write_outputs
    from segzoo.prediction.postprocessing import Instances
    from segzoo.prediction.predictor import Predictor, predict
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.prediction.splitting import split_instances

__all__ = [
    "Band",
    "Instances",
    "Output",
    "OutputOptions",
    "Predictor",
    "Segmentation",
    "predict",
    "split_instances",
    "write_outputs",
]

_WHERE = {
    **dict.fromkeys(("Band", "Output", "OutputOptions"), "outputs.interface"),
    "Instances": "postprocessing",
    "Predictor": "predictor",
    "Segmentation": "segmentation",
    "predict": "predictor",
    "split_instances": "splitting",
    "write_outputs": "outputs.writing",
}

# Lazy, because a segmentation can be drawn without torch, while the predictor needs it.
__getattr__, __dir__ = lazy_names(__name__, _WHERE)
