"""What a plug-in does while it is loaded besides saying what it brings: told of, and undone where it must be.

Standard output belongs to the command that people run (``segzoo list --json | ...``), so what a plug-in
prints while it is loaded goes to stderr. segzoo's own specs and hooks belong to segzoo. What a process has
only one of belongs to the person's program: see `segzoo.plugins.surroundings`.
"""

from __future__ import annotations

import io
import os
import reprlib
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any

from segzoo import builtin
from segzoo.errors import PluginError
from segzoo.plugins.surroundings import put_back, surroundings
from segzoo.printing import echo_message, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from segzoo.specs import Spec

#: Seconds after which people are told which plug-in they wait for.
PATIENCE = 5.0

#: Signals by which people and systems end a process.
_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_REMEMBERED = 200

# Letters of an error that every command may show; the traceback holds more.
_LONGEST = 500
_LONGEST_TRACE = 20_000

# Packages that are not named as their modules are.
_PACKAGES = {"cv2": "opencv-python", "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}


def in_a_line(error: BaseException, value: str) -> str:
    """Return an exception in one line, and what to do about a module that is missing.

    Args:
        error: what a plug-in raised when it was loaded.
        value: what its entry point names.
    """
    text = _text(error)
    told = text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return told
    module = value.partition(":")[0].strip()
    if f"{module}.".startswith(f"{error.name}."):
        return f"{told}; its entry point names {value!r}, which is not there: reinstall it"
    package = error.name.partition(".")[0]
    return f"{told}; it needs what is not installed: `pip install {_PACKAGES.get(package, package)}`"


def _text(error: BaseException) -> str:
    """Return what an exception says, fit to stand in a line of a terminal."""
    try:
        line = printable(" ".join(str(error).split()))
    except BaseException as another:
        return f"(and its text raises {type(another).__name__})"
    return f"{line[:_LONGEST]} ..." if len(line) > _LONGEST else line


def traced(error: BaseException) -> str:
    """Return where an exception was raised; the middle of a long text is left out."""
    try:
        told = "".join(traceback.format_exception(error))
    except BaseException as another:
        return f"(its traceback raises {type(another).__name__})\n"
    half = _LONGEST_TRACE // 2
    return told if len(told) <= _LONGEST_TRACE else f"{told[:half]}\n  ...\n{told[-half:]}"


@contextmanager
def watching() -> Iterator[list[str]]:
    """Yield a list that afterwards holds what people should know of a plug-in loaded meanwhile."""
    told: list[str] = []
    printed, had_torch, before = _Printed(), "torch" in sys.modules, surroundings()
    try:
        with _output_to_stderr(told), redirect_stdout(printed):
            yield told
            if sys.stdout is not printed:
                told.append("it replaces sys.stdout when it is loaded (undone): leave it to the program")
    finally:
        told += put_back(before)
        if printed.beginning:
            beginning = reprlib.repr(printed.beginning.strip())
            told.append(f"it prints {beginning} when it is loaded (sent to stderr): print nothing at import")
        if "torch" in sys.modules and not had_torch:
            told.append("it imports torch when it is only listed: import it in the module of code")


@contextmanager
def building(what: str) -> Iterator[None]:
    """Hold the factory of a part to what its plug-in is held to when it is loaded.

    What would end the program is an error of the part, unless a person asked for it; what it changes of the
    process is put back, and a warning tells of it.

    Args:
        what: the part, at the beginning of a sentence.

    Raises:
        PluginError: it raised `KeyboardInterrupt`, `SystemExit` or the like.
    """
    before, streams = surroundings(settled=True), (sys.stdout, sys.stderr)
    told: list[str] = []
    asked: list[BaseException] = []
    try:
        with noting_signals(asked):
            yield
    except Exception:
        raise
    except BaseException as error:
        if asked:
            raise
        raise PluginError(f"{what} cannot be built: {type(error).__name__}: {_text(error)}") from error
    finally:
        if (sys.stdout, sys.stderr) != streams:
            sys.stdout, sys.stderr = streams
            told.append("it replaces sys.stdout or sys.stderr when it is built (undone)")
        told += put_back(before, settled=True, when="when it is built")
        for line in told:
            warnings.warn(f"{what}: {line}", stacklevel=2)


@contextmanager
def _output_to_stderr(told: list[str]) -> Iterator[None]:
    """Send what passes ``sys.stdout`` by, as programs and libraries in C do, to stderr too.

    Streams that are closed or replaced meanwhile are put back, and that is told.
    """
    names = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
    streams = {name: getattr(sys, name) for name in names}
    out, kept = sys.__stdout__, dict[int, int]()
    with suppress(OSError, ValueError):  # it is closed, or no file
        if out is not None and out.fileno() == 1:
            out.flush()  # what was written before is still ours
            kept = {number: os.dup(number) for number in (1, 2)}
            os.dup2(2, 1)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            if out is not None:
                out.flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        for name, stream in streams.items():
            _put_stream_back(name, stream, told)


def _put_stream_back(name: str, stream: Any, told: list[str]) -> None:
    if getattr(sys, name) is not stream and name != "stdout":
        told.append(f"it replaces sys.{name} when it is loaded (undone): leave it to the program")
    if stream is not None and stream.closed and name.strip("_") in ("stdout", "stderr"):
        number = 1 if "out" in name else 2
        with suppress(OSError):
            # Where `sys.stdout` and `sys.__stdout__` were one, they are one again.
            known = {one.fileno(): one for one in (sys.stdout, sys.stderr) if one and not one.closed}
            stream = known.get(number) or open(number, "w", encoding=stream.encoding, closefd=False)  # noqa: SIM115
        told.append(f"it closes sys.{name} when it is loaded (undone): leave it to the program")
    setattr(sys, name, stream)


class _Printed(io.TextIOBase):
    """Passes text on to stderr at once, and remembers how it began."""

    def __init__(self) -> None:
        super().__init__()
        self.beginning = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.beginning = (self.beginning + text)[:_REMEMBERED]
        sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


class Guard:
    """Remembers segzoo's own specs and hooks, and puts back what a plug-in changed in them.

    Args:
        specs: segzoo's own, as its hooks returned them.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._specs = [(spec, dict(vars(spec)), _copied(spec)) for spec in specs]
        self._hooks = {name: value for name, value in vars(builtin).items() if name.startswith("segzoo_")}

    def restore(self) -> list[str]:
        """Put back what was changed, and return what that was."""
        changed = []
        for spec, values, copies in self._specs:
            if vars(spec) == values and all(values[name] == copy for name, copy in copies.items()):
                continue
            changed.append(f"{spec.kind} {values['name']!r}")
            vars(spec).clear()
            vars(spec).update({**values, **copies})
            values.update(copies)
            copies.update(_copied(spec))
        for name, hook in self._hooks.items():
            if getattr(builtin, name, None) is not hook:
                changed.append(f"hook {name}()")
                setattr(builtin, name, hook)
        return changed

    def check(self) -> None:
        """Raise `PluginError` if something was changed; it is put back."""
        changed = self.restore()
        if changed:
            raise PluginError(
                f"it changes segzoo's own {', '.join(changed[:4])}, which was put back: give what differs a "
                "name of its own"
            )


def _copied(spec: Spec) -> dict[str, Any]:
    """Return copies of what could be changed in place."""
    return {name: dict(value) for name, value in vars(spec).items() if isinstance(value, Mapping)}


# The person in front of it: told which plug-in is waited for, and obeyed before it.


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
