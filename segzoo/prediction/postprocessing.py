"""After the decision: mask out pixels without measurement, remove small objects and holes, count objects.

The order is fixed: pixels without measurement become background (`measured_alone`), small objects are
removed, then small holes (`clean`), and the remaining objects are numbered (`find_instances`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.images.intensity import missing
from segzoo.labels import alone, class_index, foreground
from segzoo.options import check_connectivity, check_integer, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo
    from segzoo.specs import Labels


#: Largest minimum size that may be requested; no image has as many pixels.
MOST_PIXELS = 1 << 48


@dataclass(frozen=True)
class Instances:
    """The objects of a segmentation, numbered from 1 in the order of their first pixels, row by row.

    Attributes:
        numbers: ``(H, W)`` int32: object number of each pixel, 0 for background; ``(K, H, W)`` if classes
            overlap, with numbers that continue from class to class.
        classes: class index of object 1, 2, ...
        areas: int64, number of pixels of object 1, 2, ...
        connectivity: 4 or 8: which neighbouring pixels belong to one object.
    """

    numbers: NDArray[np.int32]
    classes: NDArray[np.int64]
    areas: NDArray[np.int64]
    connectivity: int

    @property
    def layers(self) -> list[NDArray[np.int32]]:
        """Numbers ``(H, W)`` from 1: one layer for all objects, or one per class if classes overlap."""
        if self.numbers.ndim == 2:
            return [self.numbers]
        before = np.searchsorted(self.classes, np.arange(len(self.numbers))).astype(np.int32)
        return [np.maximum(layer - first, 0) for layer, first in zip(self.numbers, before, strict=True)]

    def boxes(self) -> NDArray[np.int64]:
        """Return ``(objects, 4)``: x and y of the top left pixel, width and height."""
        height, width = self.numbers.shape[-2:]
        breaks = np.ones(self.numbers.shape, np.bool_)
        np.not_equal(self.numbers[..., 1:], self.numbers[..., :-1], out=breaks[..., 1:])
        starts = np.flatnonzero(breaks)
        ends = np.append(starts[1:], self.numbers.size) - 1
        which = self.numbers.ravel()[starts] - 1
        starts, ends, which = (values[which >= 0] for values in (starts, ends, which))
        box = np.zeros((len(self.classes), 4), np.int64)
        for side, low, high in (
            (0, starts % width, ends % width),
            (1, starts // width % height, ends // width % height),
        ):
            first = np.full(len(box), self.numbers.size)
            last = np.full(len(box), -1)
            np.minimum.at(first, which, low)
            np.maximum.at(last, which, high)
            box[:, side], box[:, side + 2] = first, last - first + 1
        return box


def may_lack_measurements(info: ImageInfo | None, labels: Labels) -> bool:
    """Whether `measured_alone` may change the image's mask: it has floats, or a no-data value."""
    nameless = labels.background is None and not labels.overlapping
    return info is not None and not nameless and (info.nodata is not None or info.dtype.startswith("float"))


def measured_alone(
    mask: NDArray[Any], pixels: NDArray[Any], nodata: float | None, labels: Labels
) -> NDArray[Any]:
    """Return a mask in which pixels without a measurement are background, or belong to no class.

    The network predicts a class for such pixels too, but it is meaningless.

    Args:
        mask: ``(H, W)``, or ``(K, H, W)`` if classes overlap.
        pixels: ``(H, W, C)`` as in the file.
        nodata: value that the file declares for no data, in addition to NaN.
        labels: labels of the mask; a mask without a background class does not change.
    """
    gone = missing(pixels, nodata)
    if gone is None or (labels.background is None and not labels.overlapping):
        return mask
    return np.where(gone, labels.background or 0, mask).astype(mask.dtype)


def clean(
    mask: NDArray[np.uint8],
    labels: Labels,
    *,
    smallest_object: int | Mapping[str | int, int] = 0,
    smallest_hole: int | Mapping[str | int, int] = 0,
    connectivity: int = 8,
) -> NDArray[np.uint8]:
    """Return a mask without small objects, and then without small holes.

    An object is a connected component of a class other than background. If it is too small, it becomes the
    class that most of its outline touches, where only remaining components count. If none remains around it,
    it becomes background, or stays if there is no background class. A hole is a component of background, with
    the opposite connectivity of objects (4 for 8, 8 for 4), that touches exactly one class and not the image
    border; it becomes that class.

    Args:
        mask: ``(H, W)`` class indices; ``(K, H, W)`` if classes overlap, which are then cleaned separately.
        labels: labels of the classes.
        smallest_object: minimum size in pixels of objects, for all classes or by class.
        smallest_hole: minimum size in pixels of holes, for all classes or by the class around them.
        connectivity: 4 or 8, for objects.

    Raises:
        OptionError: there is no such class, a size is negative, connectivity is neither 4 nor 8, or holes
            cannot be filled because there is no background class.
    """
    check_connectivity(connectivity)
    objects, holes = (sizes_by_class(labels, sizes) for sizes in (smallest_object, smallest_hole))
    if labels.overlapping:
        cleaned = [
            clean(
                plane,
                alone(labels, index),
                smallest_object=int(objects[index]),
                smallest_hole=int(holes[index]),
                connectivity=connectivity,
            )
            for index, plane in enumerate(mask)
        ]
        return np.stack(cleaned)
    if objects.any():
        mask = _without_objects(mask, labels, objects, connectivity)
    if holes.any():
        if labels.background is None:
            raise OptionError(
                "holes are parts of the background, but these classes have none: leave smallest_hole out"
            )
        mask = _without_holes(mask, labels.background, holes, 12 - connectivity)
    return mask


def find_instances(mask: NDArray[np.uint8], labels: Labels, connectivity: int = 8) -> Instances:
    """Return the connected components of every class except background as objects.

    Args:
        mask: ``(H, W)`` class indices, or ``(K, H, W)`` if classes overlap.
        labels: labels of its classes.
        connectivity: 4, or 8 to connect pixels that share only a corner too.

    Raises:
        OptionError: connectivity is neither 4 nor 8.
    """
    if labels.overlapping:
        return joined_classes(
            [find_instances(one, alone(labels, index), connectivity) for index, one in enumerate(mask)]
        )
    found = find_components(mask, connectivity)
    objects = foreground(found.classes, labels)
    numbers = np.where(objects, np.cumsum(objects), 0).astype(np.int32)
    return Instances(numbers[found.numbers], found.classes[objects], found.areas[objects], connectivity)


def joined_classes(apart: Sequence[Instances]) -> Instances:
    """Return the objects of overlapping classes, with numbers that continue from class to class."""
    counts = [len(one.areas) for one in apart]
    firsts = np.cumsum([0, *counts[:-1]])
    numbers = [
        np.where(one.numbers > 0, one.numbers + first, 0).astype(np.int32)
        for one, first in zip(apart, firsts, strict=True)
    ]
    return Instances(
        np.stack(numbers),
        np.repeat(np.arange(len(apart)), counts),
        np.concatenate([one.areas for one in apart]),
        apart[0].connectivity,
    )


def sizes_by_class(labels: Labels, wanted: int | Mapping[str | int, int]) -> NDArray[np.int64]:
    """Return the minimum size in pixels of objects or holes, by class index.

    Raises:
        OptionError: there is no such class, or a size is not a number of pixels.
    """
    sizes = np.zeros(max(len(labels.classes), 256), np.int64)
    given = dict.fromkeys(labels.foreground, wanted) if isinstance(wanted, int) else wanted
    if not isinstance(given, Mapping):
        raise OptionError(f"a minimum size is a number of pixels, or one per class; got {shown(given)}")
    for name, size in given.items():
        index = class_index(labels, name)
        if index == labels.background:
            raise OptionError(f"{name!r} is background: name the class of the objects or holes instead")
        check_integer(f"the minimum size for class {name!r}", size, 0, MOST_PIXELS)
        sizes[index] = size
    return sizes


def _without_objects(
    mask: NDArray[Any], labels: Labels, sizes: NDArray[np.int64], connectivity: int
) -> NDArray[Any]:
    found = find_components(mask, connectivity)
    small = foreground(found.classes, labels) & (found.areas < sizes[found.classes])
    if not small.any():
        return mask
    classes = found.classes.copy()
    if labels.background is not None:
        classes[small] = labels.background
    component, touched, edges = _touched(found, small)
    # If several classes share as many edges, background comes first, then the others in class order.
    order = np.lexsort((touched, touched != labels.background, -edges, component))
    component, first = np.unique(component[order], return_index=True)
    classes[component] = touched[order][first]
    return classes.astype(mask.dtype)[found.numbers]


def _without_holes(
    mask: NDArray[Any], background: int, sizes: NDArray[np.int64], connectivity: int
) -> NDArray[Any]:
    found = find_components(mask, connectivity)
    small = (found.classes == background) & (found.areas < sizes.max())
    for side in (found.numbers[0], found.numbers[-1], found.numbers[:, 0], found.numbers[:, -1]):
        small[side] = False
    if not small.any():
        return mask
    classes = found.classes.copy()
    component, touched, _ = _touched(found, small)
    component, first, times = np.unique(component, return_index=True, return_counts=True)
    around = touched[first]
    filled = (times == 1) & (found.areas[component] < sizes[around])
    classes[component[filled]] = around[filled]
    return classes.astype(mask.dtype)[found.numbers]


def _touched(
    found: Components, small: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which small components touch which classes, counting only components that remain.

    Returns:
        Component, class and number of shared pixel edges, for each pair that touches.
    """
    span = int(found.classes.max()) + 1
    cells: list[NDArray[np.int64]] = []
    numbers = found.numbers
    for one, other in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        meet = np.flatnonzero((one != other).ravel())
        pair = one.ravel()[meet], other.ravel()[meet]
        for inner, outer in (pair, pair[::-1]):
            kept = small[inner] & ~small[outer]
            cells.append(inner[kept].astype(np.int64) * span + found.classes[outer[kept]])
    pairs, edges = np.unique(np.concatenate(cells), return_counts=True)
    return pairs // span, pairs % span, edges


# Connected components of all classes of a mask in one pass, in numpy only.
#
# Rows are cut into runs of one class. Touching runs of neighbouring rows are joined by union-find, in which
# all roots are attached to smaller ones at once and paths are halved until they are flat (Shiloach and
# Vishkin, 1982, doi 10.1016/0196-6774(82)90008-6).


@dataclass(frozen=True)
class Components:
    """The connected components of a mask, numbered from 0 in the order of their first pixels.

    Attributes:
        numbers: ``(H, W)`` int32, component of each pixel.
        classes: class of each component.
        areas: int64, number of pixels of each component.
    """

    numbers: NDArray[np.int32]
    classes: NDArray[np.int64]
    areas: NDArray[np.int64]


def find_components(mask: NDArray[Any], connectivity: int = 8) -> Components:
    """Return the connected components of each class of a mask ``(H, W)``.

    Args:
        mask: class indices.
        connectivity: 4, or 8 to connect pixels that share only a corner too.

    Raises:
        OptionError: connectivity is neither 4 nor 8.
    """
    check_connectivity(connectivity)
    height, width = mask.shape
    breaks = np.ones((height, width), np.bool_)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=breaks[:, 1:])
    starts = np.flatnonzero(breaks)
    ends = np.append(starts[1:], mask.size)
    classes = mask.ravel()[starts].astype(np.int64)
    roots = _joined(len(starts), *_touching(starts, ends, classes, width, connectivity))
    found = roots == np.arange(len(roots))
    numbers = (np.cumsum(found) - 1)[roots]
    areas = np.bincount(numbers, weights=ends - starts).astype(np.int64)
    spread = np.repeat(numbers.astype(np.int32), ends - starts).reshape(height, width)
    return Components(spread, classes[found], areas)


class ComponentCount:
    """Counts the connected components of each class of a mask that arrives a few rows at a time.

    Args:
        connectivity: 4, or 8 to connect pixels that share only a corner too.
    """

    def __init__(self, connectivity: int = 8) -> None:
        self._connectivity = connectivity
        self._counts = np.zeros(0, np.int64)
        #: Class and component of each pixel of the last row.
        self._classes, self._numbers = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, mask: NDArray[Any]) -> None:
        """Add the next rows, ``(n, W)``."""
        found = find_components(mask, self._connectivity)
        self._count(found.classes, 1)
        before, width = int(self._numbers.max(initial=-1)) + 1, mask.shape[1]
        roots = np.arange(before + len(found.classes))
        if before:
            one, other = self._meeting(mask[0].astype(np.int64), found.numbers[0] + before, width)
            roots = _joined(len(roots), one, other)
            # Each pair that is joined now means one component less.
            classes = np.zeros(len(roots), np.int64)
            classes[self._numbers] = self._classes
            classes[before:] = found.classes
            self._count(classes[roots != np.arange(len(roots))], -1)
        self._classes = mask[-1].astype(np.int64)
        self._numbers = np.unique(roots[found.numbers[-1] + before], return_inverse=True)[1]

    def of(self, index: int) -> int:
        """Return the number of components of a class in all rows so far."""
        return int(self._counts[index]) if index < len(self._counts) else 0

    def _count(self, classes: NDArray[np.int64], sign: int) -> None:
        counts = np.bincount(classes, minlength=len(self._counts))
        counts[: len(self._counts)] = self._counts + sign * counts[: len(self._counts)]
        self._counts = counts

    def _meeting(
        self, classes: NDArray[np.int64], numbers: NDArray[np.int64], width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pairs of touching components of the last row and the next rows."""
        pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for shift in (-1, 0, 1) if self._connectivity == 8 else (0,):
            above = slice(max(shift, 0), width + min(shift, 0))
            below = slice(max(-shift, 0), width + min(-shift, 0))
            same = self._classes[above] == classes[below]
            pairs.append((self._numbers[above][same], numbers[below][same]))
        one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return one, other


def _touching(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    classes: NDArray[np.int64],
    width: int,
    connectivity: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of touching runs of one class, the second below the first."""
    above = np.flatnonzero(starts < starts[-1] - starts[-1] % width)
    reach = 1 if connectivity == 8 else 0
    row = starts[above] - starts[above] % width
    left = np.maximum(starts[above] - reach, row) + width
    right = np.minimum(ends[above] - 1 + reach, row + width - 1) + width
    # Runs cover their rows without gaps, so a pixel's run is the last one that starts at or before it.
    first = np.searchsorted(starts, left, "right") - 1
    count = np.searchsorted(starts, right, "right") - first
    upper = np.repeat(above, count)
    ordinal = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    lower = np.repeat(first, count) + ordinal
    same = classes[upper] == classes[lower]
    return upper[same], lower[same]


def _joined(size: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each of ``size`` items, the smallest item that it is connected to by pairs."""
    parent = np.arange(size)
    while True:
        a, b = parent[one], parent[other]
        apart = a != b
        if not apart.any():
            return parent
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        # If a root could be attached to several, any of them works: the next round joins the rest.
        parent[np.maximum(a, b)] = np.minimum(a, b)
        while (higher := parent[parent]).tobytes() != parent.tobytes():
            parent = higher
