"""Training: a recipe, which is data, and the loop that follows it."""

from __future__ import annotations

from segzoo.training.loop import TrainingResult, train
from segzoo.training.recipe import Recipe

__all__ = ["Recipe", "TrainingResult", "train"]
