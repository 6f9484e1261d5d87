"""Connected components of masks, of every class in one pass, in numpy alone.

Rows are cut into runs of one class; runs of neighbouring rows that touch are joined by union-find, in
which all roots hook onto smaller ones at once and paths are halved until they are flat (Shiloach and
Vishkin, 1982, doi 10.1016/0196-6774(82)90008-6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Components:
    """The connected components of a mask, numbered from 0 in the order of their first pixels.

    Attributes:
        numbers: ``(H, W)`` int32, the component of each pixel.
        classes: the class of each component.
        areas: int64, the pixels of each component.
    """

    numbers: NDArray[np.int32]
    classes: NDArray[np.int64]
    areas: NDArray[np.int64]


def check_connectivity(connectivity: int) -> None:
    """Raise `OptionError` unless pixels join by their edges (4) or by their corners too (8)."""
    if connectivity not in (4, 8):
        raise OptionError(f"connectivity must be 4 or 8, got {connectivity!r}")


def find_components(mask: NDArray[Any], connectivity: int = 8) -> Components:
    """Return the connected components of each class of a mask ``(H, W)``.

    Args:
        mask: class indices.
        connectivity: 4 or 8: whether pixels that share a corner only are joined.

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


def _touching(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    classes: NDArray[np.int64],
    width: int,
    connectivity: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of runs of one class of which the second lies below the first."""
    above = np.flatnonzero(starts < starts[-1] - starts[-1] % width)
    reach = 1 if connectivity == 8 else 0
    row = starts[above] - starts[above] % width
    left = np.maximum(starts[above] - reach, row) + width
    right = np.minimum(ends[above] - 1 + reach, row + width - 1) + width
    # Runs cover their rows without gaps: the run of a pixel is the last that starts at it or before.
    first = np.searchsorted(starts, left, "right") - 1
    count = np.searchsorted(starts, right, "right") - first
    upper = np.repeat(above, count)
    ordinal = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    lower = np.repeat(first, count) + ordinal
    same = classes[upper] == classes[lower]
    return upper[same], lower[same]


def _joined(size: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of ``size`` items the smallest item that pairs connect it to."""
    parent = np.arange(size)
    while True:
        a, b = parent[one], parent[other]
        apart = a != b
        if not apart.any():
            return parent
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        # Of several that a root could hook onto any will do: the next round joins the rest.
        parent[np.maximum(a, b)] = np.minimum(a, b)
        while (higher := parent[parent]).tobytes() != parent.tobytes():
            parent = higher
