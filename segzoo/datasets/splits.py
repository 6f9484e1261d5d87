"""Which part of a data set a sample belongs to, where nobody has said so.

By a hash of its name, so that it depends neither on the order in which a disk lists files nor on
how many there are: adding an image moves no other one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

from segzoo.errors import OptionError
from segzoo.files import name_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The parts that a name may belong to.
Split = Literal["train", "val", "test"]

#: What folders of each part are called.
FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def split_of(name: str) -> Split:
    """Return the part that a name belongs to: of a hundred, 80 train, 10 validate, 10 test."""
    hundredth = hundredth_of(name)
    return "train" if hundredth < 80 else "val" if hundredth < 90 else "test"


def hundredth_of(name: str) -> int:
    """Return 0 to 99, from the SHA-256 of a name."""
    return int.from_bytes(hashlib.sha256(name_bytes(name)).digest()[:8], "big") % 100


def check_split(data: str, split: str, known: Sequence[str]) -> None:
    """Raise `OptionError` unless a data set has that part.

    Args:
        data: what the data set is called, for the error.
        split: that was asked for.
        known: that there are.
    """
    if split not in known:
        raise OptionError(f"{data} has the splits {', '.join(known)}, not {split!r}")
