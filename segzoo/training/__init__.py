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
    "choosing": "Chosen calibrate choose",
    "entry": "TrainingResult train",
    "folds": "CrossValidation cross_validate",
    "rate_test": "RateTest find_rate",
    "recipe.schema": "Recipe",
    "tuning": "Trial Tuning tune",
}

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
