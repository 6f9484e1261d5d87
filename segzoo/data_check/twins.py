"""Findings about images that occur twice, which make validation scores too good.

Copies are equal byte by byte. Near-copies are found by a difference hash (dHash: whether each of 8x8
grey cells is darker than its neighbour) with at most 5 differing bits of 64, and by a correlation of at least
0.97 between 32x32 thumbnails; images almost without structure are skipped. Images of one instrument, such as
fundus photographs, can be this similar only because of their frame and lighting, so the pairs are read again
at 128x128: the part inside the frame must correlate, and its details too (the difference from a local mean).
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segzoo.data_check.report import Finding
from segzoo.data_check.survey import threads
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.survey import Look

_BITS, _CORRELATION, _STRUCTURE = 5, 0.97, 2.0
_SHOWN = 20
#: Maximum number of candidates; more are not needed to show that a film has near-copies.
_MOST = 100_000
#: Side of the pictures that confirm pairs, and the maximum number of images read for it.
SIDE, _MOST_READ = 128, 2_000
#: Minimum correlations of pairs: of the part inside the frame, and of its details.
_INSIDE, _DETAIL = 0.8, 0.3
#: Maximum deviation of a frame from its most frequent level, and minimum share of a picture inside the frame.
_FRAME, _LEAST = 8, 0.01
#: Half the side of the local mean's window, in pixels.
_WINDOW = 4

Twins = list[tuple[int, int]]


def twins(looks: Sequence[Look], picture: Callable[[int], NDArray[np.uint8] | None]) -> Iterator[Finding]:
    """Report images that occur twice, especially in different splits.

    Args:
        looks: facts of all pairs.
        picture: reads an image again by its position in ``looks``, ``(128, 128)`` and grey; ``None`` if
            that fails.
    """
    places = [index for index, look in enumerate(looks) if look.readable]
    looks = [looks[index] for index in places]
    copies = _copies(looks)
    same = set(copies)
    likely = [pair for pair in near_copies([look.image.sketch for look in looks]) if pair not in same]
    likely.sort(key=lambda pair: not _apart(looks, pair))
    near = sorted(_confirmed(likely, lambda index: picture(places[index])))
    across = [pair for pair in copies if _apart(looks, pair)]
    near_across = [pair for pair in near if _apart(looks, pair)]
    if across:
        yield _found(
            "copies-across-splits",
            "warning",
            f"{many(len(across), 'image', 'occur')} in two splits",
            "Scores on images that were used for training are too good. Remove one of them.",
            looks,
            across,
        )
    if near_across:
        yield _found(
            "near-copies-across-splits",
            "warning",
            f"{many(len(near_across), 'pair')} of images in different splits "
            f"{'is' if len(near_across) == 1 else 'are'} almost the same",
            "Frames of one film, neighbouring slices, or one image saved twice? Then keep them in one split, "
            "or validation scores will be too good.",
            looks,
            near_across,
        )
    inside = len(copies) - len(across)
    if inside:
        yield _found(
            "copies",
            "note",
            f"{many(inside, 'image', 'occur')} twice within a split",
            "They count twice in training. If their masks differ, one of them is wrong.",
            looks,
            [pair for pair in copies if not _apart(looks, pair)],
        )


def _copies(looks: Sequence[Look]) -> Twins:
    first: dict[bytes, int] = {}
    found = []
    for index, look in enumerate(looks):
        other = first.setdefault(look.image.digest, index)
        if other != index:
            found.append((other, index))
    return found


def near_copies(sketches: Sequence[NDArray[np.uint8] | None]) -> Twins:
    """Return pairs of positions with nearly equal 32x32 thumbnails."""
    known = [i for i, sketch in enumerate(sketches) if sketch is not None and sketch.std() >= _STRUCTURE]
    if len(known) < 2:
        return []
    hashes = np.array([_hash(np.asarray(sketches[i])) for i in known], np.uint64)
    return sorted(
        (known[left], known[right])
        for left, right in _candidates(hashes)
        if _correlation(sketches[known[left]], sketches[known[right]]) >= _CORRELATION
    )


def _confirmed(pairs: Twins, picture: Callable[[int], NDArray[np.uint8] | None]) -> Twins:
    """Return the pairs that are also similar in larger pictures; reads a limited number of images."""
    wanted: dict[int, None] = {}
    for pair in pairs:
        if len(wanted) + 2 > _MOST_READ:
            break
        wanted |= dict.fromkeys(pair)
    with threads(min(os.cpu_count() or 1, 8)) as pool:
        seen = dict(zip(wanted, pool.map(picture, wanted), strict=True))
    return [(left, right) for left, right in pairs if alike(seen.get(left), seen.get(right))]


def alike(left: NDArray[np.uint8] | None, right: NDArray[np.uint8] | None) -> bool:
    """Return whether two grey pictures of one size show the same, apart from a frame."""
    if left is None or right is None:
        return False
    frame = _frame(left) & _frame(right)
    # The edge of a frame is a detail that all images of one instrument share.
    inside = _blurred(frame.astype(np.float64)) == 0
    if inside.mean() < _LEAST:
        inside = np.ones_like(inside)
    one, other = left.astype(np.float64), right.astype(np.float64)
    if _correlated(one[inside], other[inside]) < _INSIDE:
        return False
    return _correlated((one - _blurred(one))[inside], (other - _blurred(other))[inside]) >= _DETAIL


def _frame(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a picture has the brightness of most of its border."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    level = np.bincount(border // _FRAME).argmax() * _FRAME + _FRAME // 2
    return np.abs(picture.astype(np.int16) - int(level)) <= _FRAME


def _blurred(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the window around each pixel."""
    size = 2 * _WINDOW + 1
    for _ in range(2):
        sums = np.pad(picture, ((_WINDOW + 1, _WINDOW), (0, 0)), mode="edge").cumsum(axis=0)
        picture = ((sums[size:] - sums[:-size]) / size).T
    return picture


def _correlated(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 0.0


def _correlation(left: NDArray[np.uint8] | None, right: NDArray[np.uint8] | None) -> float:
    one, other = (np.asarray(sketch, np.float64).ravel() for sketch in (left, right))
    return float(np.corrcoef(one, other)[0, 1])


def _candidates(hashes: NDArray[np.uint64]) -> set[tuple[int, int]]:
    """Return pairs of hashes that differ in few bits: one of six 11-bit parts is then equal."""
    found: set[tuple[int, int]] = set()
    for part in range(_BITS + 1):
        groups: dict[int, list[int]] = defaultdict(list)
        for index, value in enumerate((hashes >> np.uint64(11 * part)) & np.uint64(0x7FF)):
            groups[int(value)].append(index)
        for group in groups.values():
            members = np.array(group)
            for position, index in enumerate(group[:-1]):
                rest = members[position + 1 :]
                close = np.bitwise_count(hashes[rest] ^ hashes[index]) <= _BITS
                found.update((index, int(other)) for other in rest[close])
            if len(found) > _MOST:
                return found
    return found


def _hash(sketch: NDArray[np.uint8]) -> int:
    cells = np.asarray(Image.fromarray(sketch).resize((9, 8), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def _apart(looks: Sequence[Look], pair: tuple[int, int]) -> bool:
    return looks[pair[0]].split != looks[pair[1]].split


def _found(kind: str, severity: str, what: str, advice: str, looks: Sequence[Look], pairs: Twins) -> Finding:
    examples = [f"{_name(looks[left])} = {_name(looks[right])}" for left, right in pairs[:_SHOWN]]
    return Finding(
        kind=kind,
        severity="warning" if severity == "warning" else "note",
        what=what,
        advice=advice,
        count=len(pairs),
        examples=tuple(examples),
    )


def _name(look: Look) -> str:
    return f"{look.image_path} ({look.split})"
