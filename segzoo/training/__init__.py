"""Training: a recipe, which is data, and the loop that follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.training.folds import CrossValidation, cross_validate
    from segzoo.training.loop import TrainingResult, train
    from segzoo.training.recipe import Recipe

__all__ = ["CrossValidation", "Recipe", "TrainingResult", "cross_validate", "train"]

_WHERE = {
    "CrossValidation": "folds",
    "Recipe": "recipe",
    "TrainingResult": "loop",
    "cross_validate": "folds",
    "train": "loop",
}

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
