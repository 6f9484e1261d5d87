"""The person in front of a plug-in that loads: told which one is waited for, and obeyed before it."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segzoo.printing import echo_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

#: Seconds after which people are told which plug-in they wait for.
PATIENCE = 5.0

#: Signals by which people and systems end a process.
_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def person_first(plugin: str, distribution: str) -> Iterator[None]:
    """Name a plug-in that is waited for, and tell a person's Ctrl-C from what the plug-in raises.

    It is named on stderr after `PATIENCE`, and when the person or the system ends the process. What a signal
    raises reaches the caller even where the plug-in catches it.

    Args:
        plugin: what it is called in a sentence.
        distribution: which the environment can leave out.

    Raises:
        KeyboardInterrupt: the person pressed Ctrl-C, or the system asked the process to end.
    """
    out = f"leave it out with SEGZOO_DISABLE_PLUGINS={distribution}"
    text = f"{plugin} is still loading after {PATIENCE:g} seconds: wait, or press Ctrl-C and {out}"
    timer = threading.Timer(PATIENCE, echo_message, ("warning", text))
    timer.daemon = True
    timer.start()
    asked: list[BaseException] = []
    try:
        with noting_signals(asked):
            yield
    finally:
        timer.cancel()
        if asked:
            echo_message("warning", f"interrupted while {plugin} was loading; if it hangs, {out}")
            raise asked[0]


@contextmanager
def noting_signals(asked: list[BaseException]) -> Iterator[None]:
    """Note what the handlers of signals raise, and leave them as they were; only the main thread has any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _STOPS}
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, _noting(handler, asked))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _noting(
    handler: Callable[[int, FrameType | None], Any], asked: list[BaseException]
) -> Callable[[int, FrameType | None], None]:
    def note(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            asked.append(error)
            raise

    return note
