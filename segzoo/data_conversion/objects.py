"""The objects of a sample, for any dataset.

A dataset of annotations has whole objects, even if others cover them (`segzoo.datasets.AnnotatedImages`).
For other data, objects are its instances, or connected components if there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets.annotated import AnnotatedImages
from segzoo.prediction.postprocessing import find_components
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, Sample

#: Index of a class, row and column of the first pixel, and ``(h, w)`` bool, as for `outline_regions`.
Piece = tuple[int, int, int, "NDArray[np.bool_]"]


def objects_of(dataset: Dataset, index: int, sample: Sample) -> tuple[list[Piece], list[Piece]]:
    """Return the objects of a sample, and its ignored regions.

    An ignored region has the class that it lies in if classes overlap, else the first class.

    Args:
        dataset: dataset of the sample.
        index: index of the sample.
        sample: the sample.
    """
    labels = dataset.labels
    first = labels.foreground[0]
    if isinstance(dataset, AnnotatedImages):
        found = dataset.objects(index, sample.mask.shape[-2:])
        objects = [(label, one.top, one.left, one.inside) for label, one in found if label is not None]
        return objects, [(first, one.top, one.left, one.inside) for label, one in found if label is None]
    if labels.overlapping:
        planes = [(number, plane) for number, plane in enumerate(sample.mask)]
        objects = [piece for number, plane in planes for piece in _components(plane, {1: number})]
        void = [piece for number, plane in planes for piece in _components(plane, {IGNORED: number})]
        return objects, void
    mask = sample.mask
    classes = {one: one for one in labels.foreground if one != labels.ignore_index}
    objects = []
    if sample.instances is not None:
        objects = list(_numbered(mask, sample.instances, classes))
        mask = np.where(sample.instances > 0, -1, mask.astype(np.int64))
    objects += _components(mask, classes)
    void = [] if labels.ignore_index is None else list(_components(sample.mask, {labels.ignore_index: first}))
    return objects, void


def _components(mask: NDArray[Any], classes: dict[int, int]) -> Iterator[Piece]:
    """Yield the connected components of some values of a mask, with their classes."""
    values = np.array(list(classes), np.int64)
    if not np.isin(mask, values).any():
        return
    found = find_components(mask)
    for number, box in enumerate(_boxes(found.numbers, len(found.classes))):
        label = classes.get(int(found.classes[number]))
        if label is not None:
            top, left, bottom, right = box
            yield label, top, left, found.numbers[top:bottom, left:right] == number


def _numbered(mask: NDArray[Any], instances: NDArray[Any], classes: dict[int, int]) -> Iterator[Piece]:
    """Yield the numbered objects; one that lies in several classes is one object in each."""
    span = int(mask.max(initial=0)) + 1
    codes = np.where(instances > 0, instances.astype(np.int64) * span + mask, 0)
    known, numbers = np.unique(codes, return_inverse=True)
    numbers = numbers.reshape(codes.shape)
    for number, box in enumerate(_boxes(numbers, len(known))):
        label = classes.get(int(known[number] % span)) if known[number] else None
        if label is not None:
            top, left, bottom, right = box
            yield label, top, left, numbers[top:bottom, left:right] == number


def _boxes(numbers: NDArray[Any], count: int) -> list[tuple[int, int, int, int]]:
    """Return top, left, bottom and right (exclusive) of the pixels of each number."""
    height, width = numbers.shape
    breaks = np.ones(numbers.shape, np.bool_)
    np.not_equal(numbers[:, 1:], numbers[:, :-1], out=breaks[:, 1:])
    starts = np.flatnonzero(breaks)
    which, ends = numbers.ravel()[starts], np.append(starts[1:], numbers.size) - 1
    rows = starts // width
    top, left = np.full(count, height), np.full(count, width)
    bottom, right = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.minimum.at(top, which, rows)
    np.minimum.at(left, which, starts % width)
    np.maximum.at(bottom, which, rows + 1)
    np.maximum.at(right, which, ends % width + 1)
    return list(zip(top.tolist(), left.tolist(), bottom.tolist(), right.tolist(), strict=True))
