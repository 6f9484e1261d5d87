"""Warnings about an image go to the client that sent it, not to the server's log."""

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
    """Collect warnings of this thread in a list, while `gathering` is active."""
    before = getattr(_here, "notes", None)
    _here.notes = notes
    try:
        yield
    finally:
        _here.notes = before


@contextmanager
def gathering() -> Iterator[None]:
    """Enable `noting` in the whole process.

    Otherwise Python would show each warning and store its text forever, and each text names another file.
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
