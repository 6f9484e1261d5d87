"""Scores of a model, or of a folder of predictions, each with the rules (contract) that define it.

Scoring prediction files does not need torch: code that needs it is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.evaluation.classes import for_model
    from segzoo.evaluation.models import evaluate, score_model
    from segzoo.evaluation.predictions import score_predictions
    from segzoo.evaluation.results import Evaluation, Score
    from segzoo.evaluation.writing import write_report

_WHERE = {
    "classes": "for_model",
    "models": "evaluate score_model",
    "predictions": "score_predictions",
    "results": "Evaluation Score",
    "writing": "write_report",
}

__all__ = [
    "Evaluation",
    "Score",
    "evaluate",
    "for_model",
    "score_model",
    "score_predictions",
    "write_report",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
