"""The rules of a number in words, always the same seven in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.specs import Labels

#: Each is followed by its rule in every contract.
RULES = ("classes", "average", "empty", "ignored", "threshold", "size")

#: Of metrics that score class indices, which say nothing of how they were decided.
AS_GIVEN = "class indices as given (largest probability, or the model's threshold)"

#: The rule for empty masks of most metrics.
ABSENT = "a class in neither mask counts 1 in its image and is left out of the pooled mean"


def describe_average(what: str) -> str:
    """Say the two averages of most metrics."""
    return (
        f"per_image = mean over images of the mean over classes; pooled = {what} of all images counted "
        "together, mean over classes"
    )


def scored_classes(labels: Labels, *, background: bool) -> tuple[int, ...]:
    """Return the classes that are averaged: all but the ignored one, and the background only if asked for.

    Args:
        labels: of the masks.
        background: whether the background is averaged too.
    """
    if labels.overlapping:  # what is ignored is no class of its own
        return labels.foreground
    classes = range(len(labels.classes)) if background else labels.foreground
    return tuple(index for index in classes if index != labels.ignore_index)


def describe_classes(labels: Labels, classes: Sequence[int]) -> str:
    """Name the averaged classes and say what becomes of the background.

    Args:
        labels: of the masks.
        classes: the indices that are averaged, as `scored_classes` returns them.
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
    """Say which pixels count for nothing."""
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
        measure: the formula, such as ``iou = TP / (TP + FP + FN)``.
        classes: which are averaged: `describe_classes` says it.
        average: over what: `describe_average` says the two of most metrics.
        empty: what becomes of a class that is in neither mask, or in one alone.
        ignored: which pixels count for nothing: `describe_ignored` says it.
        threshold: from which probability on a pixel is of a class.
        size: at which size masks are compared.
    """
    rules = zip(RULES, (classes, average, empty, ignored, threshold, size), strict=True)
    return "; ".join([measure, *(f"{rule}: {text}" for rule, text in rules)])
