"""Files that are there whole or not at all, and folders that can be written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from segzoo.errors import FailureError


def writable(folder: str | os.PathLike[str]) -> Path:
    """Make a folder.

    Raises:
        FailureError: nothing can be written into it; better said before an hour of work than after.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailureError(f"cannot write to {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise FailureError(f"cannot write to {folder}: permission denied")
    return folder


def refuse_existing(path: Path) -> None:
    """Raise `FailureError` if there is something at a path that nobody allowed to replace, or cannot be."""
    try:
        there = path.exists()
    except OSError as error:  # its name is too long
        raise FailureError(f"cannot write {path}: {error.strerror or error}") from error
    if there:
        raise FailureError(f"{path} exists: choose another folder, or replace it with --overwrite")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a passing name in its folder, which is made, and give it its name when it is whole.

    Whatever ends the writing, a full disk or Ctrl-C, leaves what was under the name before, or nothing.

    Raises:
        FailureError: it cannot be written.
    """
    # A dot hides it from who lists the folder; the token keeps writers apart, and short what may be long.
    part = path.with_name(f".{token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(data)
        os.replace(part, path)
    except OSError as error:
        raise FailureError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()
