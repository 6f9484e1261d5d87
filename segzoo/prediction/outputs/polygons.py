"""Objects as polygons along the edges of their pixels, without loss.

A pixel in column c and row r is the square from (c, r) to (c + 1, r + 1): x to the right, y down, from the
top left corner of the image. Filling a polygon by the even-odd rule at pixel centres gives back exactly the
same pixels. Corners are found by comparing the four pixels around each point, for all objects at once. In
each row, every second corner is joined to the one before by a horizontal edge; in each column, by a vertical
edge. Following horizontal and vertical edges in turn walks around an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: ``(corners, 2)`` of x and y; the last corner joins the first, which is not repeated.
    Ring = NDArray[np.int64]


def trace_polygons(numbers: NDArray[Any], connectivity: int = 8) -> list[list[Ring]]:
    """Return the rings of object 1, 2, ...: its outer ring, then those of its holes.

    Outer rings have a positive area by the shoelace formula (clockwise on a screen, whose y points down),
    holes a negative one. Where pixels of an object share only a corner, a ring touches itself.

    Args:
        numbers: ``(H, W)`` object number of each pixel, 0 for background.
        connectivity: 4 or 8: which neighbouring pixels are connected; it decides how a ring continues where
            it touches itself.
    """
    objects, x, y, horizontal, vertical = _corners(numbers, joined=connectivity == 8)
    height, width = (side + 1 for side in numbers.shape)
    along_rows = np.argsort(((objects * height + y) * width + x) * 2 + horizontal)
    along_columns = np.argsort(((objects * width + x) * height + y) * 2 + vertical)
    order, lengths = _walk(_partners(along_rows), _partners(along_columns), along_rows)
    polygons: list[list[Ring]] = [[] for _ in range(int(numbers.max(initial=0)))]
    if not len(order):
        return polygons
    points = np.stack([x[order], y[order]], axis=1)
    firsts = np.cumsum(lengths) - lengths
    owners = objects[order[firsts]]
    for owner, first, length in zip(owners.tolist(), firsts.tolist(), lengths.tolist(), strict=True):
        ring = points[first : first + length]
        rings = polygons[owner - 1]
        # The first ring of an object has its highest corner, so it is the outer one. Every walk starts to the
        # right along a highest edge, so rings of holes are reversed.
        rings.append(ring[::-1] if rings else ring)
    return polygons


def _corners(
    numbers: NDArray[Any], *, joined: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return object, x, y, and two orders of every corner.

    Where two pixels of an object share only a point, two corners are at that point. In the first order, one
    ends the edge from the left (0) and one begins the edge to the right (1); in the second order, one ends
    the edge from above (0) and one begins the edge below (1).
    """
    padded = np.pad(numbers, 1)
    quads = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    straight = (quads[0] == quads[1]) & (quads[2] == quads[3])
    straight |= (quads[0] == quads[2]) & (quads[1] == quads[3])
    y, x = np.nonzero(~straight)
    around = np.stack([quad[y, x] for quad in quads], axis=1).astype(np.int64)
    found: list[tuple[NDArray[Any], ...]] = []
    for quadrant in range(4):
        mine = around == around[:, quadrant, None]
        count = mine.sum(axis=1)
        counted = (around[:, quadrant] > 0) & ~mine[:, :quadrant].any(axis=1)
        single = np.flatnonzero(counted & (count % 2 == 1))
        zero = np.zeros(len(single), np.int64)
        found.append((around[single, quadrant], x[single], y[single], zero, zero))
        opposite = mine[:, 0] == mine[:, 3]
        double = np.flatnonzero(counted & (count == 2) & opposite)
        # Pixels at top left and bottom right. Separate: the edge from the left turns up; joined: it turns
        # down.
        falling = mine[double, 0]
        down = falling == joined
        for copy in (0, 1):
            order = np.full(len(double), copy)
            found.append((around[double, quadrant], x[double], y[double], order, down ^ bool(copy)))
    objects, x, y, horizontal, vertical = (
        np.concatenate(parts).astype(np.int64) for parts in zip(*found, strict=True)
    )
    return objects, x, y, horizontal, vertical


def _partners(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each corner the one at the other end of its edge: corners are paired in order."""
    partners = np.empty_like(order)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return partners


def _walk(
    across: NDArray[np.int64], along: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the corners ring by ring, and the length of each ring; rings start in the order given."""
    horizontal, vertical = across.tolist(), along.tolist()
    seen = bytearray(len(horizontal))
    walked: list[int] = []
    lengths: list[int] = []
    for start in order.tolist():
        if seen[start]:
            continue
        before, corner = len(walked), start
        while not seen[corner]:
            other = horizontal[corner]
            seen[corner] = seen[other] = 1
            walked += (corner, other)
            corner = vertical[other]
        lengths.append(len(walked) - before)
    return np.array(walked, np.int64), np.array(lengths, np.int64)
