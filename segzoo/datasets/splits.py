"""Divides a dataset without parts into train, val and test.

Names are sorted by their hashes, with exact quotas: 80 % train, 10 % validate, 10 % test. The result depends
neither on the order of files on a disk nor on chance, and a new image moves few others. Images that belong
together, such as the slices of a volume or the frames of a video, stay in one part.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, get_args

from segzoo.errors import OptionError
from segzoo.files import name_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The parts that a name may belong to.
Split = Literal["train", "val", "test"]

#: Names of the folders of each part.
FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "holdout"),
}
_PARTS: dict[str, Split] = {word: part for part in get_args(Split) for word in FOLDERS[part]}
#: Words next to the name of a part, as in ``train_set`` and ``ValidationData``.
_BESIDE_PARTS = frozenset(("set", "data", "dataset", "subset", "split", "part", "list", "ids", "files"))
_JOINED_PART = re.compile(f"^({'|'.join(_PARTS)})(?:{'|'.join(_BESIDE_PARTS)})?$")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+")

#: What follows the name of a whole in the names of its pieces.
_PIECE = re.compile(
    r"""(?ix)
    (?: [._] (?:jpe?g|png|bmp|tiff?|webp) \.rf\.[0-9a-z]{8,}              # Roboflow's augmentations
      | [-_.] (?:mp4|avi|mov|mkv|webm|m4v|mpe?g) [-_. ]*(?:frame)?[-_. ]?\d+   # its frames of videos
      | (?:^|(?<=/)|[-_. ]) (?:slice|slc|plane|page|frame) [-_. ]?\d+
      | \.nii(?:\.gz)? [-_. ]? \d+                                         # slices of NIfTI volumes
      | [-_. ] (?:tile|patch|crop|chip) [-_. ]?\d+ (?:[-_x. ]\d+)*
      | [-_. ] (?:x|r|row)[-_]?\d+ [-_. ]? (?:y|c|col)[-_]?\d+            # x512_y0, r3_c4, row3_col4
      | [-_. ] (?:y|c|col)[-_]?\d+ [-_. ]? (?:x|r|row)[-_]?\d+
      | [-_. ] (?:z\d+|t\d{2,})
      | [-_. ] (?:aug(?:mented)?[-_. ]?\d*|h?v?flip(?:ped)?|rot(?:ated?)?[-_. ]?\d+)
    )$""",
)
_NUMBERS = re.compile(r"(\d+)")


def divided(names: Sequence[str], groups: Sequence[str] | None = None) -> list[Split]:
    """Divide a dataset without parts: 80 % train, 10 % validate, 10 % test.

    Quotas are exact, and from three images on each part has at least one; two images are one for training and
    one for validation. Groups stay together, so parts come as close to their quotas as whole groups allow,
    and with two groups there is no test part. A single group is cut in the order of names: validation and
    test follow train.

    Args:
        names: names of all samples, in any order.
        groups: group of each sample, which stays together; by default `groups_of` the names.

    Returns:
        The part of each sample, in the order of ``names``.
    """
    groups = groups_of(names) if groups is None else groups
    if len(set(groups)) == 1 and len(names) > 1:
        units = [f"{number:09}" for number in _ranks(names)]
        order = sorted(units)
    else:
        units = list(groups)
        order = sorted(set(units), key=lambda unit: (_digest(unit), unit))
    sizes = Counter(units)
    tested = _taken(order[::-1], sizes, len(names), 2)
    rest = [unit for unit in order if unit not in tested]
    validated = _taken(rest[::-1], sizes, len(names), 1)
    return ["test" if unit in tested else "val" if unit in validated else "train" for unit in units]


def groups_of(names: Iterable[str]) -> list[str]:
    """Return the group of each name: the name of its whole if it ends like that of a piece.

    ``brain_slice_012``, ``city_tile_3_4``, ``slide_x512_y0``, ``clip_frame0001``, ``stack_z03`` and
    Roboflow's ``cat_jpg.rf.0b5c...`` are pieces. Any other name is its own group.

    Args:
        names: names without suffix; they may include folders.
    """
    found = []
    for name in names:
        whole = name
        while (piece := _PIECE.search(whole)) is not None:
            whole = whole[: piece.start()].rstrip("/-_. ")
        found.append(whole)
    return found


def part_named(name: str) -> Split | Literal[""]:
    """Return the part in the name of a folder, list or word: ``val`` for ``Validation`` or ``2_valid_set``.

    Args:
        name: name without file suffix.

    Returns:
        The part; empty if the name contains none, or more than one.
    """
    words = [_JOINED_PART.sub(r"\1", word.lower()) for word in _WORD.findall(name)]
    said = [word for word in words if word not in _BESIDE_PARTS]
    return _PARTS.get(said[0], "") if len(said) == 1 else ""


def split_of(name: str) -> Split:
    """Return the part that follows from a name alone: about 80 % train, 10 % validate and 10 % test.

    For datasets whose division was published like this; `divided` has exact quotas.
    """
    hundredth = hundredth_of(name)
    return "train" if hundredth < 80 else "val" if hundredth < 90 else "test"


def hundredth_of(name: str) -> int:
    """Return 0 to 99, from the SHA-256 of a name."""
    return int.from_bytes(_digest(name)[:8], "big") % 100


def check_split(data: str, split: str, known: Sequence[str] = (*FOLDERS, "all")) -> None:
    """Raise `OptionError` unless a dataset has that part.

    Args:
        data: name of the dataset, for the error message.
        split: the requested part.
        known: the existing parts; by default ``train``, ``val``, ``test`` and ``all``.
    """
    if split not in known:
        raise OptionError(f"{data} has the splits {', '.join(known)}, not {split!r}")


def _digest(name: str) -> bytes:
    return hashlib.sha256(name_bytes(name)).digest()


def _ranks(names: Sequence[str]) -> list[int]:
    """Return the rank of each name in natural order, in which 10 comes after 9."""

    def key(index: int) -> tuple[list[tuple[int, str]], str]:
        words = _NUMBERS.split(names[index])
        return [(int(word), "") if word.isdecimal() else (-1, word) for word in words], names[index]

    ranks = [0] * len(names)
    for rank, index in enumerate(sorted(range(len(names)), key=key)):
        ranks[index] = rank
    return ranks


def _taken(order: Sequence[str], sizes: Counter[str], total: int, spared: int) -> set[str]:
    """Return the first units that together come closest to a tenth of all samples.

    Args:
        order: the remaining units, in order.
        sizes: number of samples in each unit.
        total: number of samples of all units; the target is a tenth of it, at least one.
        spared: number of units reserved for others; none is taken if there are no more than that.
    """
    free = len(order) - spared
    if free < 1:
        return set()
    wanted, count, taken = max(int(total / 10 + 0.5), 1), 0, set()
    for unit in order:
        if len(taken) < free and abs(count + sizes[unit] - wanted) < abs(count - wanted):
            taken.add(unit)
            count += sizes[unit]
    # If all of them are far too large, the smallest one is taken.
    return taken or {min(order, key=lambda unit: sizes[unit])}
