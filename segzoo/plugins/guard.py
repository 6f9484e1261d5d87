"""Detects side effects of plug-ins while they are loaded; reports them, and undoes them if necessary.

Standard output belongs to the command (``segzoo list --json | ...``), so the output of a plug-in
during loading goes to stderr. segzoo's own specs and hooks must not change. Global state of the
process belongs to the user's program: see `segzoo.plugins.surroundings`.
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

#: Seconds after which the user is informed which plug-in is being loaded.
PATIENCE = 5.0

#: Signals that users and systems send to end a process.
_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_REMEMBERED = 200

# Characters of an error that every command may show; the traceback shows more.
_LONGEST = 500
_LONGEST_TRACE = 20_000

# Packages whose name differs from their module's.
_PACKAGES = {"cv2": "opencv-python", "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}


def in_a_line(error: BaseException, value: str) -> str:
    """Return an exception in one line, and what to do about a module that is missing.

    Args:
        error: exception that a plug-in raised when it was loaded.
        value: target of its entry point.
    """
    text = _text(error)
    told = text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return told
    module = value.partition(":")[0].strip()
    if f"{module}.".startswith(f"{error.name}."):
        return f"{told}; its entry point names {value!r}, which does not exist: reinstall it"
    package = error.name.partition(".")[0]
    return (
        f"{told}; it needs a package that is not installed: `pip install {_PACKAGES.get(package, package)}`"
    )


def _text(error: BaseException) -> str:
    """Return the text of an exception, fit for one line of a terminal."""
    try:
        line = printable(" ".join(str(error).split()))
    except BaseException as another:
        return f"(and its text raises {type(another).__name__})"
    return f"{line[:_LONGEST]} ..." if len(line) > _LONGEST else line


def traced(error: BaseException) -> str:
    """Return the traceback of an exception, shortened in the middle if it is long."""
    try:
        told = "".join(traceback.format_exception(error))
    except BaseException as another:
        return f"(its traceback raises {type(another).__name__})\n"
    half = _LONGEST_TRACE // 2
    return told if len(told) <= _LONGEST_TRACE else f"{told[:half]}\n  ...\n{told[-half:]}"


@contextmanager
def watching() -> Iterator[list[str]]:
    """Yield a list that afterwards contains remarks about a plug-in loaded meanwhile."""
    told: list[str] = []
    printed, had_torch, before = _Printed(), "torch" in sys.modules, surroundings()
    try:
        with _output_to_stderr(told), redirect_stdout(printed):
            yield told
            if sys.stdout is not printed:
                told.append("it replaces sys.stdout when it is loaded (undone): do not change it")
    finally:
        told += put_back(before)
        if printed.beginning:
            beginning = reprlib.repr(printed.beginning.strip())
            told.append(
                f"it prints {beginning} when it is loaded (redirected to stderr): do not print at import"
            )
        if "torch" in sys.modules and not had_torch:
            told.append("it imports torch when it is only listed: import it in the module with the code")


@contextmanager
def building(what: str) -> Iterator[None]:
    """Apply to the factory of a part the checks that apply while its plug-in is loaded.

    An exception that would end the program becomes an error of the part, unless the user asked for it.
    Changes to global state of the process are undone with a warning.

    Args:
        what: name of the part, at the beginning of a sentence.

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
    """Redirect output that bypasses ``sys.stdout``, from programs and C libraries, to stderr too.

    Streams that are closed or replaced meanwhile are restored, and that is reported.
    """
    names = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
    streams = {name: getattr(sys, name) for name in names}
    out, kept = sys.__stdout__, dict[int, int]()
    with suppress(OSError, ValueError):  # it is closed, or not a file
        if out is not None and out.fileno() == 1:
            out.flush()  # earlier output still goes to stdout
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
        told.append(f"it replaces sys.{name} when it is loaded (undone): do not replace it")
    if stream is not None and stream.closed and name.strip("_") in ("stdout", "stderr"):
        number = 1 if "out" in name else 2
        with suppress(OSError):
            # If `sys.stdout` and `sys.__stdout__` were the same, they are the same again.
            known = {one.fileno(): one for one in (sys.stdout, sys.stderr) if one and not one.closed}
            stream = known.get(number) or open(number, "w", encoding=stream.encoding, closefd=False)  # noqa: SIM115
        told.append(f"it closes sys.{name} when it is loaded (undone): do not close it")
    setattr(sys, name, stream)


class _Printed(io.TextIOBase):
    """Passes text on to stderr immediately, and keeps its beginning."""

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
    """Stores segzoo's own specs and hooks, and restores them if a plug-in changed them.

    Args:
        specs: segzoo's specs, as its hooks returned them.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._specs = [(spec, dict(vars(spec)), _copied(spec)) for spec in specs]
        self._hooks = {name: value for name, value in vars(builtin).items() if name.startswith("segzoo_")}

    def restore(self) -> list[str]:
        """Restore what was changed, and return its names."""
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
        """Raise `PluginError` if something was changed; it is restored."""
        changed = self.restore()
        if changed:
            raise PluginError(
                f"it changes segzoo's own {', '.join(changed[:4])}, which was restored: name your version "
                "in another way"
            )


def _copied(spec: Spec) -> dict[str, Any]:
    """Return copies of the fields that can be changed in place."""
    return {name: dict(value) for name, value in vars(spec).items() if isinstance(value, Mapping)}


# Informing the user which plug-in is being loaded, and handling Ctrl-C.


@contextmanager
def person_first(plugin: str, distribution: str) -> Iterator[None]:
    """Report a plug-in that loads slowly, and distinguish the user's Ctrl-C from the plug-in's exceptions.

    The plug-in is named on stderr after `PATIENCE`, and when the user or the system ends the process. A
    signal's exception reaches the caller even if the plug-in catches it.

    Args:
        plugin: name of the plug-in in a sentence.
        distribution: distribution that the environment variable can leave out.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C, or the system asked the process to end.
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
    """Note the exceptions that signal handlers raise, and restore the handlers; only in the main thread."""
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
