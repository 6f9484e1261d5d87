"""Areas under curves over all thresholds: ROC-AUC and average precision, exact and mergeable.

A float32 probability has one of about a billion values, ordered as its bits are. So counts per value are kept
instead of pixels: exact for any number of images, and merged by addition.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.contract import describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.metrics.counting import average_classes, check_contracts
from segzoo.metrics.image import check_image, check_probable
from segzoo.options import check_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels

_NAMES = {
    "roc-auc": "area under the ROC curve, ties counted half",
    "average-precision": "average precision = sum of (R_n - R_n-1) P_n, not interpolated",
}
_EMPTY = "a class that no pixel, or every pixel, has in the truth is left out"


class Curve:
    """The area under a curve for each foreground class against the rest, per image and pooled.

    Args:
        labels: labels of the classes.
        measure: ``roc-auc`` or ``average-precision``.
        bins: number of equal bins of probability, to limit memory; ``None`` is exact, and needs 12 bytes for
            each distinct probability.
        per_class: whether to return the score of each class as well.

    Raises:
        OptionError: there is no such measure, or ``bins`` is out of range.
    """

    def __init__(
        self,
        *,
        labels: Labels,
        measure: Literal["roc-auc", "average-precision"] = "roc-auc",
        bins: int | None = None,
        per_class: bool = False,
    ) -> None:
        check_choice("measure", measure, tuple(_NAMES))
        if bins is not None and not 2 <= bins <= 1 << 24:
            raise OptionError(f"bins must be between 2 and {1 << 24}, got {bins}")
        self.labels, self.measure, self.bins, self.per_class = labels, measure, bins, per_class
        self._area = _roc_auc if measure == "roc-auc" else _average_precision
        self.classes = scored_classes(labels, background=False)
        self._histograms = [_Histogram() for _ in self.classes]
        self._sums, self._images = np.zeros(len(self.classes)), np.zeros(len(self.classes), np.int64)
        exact = "every probability" if bins is None else f"{bins} equal bins of probability"
        self.contract = write_contract(
            _NAMES[measure],
            classes=f"each against the rest: {describe_classes(labels, self.classes)}",
            average="per_image = mean over classes of the mean over images; pooled = pixels of all images "
            "counted together, mean over classes",
            empty=_EMPTY,
            ignored=describe_ignored(labels),
            threshold=f"{exact} is one",
        )

    def update(
        self,
        prediction: NDArray[np.uint8],
        target: NDArray[np.uint8],
        *,
        probabilities: NDArray[np.float32] | None = None,
        instances: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one image; see `segzoo.interfaces.Metric.update`. Probabilities are required."""
        if probabilities is None:
            raise OptionError(f"{self.measure} needs probabilities: pass probabilities=(num_classes, H, W)")
        image = check_image(self.labels, prediction, target, probabilities=probabilities, valid=valid)
        assert image.probabilities is not None
        for column, index in enumerate(self.classes):
            mask, true = image.counted_for(index), image.of_class(index)[1]
            counted = ... if mask is None else mask
            codes = self._codes(image.probabilities[index][counted]) << np.uint32(1)
            codes |= true[counted].ravel()
            seen = _Histogram()
            seen.add(*_runs(np.sort(codes)))
            area = self._area(*seen.split())
            if not math.isnan(area):
                self._sums[column] += area
                self._images[column] += 1
            self._histograms[column].add(seen.codes, seen.counts)

    def merge(self, other: Curve) -> None:
        """Add the counts of another metric with the same contract."""
        check_contracts(self.contract, other.contract)
        for ours, theirs in zip(self._histograms, other._histograms, strict=True):
            ours.add(theirs.codes, theirs.counts)
        self._sums += other._sums
        self._images += other._images

    def compute(self) -> dict[str, float]:
        """Return ``per_image`` and ``pooled``, each in [0, 1]; NaN if nothing was counted."""
        names = [self.labels.classes[index] for index in self.classes]
        images = np.where(self._images > 0, self._sums / np.maximum(self._images, 1), np.nan)
        pooled = np.array([self._area(*histogram.split()) for histogram in self._histograms])
        return {
            **average_classes("per_image", images, names=names, per_class=self.per_class),
            **average_classes("pooled", pooled, names=names, per_class=self.per_class),
        }

    def _codes(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint32]:
        """Return integers below 2 ** 31 in the order of the probabilities."""
        values = np.ascontiguousarray(probabilities).ravel()
        check_probable(values)
        if self.bins is not None:
            return np.minimum(values.astype(np.float64) * self.bins, self.bins - 1).astype(np.uint32)
        # Adding 0 turns -0 into 0, whose bits are the smallest.
        return (values + np.float32(0)).view(np.uint32)


class _Histogram:
    """Counts by code; they are sorted and merged when they are read."""

    def __init__(self) -> None:
        self._codes: list[NDArray[np.uint32]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._settled = 0

    def add(self, codes: NDArray[np.uint32], counts: NDArray[np.int64]) -> None:
        self._codes.append(codes)
        self._counts.append(counts)
        # Merging when the size has doubled limits memory to twice what is needed.
        if sum(part.size for part in self._codes) > 2 * self._settled + (1 << 20):
            self._settle()

    @property
    def codes(self) -> NDArray[np.uint32]:
        self._settle()
        return self._codes[0]

    @property
    def counts(self) -> NDArray[np.int64]:
        self._settle()
        return self._counts[0]

    def split(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return positives and negatives by decreasing probability, each probability once."""
        values, which = np.unique(self.codes >> 1, return_inverse=True)
        true = (self.codes & 1).astype(bool)
        sides = (np.where(true, self.counts, 0), np.where(true, 0, self.counts))
        positives, negatives = (
            np.bincount(which, side.astype(np.float64), values.size).astype(np.float64) for side in sides
        )
        return positives[::-1], negatives[::-1]

    def _settle(self) -> None:
        if len(self._codes) != 1:
            codes = np.concatenate([np.empty(0, np.uint32), *self._codes])
            counts = np.concatenate([np.empty(0, np.int64), *self._counts])
            known, which = np.unique(codes, return_inverse=True)
            total = np.bincount(which, weights=counts, minlength=known.size).astype(np.int64)
            self._codes, self._counts, self._settled = [known], [total], known.size


def _runs(codes: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return each distinct sorted code, and how often it occurs."""
    if not codes.size:
        return codes, np.empty(0, np.int64)
    ends = np.append(np.flatnonzero(codes[1:] != codes[:-1]), codes.size - 1)
    return codes[ends], np.diff(ends, prepend=-1)


def _roc_auc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return math.nan
    # A positive beats every negative of lower probability, and half of those with equal probability.
    below = negatives.sum() - np.cumsum(negatives)
    return float((positives * (below + negatives / 2)).sum() / pairs)


def _average_precision(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    total = positives.sum()
    if not total or not negatives.sum():
        return math.nan
    true = np.cumsum(positives)
    return float((positives * true / (true + np.cumsum(negatives))).sum() / total)
