"""Scores of each class from exact counts, averaged per image and pooled: IoU, Dice and similar."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from segzoo.metrics.confusion import count_apart, count_confusion
from segzoo.metrics.contract import (
    ABSENT,
    describe_average,
    describe_classes,
    describe_ignored,
    scored_classes,
    write_contract,
)
from segzoo.metrics.counting import Counted, average_classes
from segzoo.metrics.rates import FORMULAS, Measure, accuracy, kappa, mcc, rate_of, totals
from segzoo.options import check_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.specs import Labels

_AGREEMENTS = {"accuracy": accuracy, "kappa": kappa, "mcc": mcc}


def class_score(
    *,
    labels: Labels,
    measure: Measure = "dice",
    background: bool = False,
    weights: Literal["equal", "frequency"] = "equal",
    per_class: bool = False,
) -> Counted:
    """A measure of each class, averaged over classes.

    There are two averages, because they answer different questions: ``per_image`` is the mean over images of
    the mean over classes, in which a class in neither mask counts 1; ``pooled`` counts the pixels of all
    images together and averages over the classes that occur.

    Args:
        labels: labels of the classes.
        measure: ``iou``, ``dice`` (which is F1), ``precision``, ``recall`` or ``specificity``.
        background: whether the background is included in the mean.
        weights: weights of classes in the pooled mean: ``equal``, or by ``frequency`` in the ground truth.
        per_class: whether to return ``per_image/class`` and ``pooled/class`` too.

    Raises:
        OptionError: there is no such measure, or there are no such weights.
    """
    check_choice("measure", measure, tuple(FORMULAS))
    check_choice("weights", weights, ("equal", "frequency"))
    classes = scored_classes(labels, background=background)
    weighing = "" if weights == "equal" else ", weighed by its true pixels"
    score = partial(
        _class_means,
        measure=measure,
        classes=classes,
        names=[labels.classes[index] for index in classes],
        weights=weights,
        per_class=per_class,
        overlapping=labels.overlapping,
    )
    return Counted(
        labels=labels,
        contract=write_contract(
            f"{measure} = {FORMULAS[measure]}",
            classes=describe_classes(labels, classes),
            average=describe_average("pixels") + weighing,
            empty=f"{ABSENT}; precision and recall of a class in one mask only are 0",
            ignored=describe_ignored(labels),
        ),
        shape=(4 if labels.overlapping else len(labels.classes), len(labels.classes)),
        count=count_apart if labels.overlapping else count_confusion,
        pooled=partial(score, "pooled"),
        per_image=partial(score, "per_image"),
    )


def _class_means(
    prefix: str,
    counts: NDArray[Any],
    *,
    measure: Measure,
    classes: Sequence[int],
    names: Sequence[str],
    weights: str,
    per_class: bool,
    overlapping: bool,
) -> dict[str, float]:
    counts = (counts if overlapping else totals(counts))[:, list(classes)]
    weighed = counts[2] if weights == "frequency" and prefix == "pooled" else None
    if weighed is not None and not weighed.any():
        weighed = None
    values = rate_of(measure, counts)
    return average_classes(
        prefix, values, names=names, pixels=counts[3], weights=weighed, per_class=per_class
    )


def agreement(*, labels: Labels, measure: Literal["accuracy", "kappa", "mcc"] = "accuracy") -> Counted:
    """A score of the whole confusion matrix, per image and pooled.

    Args:
        labels: labels of the classes.
        measure: ``accuracy``, Cohen's ``kappa`` or Matthews' correlation coefficient ``mcc``.

    Raises:
        OptionError: there is no such measure.
    """
    check_choice("measure", measure, tuple(_AGREEMENTS))
    size = len(labels.classes)
    return Counted(
        labels=labels,
        contract=write_contract(
            measure,
            classes=describe_classes(labels, scored_classes(labels, background=True)),
            average="per_image = mean over images; pooled = pixels of all images counted together",
            empty="where both masks hold one and the same class alone, 1",
            ignored=describe_ignored(labels),
        ),
        shape=(size, size),
        count=count_confusion,
        pooled=partial(_named, "pooled", _AGREEMENTS[measure]),
        per_image=partial(_named, "per_image", _AGREEMENTS[measure]),
    )


def _named(name: str, score: Any, matrix: NDArray[Any]) -> dict[str, float]:
    return {name: score(matrix)}
