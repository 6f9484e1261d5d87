"""From images to a score: count each image, add up the counts, average the scores of single images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.image import Image, check_image
from segzoo.metrics.rates import mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.specs import Labels

#: Largest number of classes for a confusion matrix, which then takes 128 MB.
MOST_CLASSES = 4096


class Counted:
    """A metric whose images are counted one by one.

    Args:
        labels: labels of the classes.
        contract: rules of the metric as text; two metrics with equal contracts can be merged.
        shape: shape of an image's counts.
        count: returns the counts of an image: an array of that shape, which is summed over images.
        pooled: returns names and values of the scores for the counts of all images together.
        per_image: returns names and values of the scores for one image's counts, which are averaged over
            images; a NaN leaves the image out of that average.

    Both functions return NaN for counts of zero.

    Raises:
        OptionError: the confusion matrix would have more than `MOST_CLASSES` classes.

    Attributes:
        contract: rules of the metric as text.
        counts: sum of the counts so far.
    """

    def __init__(
        self,
        *,
        labels: Labels,
        contract: str,
        shape: tuple[int, ...],
        count: Callable[[Image], NDArray[Any]],
        pooled: Callable[[NDArray[Any]], Mapping[str, float]] | None = None,
        per_image: Callable[[NDArray[Any]], Mapping[str, float]] | None = None,
    ) -> None:
        check_countable(min(shape) if len(shape) == 2 else 0)
        self.labels, self.contract = labels, contract
        self.counts: NDArray[Any] = np.zeros(shape, np.int64)
        self._count, self._pooled, self._per_image = count, pooled, per_image
        names = list(per_image(self.counts)) if per_image else []
        self._sums, self._images = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)

    def update(
        self,
        prediction: NDArray[np.uint8],
        target: NDArray[np.uint8],
        *,
        probabilities: NDArray[np.float32] | None = None,
        instances: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one image; see `segzoo.interfaces.Metric.update`."""
        image = check_image(
            self.labels, prediction, target, probabilities=probabilities, instances=instances, valid=valid
        )
        counts = self._count(image)
        self.counts = self.counts + counts
        for name, value in self._per_image(counts).items() if self._per_image else ():
            if not math.isnan(value):
                self._sums[name] += value
                self._images[name] += 1

    def merge(self, other: Counted) -> None:
        """Add the counts of another metric made with the same options.

        Raises:
            OptionError: it was made with other options.
        """
        check_contracts(self.contract, other.contract)
        if self._sums.keys() != other._sums.keys():
            raise OptionError(
                "one metric keeps each class's score and the other does not: set per_class for both"
            )
        self.counts = self.counts + other.counts
        for name in self._sums:
            self._sums[name] += other._sums[name]
            self._images[name] += other._images[name]

    def compute(self) -> dict[str, float]:
        """Return the scores by name; NaN if nothing was counted."""
        images = self._images
        scores = {
            name: total / images[name] if images[name] else math.nan for name, total in self._sums.items()
        }
        return {**scores, **(self._pooled(self.counts) if self._pooled else {})}


def check_contracts(ours: str, theirs: str) -> None:
    """Raise `OptionError` if two metrics have different rules."""
    if ours != theirs:
        raise OptionError(f"metrics of different contracts cannot be merged: {ours!r} and {theirs!r}")


def average_classes(
    prefix: str,
    values: NDArray[np.float64],
    *,
    names: Sequence[str],
    pixels: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    per_class: bool = False,
) -> dict[str, float]:
    """Return the mean over classes as ``prefix``; with ``per_class`` also each class as ``prefix/class``.

    Args:
        prefix: name of the mean, such as ``pooled`` or ``per_image``.
        values: values of the averaged classes.
        names: names of the same classes.
        pixels: number of pixels that were counted for each class: a class with NaN but with counted pixels is
            in neither mask and counts 1 in its image; in the pooled mean, it counts 1 only if every class is
            absent. ``None`` leaves it out of the mean.
        weights: weights of the classes; equal if ``None``.
        per_class: whether to return the classes too.
    """
    if pixels is not None and (prefix == "per_image" or np.isnan(values).all()):
        values = np.where(np.isnan(values) & (pixels > 0), 1.0, values)
    scores = {prefix: mean(values, weights)}
    if per_class:
        scores |= {f"{prefix}/{name}": float(value) for name, value in zip(names, values, strict=True)}
    return scores


def check_countable(num_classes: int) -> None:
    """Raise `OptionError` if the confusion matrix would not fit in memory."""
    if num_classes > MOST_CLASSES:
        raise OptionError(
            f"scores of {num_classes:,} classes need a confusion matrix with as many rows and columns; at "
            f"most {MOST_CLASSES:,} classes can be scored"
        )
