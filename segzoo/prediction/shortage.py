"""What to do when memory runs out: tell it from other errors, and give back what is no longer used."""

from __future__ import annotations

import gc

import torch

from segzoo.errors import FailureError

#: What libraries say when memory is short, beside `torch.OutOfMemoryError`.
_SHORT = ("can't allocate memory", "out of memory", "could not create a memory object", "bad_alloc")


class MemoryShortageError(FailureError):
    """An image does not fit the memory, in whatever tiles it is cut."""


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | MemoryShortageError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _SHORT)


def told_shortage(error: BaseException) -> str:
    """Return the first line of what an exception says of the memory, or its type where it says nothing."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def release_memory() -> None:
    """Give back what is no longer used."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.memory.empty_cache()
