"""Which part of a data set a sample belongs to, where nobody has divided it.

Names are put in the order of their hashes, with exact quotas: of a hundred, 80 train, 10 validate, 10 test.
Neither the order in which a disk lists files nor chance changes anything, and a new image moves few others.
Images that belong together, such as the slices of a volume or the frames of a video, stay in one part.
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

#: What folders of each part are called.
FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "holdout"),
}
_PARTS: dict[str, Split] = {word: part for part in get_args(Split) for word in FOLDERS[part]}
#: What stands beside the name of a part, as in ``train_set`` and ``ValidationData``.
_BESIDE_PARTS = frozenset(("set", "data", "dataset", "subset", "split", "part", "list", "ids", "files"))
_JOINED_PART = re.compile(f"^({'|'.join(_PARTS)})(?:{'|'.join(_BESIDE_PARTS)})?$")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+")

#: What follows the name of a whole in the names of its pieces, at their end.
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
    """Divide a data set that nobody has divided: of a hundred, 80 train, 10 validate, 10 test.

    Quotas are exact, and from three images on each part has at least one; two images are one to train and one
    to validate. Groups stay together, so parts come as close to their quotas as whole groups allow, and of
    two groups none is left to test. One single group is cut in the order of names: what follows train is
    validated and tested with.

    Args:
        names: of all samples, in any order.
        groups: of each sample: what it stays together with; by default `groups_of` the names.

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
    """Return what each name stays together with: the name of its whole where it ends like that of a piece.

    ``brain_slice_012``, ``city_tile_3_4``, ``slide_x512_y0``, ``clip_frame0001``, ``stack_z03`` and
    Roboflow's ``cat_jpg.rf.0b5c...`` are pieces. Any other name stands for itself.

    Args:
        names: without suffix; they may have folders in front.
    """
    found = []
    for name in names:
        whole = name
        while (piece := _PIECE.search(whole)) is not None:
            whole = whole[: piece.start()].rstrip("/-_. ")
        found.append(whole)
    return found


def part_named(name: str) -> Split | Literal[""]:
    """Return the part that a folder, a list or a word is for: ``val`` for ``Validation`` and ``2_valid_set``.

    Args:
        name: without the suffix of a file.

    Returns:
        The part; nothing where the name says none, or more than a part.
    """
    words = [_JOINED_PART.sub(r"\1", word.lower()) for word in _WORD.findall(name)]
    said = [word for word in words if word not in _BESIDE_PARTS]
    return _PARTS.get(said[0], "") if len(said) == 1 else ""


def split_of(name: str) -> Split:
    """Return the part that a name alone decides, of a hundred about 80 train, 10 validate and 10 test.

    For data sets whose division was published so; `divided` keeps exact quotas.
    """
    hundredth = hundredth_of(name)
    return "train" if hundredth < 80 else "val" if hundredth < 90 else "test"


def hundredth_of(name: str) -> int:
    """Return 0 to 99, from the SHA-256 of a name."""
    return int.from_bytes(_digest(name)[:8], "big") % 100


def check_split(data: str, split: str, known: Sequence[str] = (*FOLDERS, "all")) -> None:
    """Raise `OptionError` unless a data set has that part.

    Args:
        data: what the data set is called, for the error.
        split: that was asked for.
        known: that there are; by default ``train``, ``val``, ``test`` and ``all``.
    """
    if split not in known:
        raise OptionError(f"{data} has the splits {', '.join(known)}, not {split!r}")


def _digest(name: str) -> bytes:
    return hashlib.sha256(name_bytes(name)).digest()


def _ranks(names: Sequence[str]) -> list[int]:
    """Return the place of each name in their order, in which 10 comes after 9."""

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
        order: of the units that are left.
        sizes: samples of each unit.
        total: samples of all units, of which a tenth is wanted, and one at least.
        spared: units that others need; none is taken where there are no more.
    """
    free = len(order) - spared
    if free < 1:
        return set()
    wanted, count, taken = max(int(total / 10 + 0.5), 1), 0, set()
    for unit in order:
        if len(taken) < free and abs(count + sizes[unit] - wanted) < abs(count - wanted):
            taken.add(unit)
            count += sizes[unit]
    # All of them are far too large: the smallest one is taken.
    return taken or {min(order, key=lambda unit: sizes[unit])}
