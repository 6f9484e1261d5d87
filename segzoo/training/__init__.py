"""Training: a recipe, which is data, and the loop that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.training.choosing import Chosen, calibrate, choose
    from segzoo.training.entry import TrainingResult, train
    from segzoo.training.folds import CrossValidation, cross_validate
    from segzoo.training.rate_test import RateTest, find_rate
    from segzoo.training.recipe.schema import Recipe
    from segzoo.training.tuning import Trial, Tuning, tune

__all__ = [
    "Chosen",
    "CrossValidation",
    "RateTest",
    "Recipe",
    "TrainingResult",
    "Trial",
    "Tuning",
    "calibrate",
    "choose",
    "cross_validate",
    "find_rate",
    "train",
    "tune",
]

_WHERE = {
    **dict.fromkeys(("Chosen", "calibrate", "choose"), "choosing"),
    "CrossValidation": "folds",
    "RateTest": "rate_test",
    "Recipe": "recipe.schema",
    "TrainingResult": "entry",
    "Trial": "tuning",
    "Tuning": "tuning",
    "cross_validate": "folds",
    "find_rate": "rate_test",
    "train": "entry",
    "tune": "tuning",
}

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
