"""Prediction: image files or arrays in, masks out."""

from __future__ import annotations

from segzoo.prediction.predictor import predict
from segzoo.prediction.segmentation import Segmentation

__all__ = ["Segmentation", "predict"]
