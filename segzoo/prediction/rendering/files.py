"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING

from segzoo.errors import FailureError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_existing(path: Path) -> None:
    """Raise `FailureError` if there is something at a path that nobody allowed to replace."""
    if path.exists():
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
