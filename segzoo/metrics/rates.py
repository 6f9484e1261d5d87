"""Scores from a confusion matrix ``[true class, predicted class]``; NaN if a class has no score.

Kappa: Cohen, 1960, doi 10.1177/001316446002000104. The multi-class MCC: Gorodkin, 2004, doi
10.1016/j.compbiolchem.2004.09.006.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Measure = Literal["iou", "dice", "precision", "recall", "specificity"]

FORMULAS: dict[Measure, str] = {
    "iou": "TP / (TP + FP + FN)",
    "dice": "2 TP / (2 TP + FP + FN)",
    "precision": "TP / (TP + FP)",
    "recall": "TP / (TP + FN)",
    "specificity": "TN / (TN + FP)",
}


def totals(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return ``(4, classes)``: correct, predicted and true pixels of every class, and all pixels."""
    size = np.full(len(matrix), matrix.sum())
    return np.stack([np.diagonal(matrix), matrix.sum(0), matrix.sum(1), size])


def rate(measure: Measure, matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Return a measure of every class of a confusion matrix; see `rate_of`."""
    return rate_of(measure, totals(matrix))


def rate_of(measure: Measure, counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return a measure of every class, from counts as `totals` returns them.

    The result is NaN for a class in neither mask (and for the specificity of a class that covers the whole
    ground truth), and 0 for the precision or recall of a class in only one of the masks.

    Raises:
        OptionError: there is no such measure.
    """
    common, predicted, true, total = counts
    either = predicted + true - common
    match measure:
        case "iou":
            return ratio(common, either)
        case "dice":
            return ratio(2 * common, predicted + true)
        case "precision":
            return np.where(either > 0, ratio(common, predicted, empty=0.0), np.nan)
        case "recall":
            return np.where(either > 0, ratio(common, true, empty=0.0), np.nan)
        case "specificity":
            return np.where(either > 0, ratio(total - either, total - true), np.nan)
    raise OptionError(f"measure must be one of {', '.join(get_args(Measure))}, got {measure!r}")


def ratio(top: NDArray[Any], bottom: NDArray[Any], *, empty: float = math.nan) -> NDArray[np.float64]:
    """Divide, with ``empty`` where the divisor is 0."""
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), empty)


def mean(values: NDArray[np.float64], weights: NDArray[Any] | None = None) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    known = ~np.isnan(values)
    weights = known.astype(float) if weights is None else np.where(known, weights, 0).astype(float)
    total = weights.sum()
    return float((np.where(known, values, 0) * weights).sum() / total) if total else math.nan


def accuracy(matrix: NDArray[Any]) -> float:
    """Return the share of pixels with the correct class."""
    total = matrix.sum()
    return float(np.trace(matrix) / total) if total else math.nan


def kappa(matrix: NDArray[Any]) -> float:
    """Return Cohen's kappa; 1 if both masks hold only one class, and the same one."""
    right, total, predicted, true = _exact(matrix)
    if not total:
        return math.nan
    chance = sum(map(_product, predicted, true))
    bottom = total * total - chance
    return (right * total - chance) / bottom if bottom else 1.0


def mcc(matrix: NDArray[Any]) -> float:
    """Return Matthews' correlation coefficient; if a mask holds only one class, 1 if both agree, else 0."""
    right, total, predicted, true = _exact(matrix)
    if not total:
        return math.nan
    top = right * total - sum(map(_product, predicted, true))
    spread = [total * total - sum(map(_product, side, side)) for side in (predicted, true)]
    if not all(spread):
        return float(right == total)
    return min(top / math.sqrt(spread[0] * spread[1]), 1.0)


def summary(matrix: NDArray[Any], *, names: Sequence[str], classes: Sequence[int]) -> dict[str, float]:
    """Return every score of a matrix: over classes, then ``measure/class`` for each class."""
    measures = get_args(Measure)
    rates = {measure: rate(measure, matrix) for measure in measures}
    chosen = list(classes)
    scores = {
        "accuracy": accuracy(matrix),
        "kappa": kappa(matrix),
        "mcc": mcc(matrix),
        **{f"mean_{measure}": mean(rates[measure][chosen]) for measure in measures},
        "fw_iou": mean(rates["iou"][chosen], matrix.sum(1)[chosen]),
    }
    for measure in measures:
        scores |= {f"{measure}/{names[index]}": float(rates[measure][index]) for index in chosen}
    return scores


def _exact(matrix: NDArray[Any]) -> tuple[int, int, list[int], list[int]]:
    """Return correct and all pixels, predicted and true pixels per class, as integers of any size."""
    return int(np.trace(matrix)), int(matrix.sum()), matrix.sum(0).tolist(), matrix.sum(1).tolist()


def _product(one: int, other: int) -> int:
    return one * other
