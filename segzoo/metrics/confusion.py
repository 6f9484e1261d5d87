"""The confusion matrix: exact counts in one pass, from which most scores follow.

Masks are piecewise constant, so counting runs of equal pixels is several times as fast as counting pixels. If
a mask is not, pixels are counted, in blocks that stay in the cache.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.metrics.contract import describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.metrics.counting import MOST_CLASSES as MOST_CLASSES
from segzoo.metrics.counting import Counted, check_countable
from segzoo.metrics.rates import summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels

_BLOCK = 1 << 16


def count_confusion(image: Image) -> NDArray[np.int64]:
    """Return how many pixels of each class were predicted as each: ``[true class, predicted class]``.

    The row of an ignored class is empty.
    """
    return confusion_matrix(image.prediction, image.target, len(image.labels.classes), image.counted)


def count_apart(image: Image) -> NDArray[np.int64]:
    """Return counts ``(4, classes)`` of overlapping classes; see `segzoo.metrics.rates.totals`."""
    counts = np.zeros((4, len(image.labels.classes)), np.int64)
    for index in range(counts.shape[1]):
        predicted, true = image.of_class(index)
        pixels = (predicted & true, predicted, true)
        counts[:, index] = *map(np.count_nonzero, pixels), image.pixels(index)
    return counts


def confusion_matrix(
    prediction: NDArray[Any],
    target: NDArray[Any],
    num_classes: int,
    counted: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Count pixels by true class (row) and predicted class (column).

    Args:
        prediction: class indices below ``num_classes``, in any shape.
        target: class indices of the same shape; below ``num_classes`` where they are counted.
        num_classes: number of classes, at most `MOST_CLASSES`.
        counted: which pixels to count; ``None`` counts all.
    """
    check_countable(num_classes)
    if num_classes == 2 and counted is None:
        return _count_binary(prediction, target)
    bins = num_classes * num_classes
    dtype = np.uint16 if bins < 1 << 16 else np.uint32
    index = target.astype(dtype)
    index *= dtype(num_classes)
    index += prediction.astype(dtype, copy=False)
    if counted is not None:
        # One additional bin takes the pixels that do not count.
        index = np.where(counted, index, dtype(bins))
    counts = _count(index.ravel(), bins + 1)
    return counts[:bins].reshape(num_classes, num_classes)


def _count_binary(prediction: NDArray[Any], target: NDArray[Any]) -> NDArray[np.int64]:
    predicted, true = (np.ascontiguousarray(mask, np.uint8).view(np.bool_) for mask in (prediction, target))
    both = np.count_nonzero(predicted & true)
    positives, truths = np.count_nonzero(predicted), np.count_nonzero(true)
    neither = prediction.size - positives - truths + both
    return np.array([[neither, positives - both], [truths - both, both]], np.int64)


def _count(index: NDArray[np.unsignedinteger], bins: int) -> NDArray[np.int64]:
    changes = index[1:] != index[:-1]
    if np.count_nonzero(changes) * 8 < index.size:
        ends = np.append(np.flatnonzero(changes), index.size - 1)
        lengths = np.diff(ends, prepend=-1)
        # Weights are 64-bit floats: exact up to 2 ** 53 pixels.
        return np.bincount(index[ends], weights=lengths, minlength=bins).astype(np.int64)
    counts = np.zeros(bins, np.int64)
    for start in range(0, index.size, _BLOCK):
        counts += np.bincount(index[start : start + _BLOCK], minlength=bins)
    return counts


def confusion(*, labels: Labels) -> Counted:
    """All scores of the pooled confusion matrix; the matrix itself is the metric's ``counts``."""
    classes = scored_classes(labels, background=True)
    return Counted(
        labels=labels,
        contract=write_contract(
            "scores of one confusion matrix",
            classes=describe_classes(labels, classes),
            average="pixels of all images counted together; means over classes have equal weights, fw_iou "
            "weighs them by their true pixels",
            empty="a class in neither mask is left out of means; precision and recall of a class in one mask "
            "only are 0",
            ignored=describe_ignored(labels),
        ),
        shape=(len(labels.classes), len(labels.classes)),
        count=count_confusion,
        pooled=partial(summary, names=labels.classes, classes=classes),
    )
