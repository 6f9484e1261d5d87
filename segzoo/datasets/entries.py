"""Entries of archives: their valid names, and their places in the folder."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.errors import FailureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes of a file name, and depth of nested folders, that every file system supports.
_LONGEST, _DEEPEST = 255, 60
#: Bytes of a whole path; systems allow 4096 including the folder that contains it.
_LONGEST_PATH = 2048


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes:
        name: name in the archive.
        pieces: the file's bytes, which must be read to the end before the next entry; ``None`` for a
            folder.
    """

    name: str
    pieces: Iterator[bytes] | None


def steps(source: Path, name: str, *, folder: bool = False) -> list[str]:
    """Return the folders of an entry and its own name, all of them below the target folder.

    Args:
        source: the archive, for error messages.
        name: name of the entry, with slashes or Windows' backslashes.
        folder: whether it is a folder; the archive's root, ``./``, is one too.

    Raises:
        FailureError: the name leads out of the folder, is empty, or is not valid on all systems.
    """
    name = name.replace("\\", "/")
    parts = [step for step in name.split("/") if step not in ("", ".")]
    # Windows treats a part such as "C:" or "C:name" as a drive, anywhere in a path.
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
    """Return whether an entry is one that macOS adds to archives."""
    own = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or own in (".DS_Store", "._.DS_Store", "Icon\r", "._Icon\r")


def folded(parts: list[str]) -> str:
    """Return a path as seen by file systems that ignore letter case or accents.

    Windows removes dots and spaces at the end of a name.
    """
    path = "/".join(part.rstrip(". ") or part for part in parts)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def refusal(source: Path, name: str, what: str) -> str:
    """Return the error message for an entry that no archive of a dataset should have."""
    return f"{source}: its entry {name[:100]!r} {what}. No dataset needs that: do not use this archive"
