"""Calibration of probabilities: calibration error, Brier score and log-likelihood, from exact sums.

If each pixel has one class, calibration concerns the most probable class: of the pixels with confidence 80 %,
80 % should be correct (Guo et al., 2017, arXiv:1706.04599). If classes overlap, each class is considered
separately: of the pixels with probability 80 %, 80 % should have the class in the ground truth.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.contract import describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.metrics.counting import Counted
from segzoo.metrics.image import check_probable
from segzoo.options import check_integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels

#: More bins would be finer than the resolution of float32 near 1.
_MOST_BINS = 1 << 16
#: Smallest probability whose logarithm is taken, so that a single confident error stays finite.
LEAST = 1e-7
_AVERAGES = "per_image = mean over images; pooled = pixels of all images counted together"


def calibration_error(*, labels: Labels, bins: int = 15) -> Counted:
    """Expected calibration error (ECE), per image and pooled.

    Args:
        labels: labels of the classes.
        bins: number of bins of equal width for the probabilities.

    Raises:
        OptionError: ``bins`` is out of range.
    """
    check_integer("bins", bins, 1, _MOST_BINS)
    return Counted(
        labels=labels,
        contract=write_contract(
            f"ece = sum over {bins} bins of (pixels in the bin / all pixels) |mean confidence - share of "
            f"right ones|, bins of equal width, ((i - 1) / {bins}, i / {bins}], the first with 0",
            classes=_classes(labels),
            average=_AVERAGES,
            empty="an image without a pixel that counts is left out",
            ignored=describe_ignored(labels),
            threshold="none: the confidence is the largest probability of a pixel"
            if not labels.overlapping
            else "none: the confidence is the probability of the class",
        ),
        shape=(3, bins),
        count=partial(_binned, bins=bins),
        pooled=partial(_named, "pooled", _error),
        per_image=partial(_named, "per_image", _error),
    )


def brier(*, labels: Labels) -> Counted:
    """Brier score: the mean squared difference between probabilities and ground truth, per image and pooled.

    Args:
        labels: labels of the classes.
    """
    several = len(labels.classes) > 2 and not labels.overlapping
    return _mean(
        labels,
        "brier = mean over pixels of the "
        + ("sum over classes of (p - y)^2, y = 1 for the true class, else 0" if several else "(p - y)^2"),
        partial(_squares, several=several),
    )


def likelihood(*, labels: Labels) -> Counted:
    """Negative log-likelihood of the ground truth (cross-entropy), in nats per pixel, per image and pooled.

    Args:
        labels: labels of the classes.
    """
    return _mean(
        labels,
        f"nll = mean over pixels of -ln p of the truth, p at least {LEAST:g}",
        _negative_logs,
    )


def _mean(labels: Labels, measure: str, count: Any) -> Counted:
    return Counted(
        labels=labels,
        contract=write_contract(
            measure,
            classes=_classes(labels),
            average=_AVERAGES,
            empty="an image without a pixel that counts is left out",
            ignored=describe_ignored(labels),
            threshold="none, probabilities are scored",
        ),
        shape=(2,),
        count=count,
        pooled=partial(_named, "pooled", _ratio),
        per_image=partial(_named, "per_image", _ratio),
    )


def _classes(labels: Labels) -> str:
    told = describe_classes(labels, scored_classes(labels, background=True))
    return f"{told}, pixels of all classes together" if labels.overlapping else told


def _pairs(image: Image) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield probabilities ``(K, n)`` and true indices ``(n,)`` of the pixels that count.

    An overlapping class is yielded separately, as two classes: absent and present.
    """
    if image.probabilities is None:
        raise OptionError("this metric needs probabilities: pass probabilities=(num_classes, H, W)")
    found = image.probabilities
    check_probable(found)
    if not image.labels.overlapping:
        counted = ... if image.counted is None else image.counted
        yield found[:, counted].reshape(len(found), -1).astype(np.float64), _indices(image.target, counted)
        return
    for index, plane in enumerate(found):
        mask = image.counted_for(index)
        counted = ... if mask is None else mask
        one = plane[counted].ravel().astype(np.float64)
        yield np.stack([1 - one, one]), _indices(image.target[index], counted)


def _indices(target: NDArray[Any], counted: Any) -> NDArray[np.int64]:
    return target[counted].ravel().astype(np.int64)


def _binned(image: Image, *, bins: int) -> NDArray[np.float64]:
    """Return for each bin: number of pixels, sum of their confidences, and number of correct pixels."""
    counts = np.zeros((3, bins))
    for probabilities, truth in _pairs(image):
        if image.labels.overlapping:
            confidence, right = probabilities[1], truth == 1
        else:
            confidence, right = probabilities.max(axis=0), probabilities.argmax(axis=0) == truth
        place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        for row, weights in zip(counts, (None, confidence, right), strict=True):
            row += np.bincount(place, weights, minlength=bins)
    return counts


def _error(counts: NDArray[Any]) -> float:
    pixels, confidence, right = counts
    total = pixels.sum()
    return float(np.abs(confidence - right).sum() / total) if total else math.nan


def _squares(image: Image, *, several: bool) -> NDArray[np.float64]:
    total = np.zeros(2)
    for probabilities, truth in _pairs(image):
        right = np.take_along_axis(probabilities, truth[None], axis=0)[0]
        if several:
            total[0] += (probabilities**2).sum() - (right**2).sum() + ((1 - right) ** 2).sum()
        else:
            total[0] += ((1 - right) ** 2).sum()
        total[1] += truth.size
    return total


def _negative_logs(image: Image) -> NDArray[np.float64]:
    total = np.zeros(2)
    for probabilities, truth in _pairs(image):
        right = np.take_along_axis(probabilities, truth[None], axis=0)[0]
        total += [-np.log(np.maximum(right, LEAST)).sum(), truth.size]
    return total


def _ratio(counts: NDArray[Any]) -> float:
    return float(counts[0] / counts[1]) if counts[1] else math.nan


def _named(name: str, score: Any, counts: NDArray[Any]) -> dict[str, float]:
    return {name: score(counts)}
