"""A quick look at a folder or a file, shared by all recognisers.

Listings and the beginnings of files are cached, so that twenty recognisers cost as much as one. Of a folder
with millions of files, only a part is read.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from segzoo import json_text
from segzoo.files import regular

#: Entries of one folder that are read.
MOST_ENTRIES = 20_000
#: Bytes that `Glance.head` reads from a file.
HEAD = 65_536
#: Size of the largest file in bytes that `Glance.json` reads.
MOST_JSON = 32 << 20


class Glance:
    """The content of a place.

    Args:
        path: a folder or a file.

    Attributes:
        path: the given path.
        folder: the folder itself, or the folder of the file.
        file: the file; ``None`` for a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.file = self.path if self.path.is_file() else None
        self.folder = self.path.parent if self.file else self.path
        self._listed: dict[Path, tuple[list[str], list[str]]] = {}
        self._heads: dict[Path, str] = {}
        self._samples: dict[Path, str] = {}
        self._parsed: dict[Path, Any] = {}

    def folders(self, inner: str = "") -> list[str]:
        """Return the names of the folders in the folder, or in one below it; sorted, without hidden ones."""
        return self._list(self.folder / inner)[0]

    def files(self, pattern: str = "*", inner: str = "") -> list[Path]:
        """Return the files in the folder, or in one below it, whose lower-case names match a pattern; sorted.

        Args:
            pattern: `fnmatch` pattern in lower case, such as ``"*.json"``.
            inner: folder below it, such as ``"labels/train"``.
        """
        where = self.folder / inner
        return [where / name for name in self._list(where)[1] if fnmatchcase(name.lower(), pattern)]

    def has(self, *inner: str) -> bool:
        """Return whether all of these exist in the folder."""
        return all((self.folder / one).exists() for one in inner)

    def head(self, path: Path) -> str:
        """Return the beginning of a file as text, at most ``HEAD`` bytes; empty if it cannot be read."""
        if path not in self._heads:
            try:
                with regular(path).open("rb") as file:
                    self._heads[path] = file.read(HEAD).decode("utf-8-sig", "replace")
            except OSError:
                self._heads[path] = ""
        return self._heads[path]

    def samples(self, path: Path) -> str:
        """Return the beginning, the middle and the end of a file as text, at most ``HEAD`` bytes of each.

        A smaller file is returned whole.
        """
        if path not in self._samples:
            text = self.head(path)
            try:
                size = path.stat().st_size
                with regular(path).open("rb") as file:
                    for start in (size // 2, size - HEAD) if size > HEAD else ():
                        file.seek(max(start, HEAD))
                        text += "\n" + file.read(HEAD).decode("utf-8", "replace")
            except OSError:
                pass
            self._samples[path] = text
        return self._samples[path]

    def json(self, path: Path) -> Any:
        """Return the content of a JSON file; ``None`` if it is invalid or larger than ``MOST_JSON`` bytes."""
        if path not in self._parsed:
            try:
                self._parsed[path] = json_text.read(path, most=MOST_JSON)
            except (OSError, ValueError):
                self._parsed[path] = None
        return self._parsed[path]

    @cached_property
    def empty(self) -> bool:
        """Whether the folder holds only hidden files."""
        return not any(self._list(self.folder))

    def _list(self, folder: Path) -> tuple[list[str], list[str]]:
        if folder not in self._listed:
            folders: list[str] = []
            files: list[str] = []
            try:
                with os.scandir(folder) as entries:
                    for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
                        if not entry.name.startswith((".", "__MACOSX")):
                            (folders if is_folder(entry) else files).append(entry.name)
            except OSError:
                pass
            self._listed[folder] = sorted(folders), sorted(files)
        return self._listed[folder]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one; a link to itself does not count."""
    try:
        return entry.is_dir()
    except OSError:
        return False
