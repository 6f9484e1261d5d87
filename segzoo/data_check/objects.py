"""Determines whether mask values number objects or name classes, from evidence over all masks.

Values that number objects nearly always form one piece each, a file has as many as it has objects, and a
value has no meaning across files. Values of classes occur independently of each other, or stay at their
place. Gaps prove nothing: numbers are missing if objects were deleted or images were cropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.labels import colour_number
from segzoo.prediction.postprocessing import find_components

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.facts import MaskFacts

#: Maximum number of values of one mask that are measured; counts cover all values.
MOST = 1024
#: Maximum number of pixels of one mask that are measured; a window of a larger mask is enough.
_WINDOW = 1 << 21
#: Minimum number of values in a mask for their places to count as evidence.
FEWEST = 3
#: Minimum total number of different numbers for objects; fewer count as classes.
_LEAST = 5
#: Minimum share of values in one piece. Classes of scenes reach a half at most, partly hidden objects nine in
#: ten.
_IN_ONE_PIECE = 0.85
#: Log-likelihood ratios that count as evidence: 20 to 1, and 100 to 1 if most numbers are gaps, as in crops
#: and in long lists of classes.
_LIKELIER, _LIKELIER_IN_GAPS, _GAPS = 3.0, 4.6, 0.6
#: This many values in one file, each in one piece, are objects; more than people, organs or teeth have.
_CROWD, _CROWD_IN_FEW = 40, 24
#: Above the first, borders are those of grey levels; above the second, values keep their places.
_SMOOTH, _PLACED = 0.5, 0.6
#: Above this number, values that keep their places may still be objects.
_CLASSES = 64
VOID, _BELOW_VOID = 255, 200
#: Numbers up to this are not renumbered.
_DENSE = 1 << 16
#: A value is in one piece if this share of it is.
_WHOLE = 0.95
#: Fewer pixels prove nothing: each grey level of a photograph may occur in one place.
_GRAIN = 4
#: Prior of the frequencies of classes: means, and how strongly frequencies cluster around them.
_MEANS, _WEIGHTS = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97), (0.3, 1.0, 3.0, 10.0, 100.0)


@dataclass(frozen=True, slots=True, eq=False)
class ValueFacts:
    """Measurements of the values of one mask; arrays have an entry for each value but 0, in ascending order.

    Attributes:
        values: int64, the values.
        pixels: int64, number of pixels of each value.
        centres: ``(values, 2)``, mean row and column, from 0 to 1.
        whole: whether the value is in one piece of more than a few pixels.
        smooth: share of the borders between values other than 0 at which they differ by 2 or less, as in
            pictures and distance maps.
    """

    values: NDArray[np.int64]
    pixels: NDArray[np.int64]
    centres: NDArray[np.float32]
    whole: NDArray[np.bool_]
    smooth: float


def look_at_values(mask: NDArray[Any]) -> ValueFacts:
    """Measure the values of a mask ``(H, W)`` of integers."""
    mask = central_window(mask)
    found = find_components(mask)
    values, which = np.unique(found.classes, return_inverse=True)
    pixels = np.bincount(which, weights=found.areas).astype(np.int64)
    largest = np.zeros(len(values), np.int64)
    np.maximum.at(largest, which, found.areas)
    chosen = np.flatnonzero(values)[:MOST]
    return ValueFacts(
        values=values[chosen].astype(np.int64),
        pixels=pixels[chosen],
        centres=(_centres(mask, values) / pixels[:, None])[chosen].astype(np.float32),
        whole=(largest[chosen] >= _WHOLE * pixels[chosen]) & (pixels[chosen] >= _GRAIN),
        smooth=_smooth(mask),
    )


def central_window(mask: NDArray[Any]) -> NDArray[Any]:
    """Return the centre of a mask ``(H, W)`` of more than two million pixels, or a smaller one unchanged."""
    if mask.size <= _WINDOW:
        return mask
    side = int(_WINDOW**0.5)
    height, width = (max(side, _WINDOW // max(other, 1)) for other in mask.shape[::-1])
    top, left = (max(length - part, 0) // 2 for length, part in zip(mask.shape, (height, width), strict=True))
    return mask[top : top + height, left : left + width]


def _centres(mask: NDArray[Any], values: NDArray[np.int64]) -> NDArray[Any]:
    """Return the sums of rows and columns, from 0 to 1, over the pixels of each value, run by run."""
    height, width = mask.shape
    breaks = np.ones(mask.shape, np.bool_)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=breaks[:, 1:])
    starts = np.flatnonzero(breaks)
    lengths = np.diff(starts, append=mask.size)
    places = np.searchsorted(values, mask.ravel()[starts].astype(np.int64))
    rows, columns = divmod(starts, width)
    sums = (rows / height, (columns + (lengths - 1) / 2) / width)
    return np.stack([np.bincount(places, weights=one * lengths) for one in sums], axis=1)


def _smooth(mask: NDArray[Any]) -> float:
    near = borders = 0
    for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        border = one != other
        first, second = one[border].astype(np.int64), other[border].astype(np.int64)
        borders += first.size
        near += int(np.count_nonzero((first != 0) & (second != 0) & (abs(first - second) <= 2)))
    return near / borders if borders else 0.0


@dataclass(frozen=True)
class Evidence:
    """Evidence for and against numbered objects in the masks of a dataset.

    Attributes:
        files: number of files.
        most: the largest number of values in a file.
        highest: highest of all values.
        whole: share of values in one piece.
        smooth: share of borders at which values differ by 2 or less.
        numbered: log-likelihood ratio of the values as numbers with gaps to classes that occur
            independently.
        gaps: share of the numbers up to a file's highest that are missing.
        placed: share of the variance of places and sizes that the value explains; 0 if unknown.
        void: whether 255 is void in addition to the numbers, as in Pascal's objects.
    """

    files: int
    most: int
    highest: int
    whole: float
    smooth: float
    numbered: float
    gaps: float
    placed: float
    void: bool

    @property
    def objects(self) -> bool:
        """Whether the evidence is enough to conclude that values number objects."""
        if not self.pieces or self.smooth > _SMOOTH:
            return False
        likely = self.numbered > (_LIKELIER if self.gaps < _GAPS else _LIKELIER_IN_GAPS)
        if self.placed > _PLACED:
            # Cells that are tracked through a film keep number and place, but so do organs.
            return self.highest > _CLASSES and likely
        return likely or self.most >= (_CROWD_IN_FEW if self.files <= 2 else _CROWD)

    @property
    def pieces(self) -> bool:
        """Whether there are several values, each in one piece: objects, or classes that occur once."""
        return self.highest >= _LEAST and self.most > FEWEST and self.whole >= _IN_ONE_PIECE


def gather(masks: Sequence[MaskFacts], files: Sequence[str]) -> Evidence | None:
    """Return the evidence from masks; those of one file, such as its pages, number the same objects.

    Args:
        masks: facts of the masks.
        files: file of each mask.
    """
    looks = [(mask.looks, file) for mask, file in zip(masks, files, strict=True) if mask.looks is not None]
    found: dict[str, set[int]] = {}
    for mask, file in zip(masks, files, strict=True):
        values = set(mask.looks.values.tolist()) if mask.looks else _values(mask)
        if values or not mask.numbers:  # otherwise there are too many to keep
            found.setdefault(file, set()).update(values)
    void = _is_void([values for values in found.values() if values])
    values_of = [values - {VOID} if void else values for values in found.values()]
    if not looks or not any(values_of):
        return None
    whole = np.concatenate([one.whole[one.values != VOID] if void else one.whole for one, _ in looks])
    return Evidence(
        files=len(found),
        most=max(map(len, values_of)),
        highest=max(max(values, default=0) for values in values_of),
        whole=float(whole.mean()) if len(whole) else 0.0,
        smooth=float(np.median([one.smooth for one, _ in looks])),
        numbered=_numbered(values_of),
        gaps=1 - float(np.mean([len(values) / max(values) for values in values_of if values])),
        placed=_placed({file: one for one, file in looks}),
        void=void,
    )


def _values(mask: MaskFacts) -> set[int]:
    """Return the values of a mask that was not measured, or the numbers that its colours stand for."""
    return {*mask.values, *map(colour_number, mask.colours)} - {0}


def _is_void(found: Sequence[set[int]]) -> bool:
    """Return whether 255 is apart from all other values, and occurs in most files."""
    others = max((max(values - {VOID}, default=0) for values in found), default=0)
    return others < _BELOW_VOID and 2 * sum(VOID in values for values in found) > len(found)


def _numbered(found: Sequence[set[int]]) -> float:
    """Return a log-likelihood ratio: of numbers with gaps to independent classes."""
    if max(max(values, default=0) for values in found) > _DENSE:
        # Random numbers, or numbers that begin with the class: only their order has a meaning.
        place = {value: rank for rank, value in enumerate(sorted(set().union(*found)), start=1)}
        found = [{place[value] for value in values} for values in found]
    files, high = len(found), max(max(values, default=0) for values in found)
    counts = np.bincount(np.concatenate([list(values) for values in found]).astype(np.int64))[1:]
    classes = max(
        _independent(counts, files, mean * weight, (1 - mean) * weight)
        for mean in _MEANS
        for weight in _WEIGHTS
    )
    some = [values for values in found if values]
    present = sum(map(len, some))
    upward = present - len(some), sum(max(values) - 1 for values in some)
    within = present - 2 * len(some), sum(max(values) - min(values) - 1 for values in some)
    numbers = max(
        _gaps(*upward) - files * log(high + 1),
        _gaps(*within) - files * log(high * (high + 1) / 2 + 1),
    )
    return numbers - classes


def _gaps(present: int, places: int) -> float:
    """Return the log-likelihood that this many places hold a value, and the others are gaps."""
    if places <= 0 or present <= 0:
        return 0.0
    share = present / places
    return present * log(share) + ((places - present) * log(1 - share) if share < 1 else 0)


def _independent(counts: NDArray[np.int64], files: int, here: float, gone: float) -> float:
    """Return the log-likelihood that each value occurs with a frequency of its own.

    Frequencies follow Beta(here, gone), and are integrated out: each class may be rare or common.
    """
    alike = np.bincount(counts, minlength=files + 1)
    norm = lgamma(here + gone) - lgamma(here) - lgamma(gone) - lgamma(here + gone + files)
    return sum(
        int(times) * (lgamma(here + count) + lgamma(gone + files - count) + norm)
        for count, times in enumerate(alike)
        if times
    )


def _placed(one_each: Mapping[str, ValueFacts]) -> float:
    """Return how well a value predicts its position and its size, from file to file.

    Of rows, columns and sizes the second best prediction counts: objects that are numbered row by row have
    their rows in common, those numbered by size their sizes.
    """
    values = np.concatenate([one.values for one in one_each.values()])
    measures = np.concatenate(
        [np.column_stack([one.centres, np.log(one.pixels)]) for one in one_each.values()]
    )
    known, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared = counts[which] > 1
    free = int(shared.sum()) - int((counts > 1).sum())
    if free < 4:
        return 0.0
    which, measures = which[shared], measures[shared]
    means = np.zeros((len(known), 3))
    np.add.at(means, which, measures)
    within = ((measures - means[which] / counts[which, None]) ** 2).sum(axis=0) / free
    between = measures.var(axis=0, ddof=1) if len(measures) > 1 else within
    explained = 1 - within / np.maximum(between, 1e-12)
    return float(np.clip(np.sort(explained)[1], 0, 1))
