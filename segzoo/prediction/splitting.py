"""Split touching objects: by the shape of the mask alone, or by the output of a network's separator.

Every pixel of the mask has a height: its depth inside the mask (Euclidean distance to the edge), or the
separator's output. Pixels climb to their highest neighbour until they reach a peak, and all that reach the
same peak form a basin: a watershed of the map (Vincent and Soille, 1991, doi 10.1109/34.87344), in numpy
only. Basins are merged across their highest saddles until each is one object: by shape, unless the saddle is
a neck, clearly thinner than the thinner part; with a separator, unless both parts contain a seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segzoo.errors import OptionError
from segzoo.labels import alone
from segzoo.options import check_connectivity
from segzoo.prediction.postprocessing import Instances, find_components, joined_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.specs import Labels, Separator

#: Two parts are separate objects if the neck between them is at most this share of the thinner part's half
#: width, and narrower by at least this many pixels. Chosen on the nuclei of DSB2018's training set.
NECK, NARROWER = 0.85, 0.75
#: Distances up to this many pixels are exact: the sum of two such squares still fits in 16 bits.
_FAR = 181
#: Larger distances are measured on every fourth pixel.
_COARSE = 4
#: Number of rows processed together, so that they stay in the processor's cache.
_ROWS = 64
#: The bits of float32 1.0, read as an integer; smaller numbers, down to 0, are smaller integers.
_ONE = 0x3F800000


def split_instances(
    mask: NDArray[Any],
    labels: Labels,
    connectivity: int = 8,
    *,
    separation: NDArray[np.float32] | None = None,
    separator: Separator | None = None,
    smallest_object: Sequence[int] = (),
) -> Instances:
    """Return the objects of every class except background, with touching objects split.

    Each object is within one connected component of its class, and every pixel of the component belongs to
    one of its objects. Each class is split separately.

    Args:
        mask: ``(H, W)`` class indices, or ``(K, H, W)`` if classes overlap.
        labels: labels of its classes.
        connectivity: 4, or 8 to connect pixels that share only a corner too.
        separation: ``(H, W)`` in [0, 1], output of the network's separator for every pixel; without it,
            objects are split where their shape has a neck.
        separator: what ``separation`` means.
        smallest_object: minimum size in pixels of each class's objects, by index; smaller pieces of a
            component are merged into the neighbour with the deepest contact. Classes beyond the array keep
            all pieces.

    Raises:
        OptionError: connectivity is neither 4 nor 8, the separation has another size or no meaning, or the
            mask holds an index that belongs to no class.
    """
    check_connectivity(connectivity)
    if (separation is None) != (separator is None):
        raise OptionError(
            "separation and separator go together: give both, or neither to split by shape only"
        )
    if separation is not None and separation.shape != mask.shape[-2:]:
        raise OptionError(
            f"the separation has size {separation.shape}, but the mask {mask.shape[-2:]} (height, width)"
        )
    if labels.overlapping:
        given: Any = {"separation": separation, "separator": separator}
        return joined_classes(
            [
                split_instances(
                    one,
                    alone(labels, index),
                    connectivity,
                    smallest_object=(0, *smallest_object[index : index + 1]),
                    **given,
                )
                for index, one in enumerate(mask)
            ]
        )
    count = len(labels.classes)
    if mask.size and int(mask.max()) >= count:
        raise OptionError(
            f"the mask holds {int(mask.max())}, but {count} classes have the indices 0 to {count - 1}: set "
            "ignored pixels to background first"
        )
    pieces, classes = np.zeros(mask.shape, np.int32), [np.zeros(0, np.int64)]
    there = np.zeros(count, np.bool_)
    for top in range(0, len(mask), _ROWS):
        there[mask[top : top + _ROWS].astype(np.intp)] = True
    for index in labels.foreground:
        if not there[index]:
            continue
        where = mask == index
        box = _box(where)
        inside, before = where[box], sum(map(len, classes))
        map_ = None if separation is None else separation[box]
        smallest = int(smallest_object[index]) if index < len(smallest_object) else 0
        found, objects = _split(inside, connectivity, map_, separator, smallest)
        pieces[box][inside] = found + (before + 1)
        classes.append(np.full(objects, index))
    return _numbered(pieces, np.concatenate(classes), connectivity)


def _box(where: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of the bounding box; at least one pixel must be set."""
    rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _numbered(pieces: NDArray[np.int32], classes: NDArray[np.int64], connectivity: int) -> Instances:
    """Return objects, numbered in the order of their first pixels."""
    flat = pieces.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1])) if flat.size else np.zeros(0, np.intp)
    first = np.zeros(len(classes) + 1, np.int64)
    first[flat[starts[::-1]]] = starts[::-1]  # when several are assigned to one place, the last one stays
    order = np.argsort(first[1:])
    table = np.zeros(len(first), np.int32)
    table[order + 1] = np.arange(1, len(first))
    numbers = table[pieces]
    areas = np.bincount(numbers.ravel(), minlength=len(first))[1:]
    return Instances(numbers, classes[order], areas, connectivity)


def _split(
    where: NDArray[np.bool_],
    connectivity: int,
    separation: NDArray[np.float32] | None,
    separator: Separator | None,
    smallest: int,
) -> tuple[NDArray[np.int32], int]:
    """Return the object number, from 0, of every pixel of one class in order, and the number of objects."""
    if separation is None or separator is None:
        heights = squared_distances(where)
    else:
        # Integers in the order of the separation, all above 0.
        bits = np.clip(np.nan_to_num(separation), 0, 1).astype(np.float32).view(np.int32)
        heights = (bits if separator.kind == "distance" else _ONE - bits) + 1
    places = np.flatnonzero(where)
    peaks, basins = _climbed(where, heights, places, connectivity)
    one, other, saddles = _meeting(where, heights, basins, connectivity)
    tops = heights.ravel()[peaks]
    if separation is None or separator is None:
        parent = _joined(len(peaks), one, other, saddles, _Shapes(tops))
    else:
        seeds = _seeds(where, separation, separator, connectivity).ravel()[peaks]
        parent = _joined(len(peaks), one, other, saddles, _Seeds(seeds))
    if smallest > 1:
        parent = _without_small(
            parent, np.bincount(basins, minlength=len(peaks)), one, other, saddles, smallest
        )
    objects, numbers = np.unique(parent, return_inverse=True)
    return numbers.astype(np.int32)[basins], len(objects)


def _without_small(
    parent: NDArray[np.int64],
    pixels: NDArray[np.int64],
    one: NDArray[np.int32],
    other: NDArray[np.int32],
    saddles: NDArray[np.int32],
    smallest: int,
) -> NDArray[np.int64]:
    """Merge objects that are too small into neighbours, across the highest saddles first.

    Args:
        parent: representative basin of each basin's object.
        pixels: number of pixels of each basin.
        one: first basin of each pair of pixels where two basins meet.
        other: second basin of each pair.
        saddles: height at which each pair meets.
        smallest: minimum size in pixels of an object.
    """
    areas = np.bincount(parent, pixels, minlength=len(parent)).astype(np.int64)
    ours, theirs = parent[one], parent[other]
    matters = (ours != theirs) & (np.minimum(areas[ours], areas[theirs]) < smallest)
    order = np.argsort(-saddles[matters], kind="stable")
    pairs = zip(ours[matters][order].tolist(), theirs[matters][order].tolist(), strict=True)
    becomes = np.arange(len(parent))

    def root(basin: int) -> int:
        while becomes[basin] != basin:
            basin = becomes[basin]
        return basin

    for pair in pairs:
        small, large = sorted(map(root, pair), key=lambda basin: areas[basin])
        if small != large and areas[small] < smallest:
            becomes[small] = large
            areas[large] += areas[small]
    while not np.array_equal(becomes, becomes[becomes]):
        becomes = becomes[becomes]
    return becomes[parent]


def _seeds(
    where: NDArray[np.bool_], separation: NDArray[np.float32], separator: Separator, connectivity: int
) -> NDArray[np.int32]:
    """Return the seed number of each pixel, from 1; 0 for none."""
    inside = separation > separator.seed if separator.kind == "distance" else separation < separator.seed
    found = find_components(inside & where, connectivity)
    large = (found.classes == 1) & (found.areas >= separator.smallest)
    return np.where(large, np.cumsum(large), 0).astype(np.int32)[found.numbers]


def squared_distances(where: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the squared distance of each pixel to the nearest one that is False, in pixels; 0 for those.

    Pixels outside the image are ignored. Distances above 181 are measured on every fourth pixel.

    Source: Saito and Toriwaki, 1994, doi 10.1016/0031-3203(94)90133-3: columns first, then rows.
    """
    height, width = where.shape
    column = np.zeros((height, width), np.uint16)
    for rows in (range(height), range(height - 1, -1, -1)):
        last = np.full(width, _FAR, np.uint16)
        for row in rows:
            last = np.minimum(last + 1, _FAR, dtype=np.uint16) * where[row]
            column[row] = last if rows.step > 0 else np.minimum(column[row], last)
    squares = np.empty((height, width), np.uint16)
    for top in range(0, height, _ROWS):
        along = column[top : top + _ROWS] ** 2
        nearest = along.copy()
        for step in range(1, min(width, _FAR)):
            if step * step >= nearest.max():
                break
            beside = along + np.uint16(step * step)
            np.minimum(nearest[:, step:], beside[:, :-step], out=nearest[:, step:])
            np.minimum(nearest[:, :-step], beside[:, step:], out=nearest[:, :-step])
        squares[top : top + _ROWS] = nearest
    found = squares.astype(np.int32)
    far = squares == _FAR**2
    if far.any() and max(height, width) > _COARSE:
        coarse = squared_distances(where[::_COARSE, ::_COARSE]) * _COARSE**2
        for top in range(0, height, _COARSE):
            rows = slice(top, top + _COARSE)
            above = np.maximum(np.repeat(coarse[top // _COARSE], _COARSE)[:width], _FAR**2)
            found[rows] = np.where(far[rows], above, found[rows])
    return found


def _climbed(
    where: NDArray[np.bool_], heights: NDArray[np.int32], places: NDArray[np.int64], connectivity: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the place of each peak, and which peak each pixel of the mask climbs to.

    If heights are equal, the later pixel counts as higher: so a plateau has few peaks, and no pixel climbs in
    a circle.
    """
    height, width = where.shape
    kind = np.int32 if where.size < 1 << 31 else np.int64
    upwards = np.empty(where.size, kind)
    for top in range(0, height, _ROWS):
        first, last = max(top - 1, 0), min(top + _ROWS + 1, height)
        # Height and place in one number, so that the highest neighbour is a maximum.
        keys = heights[first:last].astype(np.int64) << 32
        keys |= np.arange(first * width, last * width).reshape(-1, width)
        keys *= where[first:last]
        beside = keys.copy()
        np.maximum(beside[:, 1:], keys[:, :-1], out=beside[:, 1:])
        np.maximum(beside[:, :-1], keys[:, 1:], out=beside[:, :-1])
        around = beside if connectivity == 8 else keys
        highest = beside.copy()
        np.maximum(highest[1:], around[:-1], out=highest[1:])
        np.maximum(highest[:-1], around[1:], out=highest[:-1])
        rows = slice(top - first, min(top + _ROWS, height) - first)
        upwards[top * width : (top + _ROWS) * width] = (highest[rows] & 0xFFFFFFFF).ravel()
    here = upwards[places]
    while True:
        further = upwards[here]
        if np.array_equal(further, here):
            break
        upwards[places] = here = further
    peaks = places[here == places]
    upwards[peaks] = np.arange(len(peaks))
    return peaks, upwards[here].astype(np.int32, copy=False)


def _meeting(
    where: NDArray[np.bool_], heights: NDArray[np.int32], basins: NDArray[np.int32], connectivity: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return two basins and the height between them, for every pair of neighbouring pixels of two basins."""
    # An empty column at the end separates the rows, so that neighbours are at fixed offsets.
    height, width = where.shape
    spread = np.full((height, width + 1), -1, np.int32)
    spread[:, :-1][where] = basins
    flat, levels = spread.ravel(), heights.ravel()
    found: list[tuple[NDArray[np.int32], ...]] = []
    for step in (1, width + 1, width, width + 2)[: connectivity // 2]:
        here = np.flatnonzero(flat[:-step] != flat[step:])
        here = here[(flat[here] >= 0) & (flat[here + step] >= 0)]
        rows, there = here // (width + 1), (here + step) // (width + 1)
        saddles = np.minimum(levels[here - rows], levels[here + step - there])
        found.append((flat[here], flat[here + step], saddles))
    one, other, saddles = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return one, other, saddles


class _Rule(Protocol):
    def parents(self) -> NDArray[np.int64]:
        """Return the basin that each basin is a part of initially."""
        ...

    def gone(
        self, basins: NDArray[np.int64], others: NDArray[np.int64], saddles: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Return which basins are merged into others, across their highest saddles."""
        ...


class _Shapes:
    """Parts are separate if there is a neck between them."""

    def __init__(self, tops: NDArray[np.int32]) -> None:
        self._depth = np.sqrt(tops)
        self._rank = np.empty(len(tops), np.int64)
        self._rank[np.argsort(tops, kind="stable")] = np.arange(len(tops))

    def parents(self) -> NDArray[np.int64]:
        return np.arange(len(self._rank))

    def gone(
        self, basins: NDArray[np.int64], others: NDArray[np.int64], saddles: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        depth, neck = self._depth[basins], np.sqrt(saddles)
        narrow = (neck <= NECK * depth) & (neck <= depth - NARROWER)
        return (self._rank[others] > self._rank[basins]) & ~narrow


class _Seeds:
    """Parts are separate if each contains its own seed."""

    def __init__(self, seeds: NDArray[np.int32]) -> None:
        self._seeds = seeds

    def parents(self) -> NDArray[np.int64]:
        every = np.arange(len(self._seeds))
        first = np.zeros(int(self._seeds.max(initial=0)) + 1, np.int64)
        first[self._seeds[::-1]] = every[::-1]
        return np.where(self._seeds > 0, first[self._seeds], every)

    def gone(
        self, basins: NDArray[np.int64], others: NDArray[np.int64], saddles: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        return self._seeds[basins] == 0


def _joined(
    count: int, one: NDArray[Any], other: NDArray[Any], saddles: NDArray[np.int32], rule: _Rule
) -> NDArray[np.int64]:
    """Return, for each basin, the basin that represents its object.

    Args:
        count: number of basins.
        one: first basin of each pair of pixels where two basins meet.
        other: second basin of each pair.
        saddles: height at which each pair meets.
        rule: decides which basins are not separate objects.
    """
    order = np.argsort(-saddles, kind="stable")
    one, other, saddles = one[order], other[order], saddles[order]
    parent = rule.parents()
    while True:
        one, other = parent[one], parent[other]
        apart = one != other
        one, other, saddles = one[apart], other[apart], saddles[apart]
        # The first pair of each basin is that of its highest saddle. The order has no ties, so merging all
        # basins at once makes no circle.
        best = np.full(count, len(one))
        places = np.arange(len(one))[::-1]
        best[other[::-1]] = places
        second = best.copy()
        best[:] = len(one)
        best[one[::-1]] = places
        best = np.minimum(best, second)
        basins = np.flatnonzero(best < len(one))
        pairs = best[basins]
        others = one[pairs] + other[pairs] - basins
        gone = rule.gone(basins, others, saddles[pairs])
        if not gone.any():
            return parent
        basins, others = basins[gone], others[gone]
        parent[basins] = others
        both = (parent[others] == basins) & (basins < others)
        parent[basins[both]] = basins[both]
        while not np.array_equal(further := parent[parent], parent):
            parent = further
