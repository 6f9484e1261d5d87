"""Warnings about an image, for the client that sent it rather than for the server's log."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_here = threading.local()


@contextmanager
def noting(notes: list[str]) -> Iterator[None]:
    """Put warnings of this thread into a list, where `gathering` is at work."""
    before = getattr(_here, "notes", None)
    _here.notes = notes
    try:
        yield
    finally:
        _here.notes = before


@contextmanager
def gathering() -> Iterator[None]:
    """Let `noting` work, in the whole process.

    Otherwise Python would show each warning and keep its text for good, which names another file each time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        shown: Any = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            notes = getattr(_here, "notes", None)
            if notes is None:
                shown(message, category, *rest, **more)
            elif str(message) not in notes:
                notes.append(str(message))

        warnings.showwarning = show
        yield
