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
    "outputs.interface": "Band Output OutputOptions",
    "outputs.writing": "write_outputs",
    "postprocessing": "Instances",
    "predictor": "Predictor predict",
    "segmentation": "Segmentation",
    "splitting": "split_instances",
}

# Lazy, because a segmentation can be drawn without torch, while the predictor needs it.
__getattr__, __dir__ = lazy_names(__name__, _WHERE)
