"""Global state of a process, such as the current folder or torch's default dtype.

It belongs to the user's program. If a plug-in changes it while it is loaded, the change is undone where it
would affect the location of files, numerical results, or the user's settings. Other changes are only
reported, because the plug-in's code may need them. `SURROUNDINGS` lists both.

No module is imported for this: torch, NumPy and others have a state only after somebody has imported them.
"""

from __future__ import annotations

import _locale
import contextlib
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Beginnings of the variables with which users configure segzoo.
_WORDS = ("SEGZOO_", "HF_HUB_OFFLINE")
#: Initial seed of torch's generator in a new process.
_TORCH_SEED = 67280421310721
#: Signals that segzoo and its libraries use; the first three are those of `segzoo.plugins.guard`.
_SIGNALS = ("SIGPIPE", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGQUIT")


@dataclass(frozen=True)
class Surrounding:
    """One piece of global state.

    Attributes:
        what: its name in a warning.
        read: function that returns its state, which can be compared, given the module.
        write: function that restores a state, given the module and the state; ``None`` if changes are only
            reported.
        module: module that has the state; nothing is read before somebody has imported it.
        fresh: function that returns the state after the import, given the module; ``None`` if it is unknown.
        renew: function that randomises the state of a module that only the plug-in imported, as its import
            does.
        settled: whether a factory must not change it either: settings of file locations and of numerics, but
            not generators, because weights are drawn from them.
    """

    what: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object] | None = None
    module: str = "sys"
    fresh: Callable[[Any], Any] | None = None
    renew: Callable[[Any], object] | None = None
    settled: bool = False


def surroundings(*, settled: bool = False) -> dict[str, Any]:
    """Return all readable state by name; or only the state marked as settled."""
    return {one.what: state for one in _which(settled=settled) if (state := _state(one)) is not None}


def put_back(before: dict[str, Any], *, settled: bool = False, when: str = "when it is loaded") -> list[str]:
    """Restore what has changed since, and return a sentence for each change.

    Args:
        before: result of `surroundings`.
        settled: value used in the call of `surroundings`.
        when: when the plug-in changed it, for the sentence.
    """
    told = []
    for one in _which(settled=settled):
        now = _state(one)
        module = sys.modules.get(one.module)
        known = before.get(one.what)
        if known is None and now is not None and one.fresh is not None:
            known = one.fresh(module)
        if known is None and now is not None and one.renew is not None:
            one.renew(module)
        if known is None or now is None or now == known:
            continue
        undone = ""
        if one.write is not None:
            with contextlib.suppress(Exception):
                one.write(module, known)
            undone = " (undone)" if _state(one) == known else " (it cannot be undone)"
        told.append(f"it changes {one.what}{_difference(known, now)} {when}{undone}")
    return told


def _which(*, settled: bool) -> Iterable[Surrounding]:
    return (one for one in SURROUNDINGS if one.settled or not settled)


def _state(one: Surrounding) -> Any:
    module = sys.modules.get(one.module)
    if module is None:
        return None
    try:
        return one.read(module)
    except Exception:  # a deleted folder, or a module that another thread is still importing
        return None


def _difference(before: Any, now: Any) -> str:
    """Return what was added or changed, if it is a word or a number."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        return f", {', '.join(map(str, names[:4]))}{', ...' if len(names) > 4 else ''},"
    if all(isinstance(one, bool | int | float | str) for one in (before, now)):
        return f" from {before!r} to {now!r}"
    return ""


# ----------------------------------------------------------------------------------- how each is put back


def _umask(_: Any) -> int:
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _set_variables(_: Any, before: dict[str, str]) -> None:
    for name in {*os.environ, *before}:
        if name.startswith(_WORDS) and os.environ.get(name) != before.get(name):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _words(_: Any) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_WORDS)}


def _other_variables(_: Any) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_WORDS)}


def _handlers(_: Any) -> dict[str, Any]:
    return {name: signal.getsignal(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}


def _set_handlers(_: Any, before: dict[str, Any]) -> None:
    for name, handler in before.items():
        if handler is not None and signal.getsignal(getattr(signal, name)) is not handler:
            signal.signal(getattr(signal, name), handler)


def _switch(module: Any, on: bool) -> None:
    (module.enable if on else module.disable)()


def _numpy_state(module: Any) -> tuple[Any, ...]:
    kind, keys, *rest = module.get_state()
    return (kind, tuple(keys.tolist()), *rest)


def _torch_state(module: Any) -> bytes:
    return bytes(module.get_rng_state().tolist())


def _fresh_torch_state(module: Any) -> bytes:
    return bytes(module.Generator().manual_seed(_TORCH_SEED).get_state().tolist())


def _set_torch_state(module: Any, state: bytes) -> None:
    module.set_rng_state(module.tensor(list(state), dtype=module.uint8))


def _reduced(module: Any) -> tuple[bool, ...]:
    backends = module.backends
    one, two = backends.cuda.matmul, backends.cudnn
    return one.allow_tf32, two.allow_tf32, two.benchmark, two.deterministic


def _set_reduced(module: Any, before: tuple[bool, ...]) -> None:
    backends = module.backends
    one, two = backends.cuda.matmul, backends.cudnn
    one.allow_tf32, two.allow_tf32, two.benchmark, two.deterministic = before


def _set_device(module: Any, name: str) -> None:
    # Setting a default device makes each call slower, even if it is the CPU.
    module.set_default_device(None if name == "cpu" else name)


def _hiding(module: Any) -> int:
    """Return the number of filters that hide all warnings; NumPy and others add some that hide one."""
    return sum(
        action == "ignore" and message is None and of is None and kind in (Warning, UserWarning)
        for action, message, kind, of, _ in module.filters
    )


def _log_handlers(module: Any) -> tuple[Any, ...]:
    root = module.root
    return tuple(map(id, root.handlers)), root.level, root.manager.disable


def _threads(module: Any) -> int:
    # The timer that reports a hanging plug-in is segzoo's own thread.
    return sum(not isinstance(thread, threading.Timer) for thread in module.enumerate())


SURROUNDINGS: tuple[Surrounding, ...] = (
    # Restored.
    Surrounding("the current folder", lambda _: Path.cwd(), lambda _, path: os.chdir(path), settled=True),
    Surrounding("the umask", _umask, lambda _, mask: os.umask(mask)),
    Surrounding("variables of the environment", _words, _set_variables),
    Surrounding(
        "sys.argv", lambda sys: list(sys.argv), lambda sys, words: sys.argv.__setitem__(slice(None), words)
    ),
    Surrounding(
        "the recursion limit",
        lambda sys: sys.getrecursionlimit(),
        lambda sys, limit: sys.setrecursionlimit(limit),
    ),
    Surrounding("the garbage collector", lambda gc: gc.isenabled(), _switch, "gc"),
    Surrounding("handlers of signals", _handlers, _set_handlers),
    Surrounding(
        "the locale",
        lambda _: _locale.setlocale(_locale.LC_ALL),
        lambda _, name: _locale.setlocale(_locale.LC_ALL, name),
    ),
    Surrounding(
        "the state of random",
        lambda random: random.getstate(),
        lambda random, state: random.setstate(state),
        "random",
        renew=lambda random: random.seed(),
    ),
    Surrounding(
        "the state of numpy.random",
        _numpy_state,
        lambda random, state: random.set_state(state),
        "numpy.random",
        renew=lambda random: random.seed(),
    ),
    Surrounding(
        "NumPy's errstate",
        lambda numpy: numpy.geterr(),
        lambda numpy, state: numpy.seterr(**state),
        "numpy",
        lambda _: {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
        settled=True,
    ),
    Surrounding(
        "torch's default dtype",
        lambda torch: str(torch.get_default_dtype()),
        lambda torch, name: torch.set_default_dtype(getattr(torch, name.removeprefix("torch."))),
        "torch",
        lambda _: "torch.float32",
        settled=True,
    ),
    Surrounding(
        "torch's default device",
        lambda torch: str(torch.get_default_device()),
        _set_device,
        "torch",
        lambda _: "cpu",
        settled=True,
    ),
    Surrounding(
        "torch's gradient mode",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, on: torch.set_grad_enabled(on),
        "torch",
        lambda _: True,
        settled=True,
    ),
    Surrounding(
        "torch's use of deterministic algorithms",
        lambda torch: torch.are_deterministic_algorithms_enabled(),
        lambda torch, on: torch.use_deterministic_algorithms(on),
        "torch",
        lambda _: False,
        settled=True,
    ),
    Surrounding(
        "torch's precision of matrix products",
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, name: torch.set_float32_matmul_precision(name),
        "torch",
        lambda _: "highest",
        settled=True,
    ),
    Surrounding(
        "torch's TensorFloat-32 and cuDNN",
        _reduced,
        _set_reduced,
        "torch",
        lambda _: (False, True, False, False),
        settled=True,
    ),
    Surrounding(
        "torch's threads",
        lambda torch: torch.get_num_threads(),
        lambda torch, count: torch.set_num_threads(count),
        "torch",
    ),
    Surrounding(
        "the state of torch's generator", _torch_state, _set_torch_state, "torch", _fresh_torch_state
    ),
    # Only reported.
    Surrounding("the variables of the environment", _other_variables),
    Surrounding("sys.path", lambda sys: tuple(sys.path)),
    Surrounding("sys.excepthook", lambda sys: (id(sys.excepthook),)),
    Surrounding(
        "built-in functions",
        lambda builtins: {name: id(one) for name, one in vars(builtins).items() if name != "_"},
        module="builtins",
    ),
    Surrounding("how lines are traced", lambda sys: (id(sys.gettrace()), id(sys.getprofile()))),
    Surrounding("filters of warnings, so that none is shown,", lambda w: (_hiding(w),), module="warnings"),
    Surrounding("the handlers of all logs", _log_handlers, module="logging"),
    Surrounding("faulthandler", lambda module: (module.is_enabled(),), module="faulthandler"),
    Surrounding("the context of decimal", lambda decimal: (repr(decimal.getcontext()),), module="decimal"),
    Surrounding("NumPy's printing", lambda numpy: (repr(numpy.get_printoptions()),), module="numpy"),
    Surrounding("the number of threads that run", _threads, module="threading"),
)
