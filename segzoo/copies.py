"""Copies on this machine of objects in a store, from which they are read."""

from __future__ import annotations

import tempfile
import weakref
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.errors import SegzooError
from segzoo.files import part_folder, writing
from segzoo.storage import RemotePath, download

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a copy's name.
_LONGEST = 120


class _Copy(type(Path())):
    """The path of a copy, which is there as long as this very object is."""


def fetched(path: Path) -> Path:
    """Return the path of a file on this machine that holds what is at a path: itself, or a copy from a store.

    A copy is removed as soon as nothing refers to what is returned, so whoever reads it later keeps that.

    Raises:
        FailureError: there is no such object, the store refuses, or the disk has no room.
    """
    if not isinstance(path, RemotePath):
        return path
    with ExitStack() as stack:
        with writing(path, what="cannot fetch"):
            folder = stack.enter_context(part_folder(Path(tempfile.gettempdir())))
        # A reader may go by the suffix; an object's name may be longer than a file's.
        copy = _Copy(folder / path.name.encode()[-_LONGEST:].decode(errors="ignore"))
        download(path, copy)
        weakref.finalize(copy, stack.pop_all().close)
    return copy


@contextmanager
def named(copy: Path, path: Path) -> Iterator[None]:
    """Name what was copied, in place of the copy, in errors about it."""
    try:
        yield
    except SegzooError as error:
        if copy is not path:
            error.args = tuple(str(told).replace(str(copy), str(path)) for told in error.args)
        raise
