"""Shortage of memory: recognise it among other errors, and release what is no longer used."""

from __future__ import annotations

import gc

import torch

from segzoo.errors import FailureError

#: Texts of libraries' out-of-memory errors, in addition to `torch.OutOfMemoryError`.
_SHORT = ("can't allocate memory", "out of memory", "could not create a memory object", "bad_alloc")


class MemoryShortageError(FailureError):
    """An image does not fit in memory, even in the smallest tiles."""


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | MemoryShortageError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _SHORT)


def told_shortage(error: BaseException) -> str:
    """Return the first line of an out-of-memory exception, or its type if it has no text."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def release_memory() -> None:
    """Release memory that is no longer used."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.memory.empty_cache()
