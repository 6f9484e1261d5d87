"""Findings about the same image twice, which makes a validation look better than it is.

Copies are equal byte by byte. Near-copies are found by a difference hash (dHash: whether each of 8x8
grey cells is darker than its neighbour) of at most 5 differing bits of 64, and confirmed by a correlation
of at least 0.97 between 32x32 thumbnails; images almost without structure are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segzoo.data_check.report import Finding
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.survey import Look

_BITS, _CORRELATION, _STRUCTURE = 5, 0.97, 2.0
_SHOWN = 20
#: Candidates beyond which a film of near-equal frames has been proven often enough.
_MOST = 100_000

Twins = list[tuple[int, int]]


def twins(looks: Sequence[Look]) -> Iterator[Finding]:
    """Tell of images that occur twice, across splits above all."""
    looks = [look for look in looks if look.readable]
    copies = _copies(looks)
    same = set(copies)
    near = [pair for pair in near_copies([look.image.sketch for look in looks]) if pair not in same]
    across = [pair for pair in copies if _apart(looks, pair)]
    near_across = [pair for pair in near if _apart(looks, pair)]
    if across:
        yield _found(
            "copies-across-splits",
            "warning",
            f"{many(len(across), 'image', 'occur')} in two splits",
            "A network that is scored on what it was trained on looks better than it is. Take one away.",
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
            "or validation will look better than it is.",
            looks,
            near_across,
        )
    inside = len(copies) - len(across)
    if inside:
        yield _found(
            "copies",
            "note",
            f"{many(inside, 'image', 'occur')} twice within a split",
            "They count double in training. If their masks differ, one of them is wrong.",
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
    """Return pairs of positions whose 32x32 thumbnails show almost the same."""
    known = [i for i, sketch in enumerate(sketches) if sketch is not None and sketch.std() >= _STRUCTURE]
    if len(known) < 2:
        return []
    hashes = np.array([_hash(np.asarray(sketches[i])) for i in known], np.uint64)
    return sorted(
        (known[left], known[right])
        for left, right in _candidates(hashes)
        if _correlation(sketches[known[left]], sketches[known[right]]) >= _CORRELATION
    )


def _correlation(left: NDArray[np.uint8] | None, right: NDArray[np.uint8] | None) -> float:
    one, other = (np.asarray(sketch, np.float64).ravel() for sketch in (left, right))
    return float(np.corrcoef(one, other)[0, 1])


def _candidates(hashes: NDArray[np.uint64]) -> set[tuple[int, int]]:
    """Return pairs of hashes that differ in few bits: then one of six 11-bit parts is equal."""
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
