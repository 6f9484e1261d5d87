"""Outlines with fewer corners, by the algorithm of Douglas and Peucker (1973), for all objects at once.

A corner is left out if the line that replaces it passes within the given number of pixels. Objects stay
intact: corners are kept where the outline would cross itself or a hole. If a ring would lose half of its
area, or the object would contain no pixel, the tolerance of the ring is halved, and in the end its shape is
kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.datasets.shapes import Polygon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: How often the tolerance of a ring is halved before its shape is kept.
_ATTEMPTS = 4
#: Number of pairs of edges that are compared at a time.
_PAIRS = 1 << 20


def kept_corners(
    polygons: Sequence[Sequence[NDArray[np.int64]]], tolerance: float
) -> list[list[NDArray[np.int64]]]:
    """Return the indices of the corners to keep, ascending, of every ring of every polygon.

    Args:
        polygons: rings of each object, ``(corners, 2)``; the last corner joins the first.
        tolerance: largest distance in pixels from a corner that is left out to the new outline; 0 keeps all.
    """
    found = [[np.arange(len(ring)) for ring in rings] for rings in polygons]
    tolerances = [[tolerance] * len(rings) for rings in polygons]
    left = list(range(len(polygons))) if tolerance > 0 else []
    for attempt in range(_ATTEMPTS + 1):
        if not left:
            break
        tried = _thinned([polygons[number] for number in left], [tolerances[number] for number in left])
        again: list[int] = []
        for number, kept in zip(left, tried, strict=True):
            found[number] = kept
            unsound = _unsound(polygons[number], kept)
            for place in unsound:
                # With tolerance 0, only corners on a straight line are left out.
                tolerances[number][place] *= 0.5 if attempt < _ATTEMPTS - 1 else 0.0
            again += [number] if unsound else []
        left = again
    return found


def _thinned(
    polygons: Sequence[Sequence[NDArray[np.int64]]], tolerances: Sequence[Sequence[float]]
) -> list[list[NDArray[np.int64]]]:
    """Return the corners to keep of each ring: at least three, and enough that nothing crosses."""
    rings = [ring for polygon in polygons for ring in polygon]
    closed = np.concatenate([np.concatenate([ring, ring[:1]]) for ring in rings])
    lengths = np.array([len(ring) + 1 for ring in rings])
    firsts = np.cumsum(lengths) - lengths
    of_ring = np.repeat(np.arange(len(rings)), lengths)
    of_polygon = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])[of_ring]
    tolerance = np.array([one for polygon in tolerances for one in polygon])
    keep = np.zeros(len(closed), np.bool_)
    keep[firsts] = keep[firsts + lengths - 1] = True
    away = np.linalg.norm(closed - closed[firsts][of_ring], axis=1)
    keep[_largest(away, firsts, np.ones(len(rings), np.bool_))] = True
    fewest = True
    while True:
        ends = np.flatnonzero(keep)
        segment = np.cumsum(keep) - 1
        start, end = closed[ends], closed[np.append(ends[1:], ends[-1])]
        distance = _distances(closed, start[segment], end[segment])
        distance[keep] = 0
        most = np.maximum.reduceat(distance, ends)
        split = most > tolerance[of_ring[ends]]
        if fewest:  # add a third corner to each ring: the farthest from the line between the first two
            best = np.maximum.reduceat(most, np.flatnonzero(np.diff(of_ring[ends], prepend=-1)))
            split |= most == best[of_ring[ends]]
            fewest = False
        if not split.any():
            edges = of_ring[ends[:-1]] == of_ring[ends[1:]]
            crossed = _crossed(start[:-1][edges], end[:-1][edges], of_polygon[ends[:-1]][edges])
            split[np.flatnonzero(edges)[crossed]] = True
            split &= most > 0
            if not split.any():
                break
        keep[_largest(distance, ends, split & (most > 0))] = True
    kept = [
        np.flatnonzero(keep[first : first + length - 1])
        for first, length in zip(firsts.tolist(), lengths.tolist(), strict=True)
    ]
    found = iter(kept)
    return [[next(found) for _ in polygon] for polygon in polygons]


def _largest(
    values: NDArray[np.float64], firsts: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return, for each requested run of values that begins at ``firsts``, where its maximum first occurs."""
    run = np.zeros(len(values), np.int64)
    run[firsts[1:]] = 1
    run = np.cumsum(run)
    most = np.maximum.reduceat(values, firsts)
    places = np.flatnonzero((values == most[run]) & wanted[run])
    return places[np.unique(run[places], return_index=True)[1]]


def _distances(
    points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the distances of points from the lines between two other points."""
    along = end - start
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = (((points - start) * along).sum(axis=1) / length).clip(0, 1)
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def _area(ring: NDArray[np.int64]) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2


def _unsound(rings: Sequence[NDArray[np.int64]], kept: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return the rings whose direction or area changes too much; all of them if no pixel is left."""
    thin = [ring[some] for ring, some in zip(rings, kept, strict=True)]
    shares = [_area(new) / _area(old) for new, old in zip(thin, rings, strict=True)]
    if wrong := [place for place, share in enumerate(shares) if not 0.5 <= share <= 2]:
        return wrong
    low, high = rings[0].min(axis=0), rings[0].max(axis=0)
    width, height = (high - low).tolist()
    # Only small or thin shapes can fall between pixel centres.
    if sum(map(_area, thin)) > 4 * (width + height):
        return []
    inside = Polygon([(ring - low).astype(np.float64) for ring in thin]).draw((height, width))
    return [] if inside.area else list(range(len(rings)))


def _crossed(
    starts: NDArray[np.int64], ends: NDArray[np.int64], owner: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the edges that cross another edge of the same owner; touching does not count."""
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    span = int(high.max()) + 2
    begin, last = owner * span + low[:, 0], owner * span + high[:, 0]
    order = np.argsort(begin, kind="stable")
    begin, last = begin[order], last[order]
    # Sorted by x, each edge is compared with those that begin before it ends.
    count = np.searchsorted(begin, last, "right") - np.arange(len(begin)) - 1
    sums = np.cumsum(count)
    found: list[NDArray[np.int64]] = []
    top = 0
    while top < len(begin):
        before = int(sums[top - 1]) if top else 0
        bottom = max(int(np.searchsorted(sums, before + _PAIRS, "right")), top + 1)
        some = count[top:bottom]
        one = np.repeat(np.arange(top, bottom), some)
        other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(some) - some, some)
        one, other = order[one], order[other]
        near = (low[one, 1] <= high[other, 1]) & (low[other, 1] <= high[one, 1])
        one, other = one[near], other[near]
        a, b, c, d = starts[one], ends[one], starts[other], ends[other]
        apart = (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)
        found += [one[apart], other[apart]]
        top = bottom
    return np.unique(np.concatenate(found))


def _side(a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return on which side of the line from a to b the point c is: -1, 0 or 1."""
    cross = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.sign(cross)
