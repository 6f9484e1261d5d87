"""Batches from the processes that load them, and what it means when one of those is lost.

PyTorch raises an error about a lost process wherever the main one happens to be, in the middle of a save
too. Here it is raised where the next batch is asked for, so that whatever was begun is brought to its end.
"""

from __future__ import annotations

import signal
import threading
from multiprocessing import active_children
from typing import TYPE_CHECKING

from segzoo.errors import FailureError, SegzooError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.utils.data import DataLoader

    from segzoo.training.data import Batch
    from segzoo.training.recipe import Recipe


def fetched(loader: DataLoader[Batch], recipe: Recipe) -> Iterator[Batch]:
    """Give the batches of an epoch, and end the processes that loaded them.

    Raises:
        FailureError: a process that loads data was killed; or what a sample's reader raised, as it would
            be without such processes.
    """
    before = set(active_children())
    iterator = iter(loader)
    workers = set(active_children()) - before
    _look_only_when_asked()
    try:
        yield from _batches(iterator, recipe)
    finally:
        # Those of an epoch that was not finished; they would not obey the loader, see `leave_signals`.
        for worker in workers:
            worker.kill()
            worker.join()


def _batches(iterator: Iterator[Batch], recipe: Recipe) -> Iterator[Batch]:
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except SegzooError as error:
            raise _bare(error) from None
        except (RuntimeError, OSError, EOFError) as error:
            if not _lost(error, recipe):
                raise
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FailureError(
                f"a process that loads data was killed, most often because memory ran out ({told}): say "
                f"workers={recipe.workers // 2}, or data.cache=false, and resume: "
                f"segzoo train --resume {recipe.out}"
            ) from error
        yield batch


def leave_signals(worker: int) -> None:
    """Have a process that loads data ignore Ctrl-C and requests to stop, which all of a group get.

    The main process acts on them, after the step in hand, and then ends its workers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _look_only_when_asked() -> None:
    """Take back the handler that raises at any moment; the loader looks for lost processes by itself."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _lost(error: BaseException, recipe: Recipe) -> bool:
    """Whether an error means that a process is gone: torch's own words, or a pipe without its other end."""
    text = str(error)
    if not recipe.workers or text.startswith("Caught "):  # by a worker that lives and has told of it
        return False
    return "DataLoader worker" in text or isinstance(error, ConnectionError | EOFError | FileNotFoundError)


def _bare(error: SegzooError) -> SegzooError:
    """Return a worker's error without the traceback that torch writes into its text."""
    text = str(error)
    if not text.startswith("Caught "):
        return error
    kind = type(error)
    return kind(text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].rstrip())
