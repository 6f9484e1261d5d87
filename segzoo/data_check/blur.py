"""Detects two-class masks that were blurred or rounded by JPEG, drawing or resizing: values near two."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from segzoo.data_check.facts import MaskFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Maximum distance from its peak of a value that JPEG or drawing has changed, and the minimum share of these.
_NEAR, _SHARE = 24, 0.85
#: A third class: this many adjacent values hold this share of the values near no peak, and of all values.
_CLASS, _MOSTLY, _SEEN = 33, 0.6, 0.005
_BRIGHTEST = 255
#: Maximum change of 0 and 255 by rounding, and the maximum share of a mask's pixels that changes.
_ROUNDED, _STRAY = 8, 0.1

Peaks = tuple[int, int]


def peaks(mask: MaskFacts) -> Peaks | None:
    """Return the two values with which a blurred two-class mask was drawn, or ``None`` for a crisp mask.

    A blurred mask has many values, most of which lie near two, one dark and one bright. The other values
    are spread over the whole range between them (drawn edges) or over both ends (JPEG).
    """
    if mask.distinct <= 2 or not mask.values or max(mask.values) > 255:
        return None
    dark = {value: count for value, count in mask.values.items() if value < 96}
    bright = {value: count for value, count in mask.values.items() if value >= 128}
    if not dark or not bright:
        # An empty JPEG mask holds 0, 1, 2 ..., which look like class indices.
        return (0, _BRIGHTEST) if mask.format == "JPEG" and max(mask.values) < _NEAR else None
    low, high = max(dark, key=dark.__getitem__), max(bright, key=bright.__getitem__)
    if share_near(mask, (low, high)) < _SHARE or low > 64 or _third(mask, (low, high)):
        return None
    return (low, high) if _spread(mask, low, high) else None


def rounded(masks: Sequence[MaskFacts]) -> bool:
    """Return whether masks hold 0 and 255, and also rounded values such as 254, each rare in its file.

    Two classes with almost the same value would both be frequent in some file.
    """
    found = {value for mask in masks for value in mask.values}
    dark, bright = ({v for v in found if v <= _ROUNDED}, {v for v in found if v >= _BRIGHTEST - _ROUNDED})
    if not dark or len(bright) + len(dark) < 3 or len(bright) < 2 or max(found) > _BRIGHTEST:
        return False
    for mask in masks:
        total = sum(mask.values.values())
        main = sum(max((mask.values.get(value, 0) for value in side), default=0) for side in (dark, bright))
        if total - main > _STRAY * total:
            return False
    return True


def _third(mask: MaskFacts, both: Peaks) -> bool:
    """Return whether the values near neither peak form a class: blurred edges have values of all kinds."""
    rest = np.zeros(256, np.int64)
    for value, count in mask.values.items():
        if min(abs(value - peak) for peak in both) > _NEAR:
            rest[value] = count
    most = int(np.convolve(rest, np.ones(_CLASS, np.int64), "valid").max())
    return most > max(_MOSTLY * int(rest.sum()), _SEEN * sum(mask.values.values()))


def share_near(mask: MaskFacts, both: Peaks) -> float:
    """Return the share of pixels whose value is near one of two peaks."""
    near = sum(n for value, n in mask.values.items() if min(abs(value - peak) for peak in both) <= _NEAR)
    return near / sum(mask.values.values())


def _spread(mask: MaskFacts, low: int, high: int) -> bool:
    between = [value for value in mask.values if low < value < high]
    quarters = {4 * (value - low) // (high - low) for value in between}
    drawn = len(quarters) >= 3 and len(between) > 6
    both_ends = sum(high - _NEAR <= value for value in mask.values) > 2
    ends = both_ends and sum(value <= low + _NEAR for value in mask.values) > 2
    return drawn or ends or (mask.format == "JPEG" and mask.distinct > 2)


def together(masks: Sequence[MaskFacts]) -> MaskFacts:
    """Return all masks combined, because a single small mask shows too little of the blur."""
    values: Counter[int] = Counter()
    for mask in masks:
        values.update(mask.values)
    return MaskFacts(values=dict(values), distinct=len(values))
