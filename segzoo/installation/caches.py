"""Folders of fetched files: where they are, how large they are, and whether they are writable."""

from __future__ import annotations

import os
import tempfile
from itertools import islice
from typing import TYPE_CHECKING, Any

from segzoo.errors import SegzooError
from segzoo.http import offline
from segzoo.installation.report import Findings, Part
from segzoo.resources import told_bytes
from segzoo.weights import cache
from segzoo.weights.fetch import torch_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Free bytes below which the next weights may not fit.
LEAST_FREE = 1_000_000_000

# A cache of more files is not counted to its end.
_MOST_FILES = 200_000


def look() -> Part:
    """Report where fetched files are kept, whether that is writable, and whether anything may be fetched."""
    wrong = Findings("caches")
    switched_off = bool(offline())
    folders = {
        "segzoo": (cache.home(), "SEGZOO_HOME"),
        "hugging face": (cache.client_cache(), "HF_HOME"),
        "torch hub": (torch_file("http://x/x").parent, "TORCH_HOME"),
    }
    rows = [_look_at(name, *told, wrong, reads_only=switched_off) for name, told in folders.items()]
    _look_at_records(wrong)
    return Part("caches", {"offline": switched_off, "folders": rows}, tuple(wrong))


def _look_at(name: str, folder: Path, variable: str, wrong: Findings, *, reads_only: bool) -> dict[str, Any]:
    trouble = why_not_writable(folder)
    size, files, whole = _size(folder)
    free = _free(folder)
    tell = wrong.warn if reads_only or name != "segzoo" else wrong.error
    # What torch.hub fetched is only read.
    if trouble and name != "torch hub":
        tell(
            f"the cache of {name} cannot be written: {trouble}",
            f"set {variable} to a folder that you may write to",
        )
    elif name != "torch hub" and free is not None and free < LEAST_FREE and not reads_only:
        wrong.warn(
            f"the disk of the cache of {name}, {folder}, has {told_bytes(free)} left",
            f"free some space (`segzoo cache prune`), or set {variable} to a folder on another disk",
        )
    return {
        "name": name,
        "folder": str(folder),
        "exists": folder.is_dir(),
        "bytes": size,
        "files": files,
        "counted": whole,
        "writable": not trouble,
        "free_bytes": free,
        "variable": variable,
    }


def why_not_writable(folder: Path) -> str:
    """Return why nothing can be written below a folder (it may not exist); nothing if it is writable."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing}: permission denied"
    if existing != folder:
        return ""  # it will be made in there
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder}: {error.strerror or error}"


def _look_at_records(wrong: Findings) -> None:
    """Report fetched files that differ from their record."""
    for path in islice((cache.home() / "files").rglob("*.json"), _MOST_FILES):
        file = path.with_suffix("")
        try:
            record = cache.read_record(file)
            if record is None or not file.is_file() or file.stat().st_size == record.bytes:
                continue
        except SegzooError as error:
            wrong.warn(f"a record in the cache is damaged: {error}", f"delete {path}")
            continue
        wrong.warn(
            f"{file} has {file.stat().st_size:,} bytes, but had {record.bytes:,} when it was fetched",
            "delete it: it is fetched again when it is needed",
        )


def _size(folder: Path) -> tuple[int, int, bool]:
    """Return the bytes and the number of a folder's files, and whether all were counted."""
    size = count = 0
    for status in islice(_statuses(folder), _MOST_FILES):
        size, count = size + status.st_size, count + 1
    return size, count, count < _MOST_FILES


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(path, name))  # noqa: PTH118 - twice as fast, for many files
            except OSError:
                continue


def _free(folder: Path) -> int | None:
    try:
        return cache.free(folder)
    except OSError:
        return None
