"""The rules that define a number, in words: always the same seven, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.specs import Labels

#: Names of the rules in every contract.
RULES = ("classes", "average", "empty", "ignored", "threshold", "size")

#: The threshold rule of metrics that score class indices, which do not show how they were decided.
AS_GIVEN = "class indices as given (largest probability, or the model's threshold)"

#: The rule for empty masks in most metrics.
ABSENT = "a class in neither mask counts 1 in its image and is left out of the pooled mean"


def describe_average(what: str) -> str:
    """Describe the two averages of most metrics."""
    return (
        f"per_image = mean over images of the mean over classes; pooled = {what} of all images counted "
        "together, mean over classes"
    )


def scored_classes(labels: Labels, *, background: bool) -> tuple[int, ...]:
    """Return the classes that are averaged: all but the ignored one, and the background only if requested.

    Args:
        labels: labels of the masks.
        background: whether the background is included in the mean.
    """
    if labels.overlapping:  # ignored pixels are not a class there
        return labels.foreground
    classes = range(len(labels.classes)) if background else labels.foreground
    return tuple(index for index in classes if index != labels.ignore_index)


def describe_classes(labels: Labels, classes: Sequence[int]) -> str:
    """Name the averaged classes and describe how the background is treated.

    Args:
        labels: labels of the masks.
        classes: indices of the averaged classes, from `scored_classes`.
    """
    names = [labels.classes[index] for index in classes]
    listed = ", ".join(names) if len(names) <= 8 else f"{len(names)} classes, {names[0]} to {names[-1]}"
    index = labels.background
    if labels.overlapping:
        return f"{listed} (each class by itself: a pixel may count in several)"
    if index is None:
        return f"{listed} (no background)"
    return f"{listed} ({labels.classes[index]} {'counted' if index in classes else 'left out'})"


def describe_ignored(labels: Labels) -> str:
    """Describe which pixels are ignored."""
    outside = "pixels outside the field of view where one is given"
    if labels.overlapping:
        return f"for each class, pixels that its truth leaves open; {outside}"
    return outside if labels.ignore_index is None else f"index {labels.ignore_index} in the truth; {outside}"


def write_contract(
    measure: str,
    *,
    classes: str,
    average: str,
    empty: str,
    ignored: str,
    threshold: str = AS_GIVEN,
    size: str = "that of the masks given",
) -> str:
    """Return a contract: the measure, then ``rule: ...`` for each of `RULES`.

    Args:
        measure: formula, such as ``iou = TP / (TP + FP + FN)``.
        classes: which classes are averaged; see `describe_classes`.
        average: over what the score is averaged; see `describe_average` for most metrics.
        empty: how a class counts that is in neither mask, or in only one.
        ignored: which pixels are ignored; see `describe_ignored`.
        threshold: probability above which a pixel has a class.
        size: size at which masks are compared.
    """
    rules = zip(RULES, (classes, average, empty, ignored, threshold, size), strict=True)
    return "; ".join([measure, *(f"{rule}: {text}" for rule, text in rules)])
