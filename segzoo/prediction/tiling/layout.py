"""How one side of an image is cut into tiles, and the weight of each tile at each pixel.

Every tile begins at a multiple of the network's grid, so that pooling groups the same pixels as in the whole
image. All tiles have the same length; only the last may be shorter, by less than one step of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """A tile along one side.

    Attributes:
        start: first pixel of the network's input.
        stop: pixel after the last.
        first: from this pixel on, earlier tiles have no weight.
        last: up to this pixel, later tiles have no weight; where ``last`` of a tile is after ``first`` of the
            next, the two are blended.
        core: pixels in which this tile has all the weight, or most of it; the cores of all tiles make up the
            side.
    """

    start: int
    stop: int
    first: int
    last: int
    core: tuple[int, int]

    @property
    def length(self) -> int:
        """Number of pixels of the network's input."""
        return self.stop - self.start


def up(value: int, grid: int) -> int:
    """Round up to a multiple of ``grid``."""
    return -(-value // grid) * grid


def cut(size: int, tile: int, overlap: int, grid: int, *, smooth: bool) -> tuple[Span, ...]:
    """Cut a side of ``size`` pixels into equal tiles of at most ``tile``.

    Args:
        size: number of pixels, at least 1.
        tile: maximum tile size, a multiple of ``grid`` and larger than ``overlap``.
        overlap: minimum number of pixels that neighbours share; a multiple of ``grid``.
        grid: see `segzoo.prediction.tiling.NetworkProfile`.
        smooth: whether neighbours are blended where they overlap; otherwise each ends in the middle of it.
    """
    starts, length = _starts(size, tile, overlap, grid)
    stops = [min(start + length, size) for start in starts]
    # A hard edge is on the grid, so that no pixel beyond it is closer to the tile's end than requested.
    step = 1 if smooth else grid
    middles = [(a + b) // (2 * step) * step for a, b in zip(starts[1:], stops[:-1], strict=True)]
    # If tiles are closer than their overlap, more than two would meet: then only the middle is blended.
    apart = min((b - a for a, b in pairwise(middles)), default=length)
    half = min(overlap, apart) // 2 if smooth else 0
    cores = list(zip([0, *middles], [*middles, size], strict=True))
    return tuple(
        Span(
            start,
            stop,
            first=core[0] - half if index else 0,
            last=core[1] + half if index < len(starts) - 1 else size,
            core=core,
        )
        for index, (start, stop, core) in enumerate(zip(starts, stops, cores, strict=True))
    )


@dataclass(frozen=True)
class Cut:
    """Properties of a cut before it is made: number of tiles, longest tile, and total length."""

    count: int
    longest: int
    together: int


def foresee(size: int, tile: int, overlap: int, grid: int) -> Cut:
    """Return what `cut` will do, in constant time for any number of tiles."""
    if size <= tile:
        return Cut(1, size, size)
    count = -(-(size - overlap) // (tile - overlap))
    length = min(tile, up(-(-(size - overlap) // count) + overlap, grid))
    # Rounded up to the grid, fewer tiles may be enough.
    count = -(-(size - overlap) // (length - overlap))
    last = size - _last_start(size, length, grid)
    return Cut(count, length, (count - 1) * length + last)


def _last_start(size: int, length: int, grid: int) -> int:
    # Moved back to be as long as the others, as far as the grid allows.
    return max(0, up(size - length, grid))


def _starts(size: int, tile: int, overlap: int, grid: int) -> tuple[list[int], int]:
    planned = foresee(size, tile, overlap, grid)
    if planned.count == 1:
        return [0], size
    step = planned.longest - overlap
    return [
        *(index * step for index in range(planned.count - 1)),
        _last_start(size, planned.longest, grid),
    ], planned.longest


def weights(span: Span) -> NDArray[np.float32]:
    """Return the weight of a tile at each of its pixels, ``(length,)``; weights of all tiles add up to 1."""
    positions = np.arange(span.start, span.stop, dtype=np.float32) + 0.5
    first = _ramp(positions, span.first, 2 * span.core[0] - span.first)
    last = _ramp(positions, 2 * span.core[1] - span.last, span.last)
    return first * (1 - last)


def _ramp(positions: NDArray[np.float32], low: int, high: int) -> NDArray[np.float32]:
    if high <= low:
        return (positions > low).astype(np.float32)
    where = ((positions - low) / (high - low)).clip(0, 1)
    return where * where * (3 - 2 * where)
