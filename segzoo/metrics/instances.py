"""Scores of single objects, such as nuclei: AP, aggregated Jaccard index, panoptic quality and counts.

AP: Caicedo et al., 2019, doi 10.1038/s41592-019-0612-7 (Data Science Bowl 2018). AJI: Kumar et al., 2017, doi
10.1109/TMI.2017.2677499. Panoptic quality: Kirillov et al., 2019, arXiv:1801.00868.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.metrics.contract import (
    describe_average,
    describe_classes,
    describe_ignored,
    scored_classes,
    write_contract,
)
from segzoo.metrics.counting import Counted, average_classes
from segzoo.metrics.extras import load_ndimage
from segzoo.metrics.objects import describe_objects, label_class, meet
from segzoo.metrics.rates import ratio
from segzoo.options import check_connectivity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.metrics.objects import Meetings
    from segzoo.specs import Labels

#: IoU thresholds for pairs of objects, in hundredths, as in the Data Science Bowl 2018.
_LEVELS = range(50, 100, 5)
_EMPTY = "a class without objects in either mask is left out; objects in one mask only count 0"


def object_precision(*, labels: Labels, connectivity: int = 8, per_class: bool = False) -> Counted:
    """AP = TP / (TP + FP + FN) of objects; a pair is a true positive if its IoU exceeds 0.5.

    This is the "average precision" of the Data Science Bowl 2018, StarDist and Cellpose: a ratio at one IoU.
    It is not the area under a curve over confidences, which COCO calls AP and which, for pixels, is the
    metric ``average-precision``. ``/0.75`` is the same for IoU above 0.75, ``/0.5:0.95`` the mean over IoU
    above 0.5, 0.55, ..., 0.95.

    Args:
        labels: labels of the classes; the background has no objects.
        connectivity: 4 or 8, for connected components if no instances are given.
        per_class: whether to return the score of each class as well.

    Raises:
        OptionError: connectivity is neither 4 nor 8.
        MissingExtraError: SciPy is not installed.
    """
    return _metric(
        labels,
        "AP of objects (Data Science Bowl 2018, StarDist) = TP / (TP + FP + FN), objects pair at IoU above "
        "0.5; /0.75 at IoU above 0.75; /0.5:0.95 mean over IoU above 0.5, 0.55, ..., 0.95; no curve over "
        "confidences",
        connectivity,
        per_class,
        count=_count_levels,
        rows=len(_LEVELS) + 2,
        scores=_score_levels,
    )


def aggregated_jaccard(*, labels: Labels, connectivity: int = 8, per_class: bool = False) -> Counted:
    """AJI: every true object against the predicted object with the largest IoU; the rest adds to the union.

    Args:
        labels: labels of the classes; the background has no objects.
        connectivity: 4 or 8, for connected components if no instances are given.
        per_class: whether to return the score of each class as well.

    Raises:
        OptionError: connectivity is neither 4 nor 8.
        MissingExtraError: SciPy is not installed.
    """
    return _metric(
        labels,
        "aggregated Jaccard index: for each true object the predicted one of largest IoU, which may serve "
        "twice; predicted objects that served none add to the union",
        connectivity,
        per_class,
        count=_count_jaccard,
        rows=2,
        scores=_score_jaccard,
    )


def panoptic_quality(*, labels: Labels, connectivity: int = 8, per_class: bool = False) -> Counted:
    """PQ = sum of IoU / (TP + FP / 2 + FN / 2); a pair is a true positive if its IoU exceeds 0.5.

    ``/segmentation`` is the mean IoU of the true positives, ``/recognition`` the F1 score of detection.

    Args:
        labels: labels of the classes; the background has no objects.
        connectivity: 4 or 8, for connected components if no instances are given.
        per_class: whether to return the score of each class as well.

    Raises:
        OptionError: connectivity is neither 4 nor 8.
        MissingExtraError: SciPy is not installed.
    """
    return _metric(
        labels,
        "panoptic quality = sum of IoU / (TP + FP / 2 + FN / 2), objects pair at IoU above 0.5",
        connectivity,
        per_class,
        count=_count_panoptic,
        rows=4,
        scores=_score_panoptic,
    )


def count_error(*, labels: Labels, connectivity: int = 8, per_class: bool = False) -> Counted:
    """Difference between the predicted and the true number of objects, wherever they are.

    ``per_image`` is a number of objects; ``pooled`` is a share of all true objects, in which too many in one
    image do not compensate for too few in another.

    Args:
        labels: labels of the classes; the background has no objects.
        connectivity: 4 or 8, for connected components if no instances are given.
        per_class: whether to return the score of each class as well.

    Raises:
        OptionError: connectivity is neither 4 nor 8.
        MissingExtraError: SciPy is not installed.
    """
    return _metric(
        labels,
        "count error = |objects predicted - true objects|: per_image in objects, pooled as a share of the "
        "true ones",
        connectivity,
        per_class,
        count=_count_objects,
        rows=3,
        scores=_score_shares,
        per_image=_score_counts,
        empty="a class without objects in either mask is left out, and pooled one without true objects",
    )


def _metric(
    labels: Labels,
    measure: str,
    connectivity: int,
    per_class: bool,
    *,
    count: Callable[[Meetings], tuple[float, ...]],
    rows: int,
    scores: Callable[[NDArray[Any]], Mapping[str, NDArray[np.float64]]],
    per_image: Callable[[NDArray[Any]], Mapping[str, NDArray[np.float64]]] | None = None,
    empty: str = _EMPTY,
) -> Counted:
    check_connectivity(connectivity)
    load_ndimage()
    classes = scored_classes(labels, background=False)
    names = [labels.classes[index] for index in classes]
    score = partial(_means, names=names, per_class=per_class)
    return Counted(
        labels=labels,
        contract=write_contract(
            f"{measure}; {describe_objects(connectivity)}",
            classes=describe_classes(labels, classes),
            average=describe_average("objects"),
            empty=empty,
            ignored=f"{describe_ignored(labels)}; they are cut out of objects",
        ),
        shape=(rows, len(classes)),
        count=partial(_count, count=count, classes=classes, connectivity=connectivity),
        pooled=partial(score, "pooled", scores=scores),
        per_image=partial(score, "per_image", scores=per_image or scores),
    )


def _count(
    image: Image,
    *,
    count: Callable[[Meetings], tuple[float, ...]],
    classes: Sequence[int],
    connectivity: int,
) -> NDArray[np.float64]:
    columns = [count(meet(*label_class(image, index, connectivity))) for index in classes]
    return np.array(columns, np.float64).T


def _means(
    prefix: str,
    counts: NDArray[Any],
    *,
    scores: Callable[[NDArray[Any]], Mapping[str, NDArray[np.float64]]],
    names: Sequence[str],
    per_class: bool,
) -> dict[str, float]:
    result: dict[str, float] = {}
    for part, values in scores(counts).items():
        result |= average_classes(prefix + part, values, names=names, per_class=per_class)
    return result


def _overlaps(
    meetings: Meetings,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[Any], NDArray[Any]]:
    """Return which pairs consist of two objects, their IoU, and the areas of the objects on both sides."""
    areas = meetings.areas(meetings.predicted), meetings.areas(meetings.true)
    both = (meetings.predicted > 0) & (meetings.true > 0)
    either = areas[0][meetings.predicted] + areas[1][meetings.true] - meetings.pixels
    return both, np.where(both, meetings.pixels / either, 0.0), *areas


def _number(areas: NDArray[Any]) -> int:
    """Return the number of objects; areas are indexed by number, and number 0 is no object."""
    return int(np.count_nonzero(areas[1:]))


def _count_jaccard(meetings: Meetings) -> tuple[float, ...]:
    """Return intersection and union."""
    both, iou, predicted_areas, true_areas = _overlaps(meetings)
    order = np.flatnonzero(both)
    order = order[np.lexsort((-iou[order], meetings.true[order]))]
    # The first pair of each true object is the one with the largest IoU.
    found, first = np.unique(meetings.true[order], return_index=True)
    best = order[first]
    used = meetings.predicted[best]
    common = int(meetings.pixels[best].sum())
    union = int(true_areas[found].sum() + predicted_areas[used].sum()) - common
    lost, spare = true_areas.copy(), predicted_areas.copy()
    lost[found] = spare[used] = 0
    return common, union + int(lost[1:].sum() + spare[1:].sum())


def _score_jaccard(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    return {"": ratio(counts[0], counts[1])}


def _count_levels(meetings: Meetings) -> tuple[float, ...]:
    """Return the number of pairs above each IoU, and of objects on both sides."""
    both, iou, predicted_areas, true_areas = _overlaps(meetings)
    # Above an IoU of one half, each object has at most one partner.
    pairs = [int(np.count_nonzero(iou[both] > level / 100)) for level in _LEVELS]
    return *pairs, _number(predicted_areas), _number(true_areas)


def _score_levels(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    *pairs, predicted, true = counts
    found = [ratio(right, predicted + true - right) for right in pairs]
    three_quarters = _LEVELS.index(75)
    return {"": found[0], "/0.75": found[three_quarters], "/0.5:0.95": np.mean(found, axis=0)}


def _count_panoptic(meetings: Meetings) -> tuple[float, ...]:
    """Return the sum of IoU, and TP, FP and FN."""
    both, iou, predicted_areas, true_areas = _overlaps(meetings)
    paired = both & (iou > 0.5)
    pairs = int(np.count_nonzero(paired))
    extra, missed = _number(predicted_areas) - pairs, _number(true_areas) - pairs
    return math.fsum(iou[paired]), pairs, extra, missed


def _score_panoptic(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    overlap, pairs, extra, missed = counts
    halves = pairs + (extra + missed) / 2
    return {
        "": ratio(overlap, halves),
        "/segmentation": ratio(overlap, pairs),
        "/recognition": ratio(pairs, halves),
    }


def _count_objects(meetings: Meetings) -> tuple[float, ...]:
    """Return the difference of the numbers of objects, and both numbers."""
    predicted, true = (_number(meetings.areas(side)) for side in (meetings.predicted, meetings.true))
    return abs(predicted - true), predicted, true


def _score_counts(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    difference, predicted, true = counts
    return {"": np.where(predicted + true > 0, difference, math.nan)}


def _score_shares(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    return {"": ratio(counts[0], counts[2])}
