"""Entries of archives: what they may be called, and where each goes."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.errors import FailureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes of a file name, and folders within each other, that every file system takes.
_LONGEST, _DEEPEST = 255, 60
#: Bytes of a whole path; systems take 4096 with the folder that it lies in.
_LONGEST_PATH = 2048


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes:
        name: as the archive has it.
        pieces: the file's bytes, to be read to the end before the next entry is asked for; ``None`` is a
            folder.
    """

    name: str
    pieces: Iterator[bytes] | None


def steps(source: Path, name: str, *, folder: bool = False) -> list[str]:
    """Return the folders that an entry lies in and its own name, all of them below any folder.

    Args:
        source: the archive, for errors.
        name: of the entry, with slashes or Windows' backslashes.
        folder: whether it is one; the archive's root, ``./``, is one as well.

    Raises:
        FailureError: the name leads out, is none, or is one that not every machine can write.
    """
    name = name.replace("\\", "/")
    parts = [step for step in name.split("/") if step not in ("", ".")]
    # Windows takes a step such as "C:" or "C:name" for a drive, wherever it stands in a path.
    if name.startswith("/") or ".." in parts or any(re.match(r"[A-Za-z]:", part) for part in parts):
        raise FailureError(refusal(source, name, "leads out of the folder"))
    if not folder and (not parts or name.endswith("/")):
        raise FailureError(refusal(source, name, "has no file name"))
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise FailureError(refusal(source, name, "has control characters in its name"))
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    if max(sizes, default=0) > _LONGEST or sum(sizes) > _LONGEST_PATH or len(sizes) > _DEEPEST:
        raise FailureError(refusal(source, name, "has a name that is too long"))
    return parts


def is_junk(name: str) -> bool:
    """Whether an entry is what macOS adds to archives."""
    own = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or own in (".DS_Store", "._.DS_Store", "Icon\r", "._Icon\r")


def folded(parts: list[str]) -> str:
    """Return a path as those file systems see it that take names of other case or accents for the same.

    Windows leaves out the dots and spaces that a name ends with.
    """
    path = "/".join(part.rstrip(". ") or part for part in parts)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def refusal(source: Path, name: str, what: str) -> str:
    """Return the sentence for an entry that no archive of a data set has."""
    return f"{source}: its entry {name[:100]!r} {what}. No data set needs that: do not use this archive"
