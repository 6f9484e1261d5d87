"""Objects and segments in masks: label images, and which objects of two label images intersect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.metrics.extras import load_ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.metrics.image import Image


@dataclass(frozen=True)
class Meetings:
    """How many pixels the objects of two label images share; object 0 is background.

    Attributes:
        predicted: number of the predicted object in each intersecting pair.
        true: number of the true object in each intersecting pair.
        pixels: int64, number of shared pixels.
    """

    predicted: NDArray[np.int64]
    true: NDArray[np.int64]
    pixels: NDArray[np.int64]

    def areas(self, side: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of pixels of every object of a side (`predicted` or `true`), by object number."""
        return np.bincount(side, weights=self.pixels).astype(np.int64)


def label_class(image: Image, index: int, connectivity: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the predicted and the true objects of a class; 0 for background and pixels that do not count.

    Given instances keep their shapes; with several foreground classes, each instance has the class of most of
    its pixels in its mask. Otherwise objects are connected components. If classes overlap, instances
    ``(K, H, W)`` have the class of their plane.
    """
    if image.labels.overlapping:
        predicted, true = (
            _components(where, connectivity)
            if given is None
            else _given(given[index], None, index, image.counted_for(index), None)
            for where, given in zip(image.of_class(index), image.instances, strict=True)
        )
        return predicted, true
    several, nothing = len(image.labels.foreground) > 1, image.labels.background
    sides = zip(image.of_class(index), image.instances, (image.prediction, image.target), strict=True)
    predicted, true = (
        _components(where, connectivity)
        if given is None
        else _given(given, classes if several else None, index, image.counted, nothing)
        for where, given, classes in sides
    )
    return predicted, true


def meet(predicted: NDArray[Any], true: NDArray[Any]) -> Meetings:
    """Return which objects of two label images of equal shape intersect, renumbered without gaps."""
    numbers: list[NDArray[np.int64]] = []
    for objects in (predicted, true):
        flat = objects.ravel()
        if flat.size and int(flat.max()) > flat.size:
            # Sparse numbers would need huge tables.
            flat = np.unique(np.append(0, flat), return_inverse=True)[1][1:]
        numbers.append(flat.astype(np.int64))
    span = int(numbers[1].max(initial=0)) + 1
    index = numbers[0] * span + numbers[1]
    ends = np.append(np.flatnonzero(index[1:] != index[:-1]), index.size - 1) if index.size else index
    pairs, which = np.unique(index[ends], return_inverse=True)
    pixels = np.bincount(which, weights=np.diff(ends, prepend=-1), minlength=pairs.size)
    return Meetings(pairs // span, pairs % span, pixels.astype(np.int64))


def _components(mask: NDArray[np.bool_], connectivity: int) -> NDArray[Any]:
    structure = np.ones((3, 3)) if connectivity == 8 else None
    return load_ndimage().label(mask, structure)[0]


def _given(
    objects: NDArray[Any],
    classes: NDArray[Any] | None,
    index: int,
    counted: NDArray[np.bool_] | None,
    background: int | None,
) -> NDArray[Any]:
    if counted is not None:
        objects = np.where(counted, objects, 0)
    if classes is None:
        return objects
    known, numbers = np.unique(objects, return_inverse=True)
    votes = np.zeros((known.size, int(classes.max(initial=0)) + 1), np.int64)
    np.add.at(votes, (numbers.ravel(), classes.ravel()), 1)
    if background is not None:
        # Background has no objects, so an instance on the background gets its next most frequent class.
        votes[:, background : background + 1] = 0
    mine = (votes.argmax(axis=1) == index) & (known != 0) & (votes.max(axis=1) > 0)
    return np.where(mine[numbers.reshape(objects.shape)], objects, 0)


def describe_objects(connectivity: int) -> str:
    """Describe what counts as an object."""
    return (
        f"objects are the instances given, else connected components ({connectivity}-connected) of each class"
    )
