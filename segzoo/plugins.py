"""Loads each plug-in in its own try, and keeps a record of each.

pluggy's own loader would let one broken plug-in stop the rest, so segzoo walks the entry points of
the group ``segzoo.plugins`` itself (`segzoo.discovery`). Two environment variables name
distributions, separated by commas: ``SEGZOO_PLUGINS`` (only these are loaded) and
``SEGZOO_DISABLE_PLUGINS`` (these are not); they are asked before a plug-in is imported. With
``SEGZOO_STRICT_PLUGINS=1`` the first plug-in that fails raises.
"""

from __future__ import annotations

import io
import os
import reprlib
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from segzoo import builtin, hooks
from segzoo.discovery import Candidate, blocked, in_folder, installed, strict
from segzoo.discovery import resolve as resolve
from segzoo.errors import PluginError, did_you_mean
from segzoo.printing import printable
from segzoo.registry import plural
from segzoo.specs import (
    DatasetSpec,
    DecoderSpec,
    EncoderSpec,
    LayoutSpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    RecipeSpec,
    Spec,
    WeightsSpec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


#: Every kind of spec; the hook of each is ``segzoo_`` and its plural.
SPEC_TYPES: tuple[type[Spec], ...] = (
    ModelSpec,
    WeightsSpec,
    EncoderSpec,
    DecoderSpec,
    DatasetSpec,
    MetricSpec,
    LossSpec,
    RecipeSpec,
    LayoutSpec,
)

#: Every hook that a plug-in may implement.
HOOKS = ("segzoo_api", *(f"segzoo_{plural(spec_type.kind)}" for spec_type in SPEC_TYPES))

#: More specs than any plug-in has; one whose hook never ends is stopped here.
MOST_SPECS = 10_000

#: Milliseconds above which loading a plug-in is slow, since every command waits for it.
SLOW = 1000.0

# What stands before a colon in a name and is no distribution.
_PREFIXES = ("hf-hub", "local-dir", "timm")

#: What may have become of a plug-in; `PluginRecord` says what each means.
Status = Literal["ok", "broken", "blocked", "incompatible", "shadowed"]


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """What became of one plug-in.

    Attributes:
        name: of its entry point.
        distribution: the package that people install; its name prefixes what it brings.
        version: of the distribution.
        status: ``ok``; ``broken`` (raised, or broke a contract); ``blocked`` (by the environment);
            ``incompatible`` (written for another interface version); ``shadowed`` (another copy of
            the same distribution came first).
        api: the interface version it was written for.
        error: why it is not ``ok``, in one line.
        traceback: where it raised.
        warnings: what people should know of it, though it works.
        milliseconds: how long it took to import and to ask.
        provides: names of what it brings, by kind.
    """

    name: str
    distribution: str
    version: str = ""
    status: Status = "ok"
    api: int = hooks.API_VERSION
    error: str = ""
    traceback: str = ""
    warnings: tuple[str, ...] = ()
    milliseconds: float = 0.0
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def slow(self) -> bool:
        """Whether it takes so long to load that people notice."""
        return self.milliseconds > SLOW


@dataclass(frozen=True)
class Contribution:
    """What one plug-in turned out to bring, and its record."""

    record: PluginRecord
    specs: tuple[Spec, ...] = ()


def collect(folders: Sequence[Path] = ()) -> list[Contribution]:
    """Load segzoo's own plug-in, those in ``folders``, then every installed one.

    What a plug-in raises becomes its record (but see `load`).

    Args:
        folders: each holds plug-in packages as source trees (``*/pyproject.toml`` and ``*/src``).
    """
    sources = [[segzoo_itself()], *(in_folder(folder) for folder in folders), installed()]
    earlier: set[str] = set()
    contributions: list[Contribution] = []
    guard = None
    for source in sources:
        names: set[tuple[str, str]] = set()
        for candidate in source:
            key = (candidate.distribution, candidate.name)
            if candidate.shadowed:
                contributions.append(shadowed(candidate, candidate.shadowed))
                continue
            if candidate.distribution in earlier:
                reason = f"another copy of {candidate.distribution} was found first"
                contributions.append(shadowed(candidate, reason))
            elif key in names:
                contributions.append(shadowed(candidate, f"it has another plug-in named {candidate.name!r}"))
            else:
                contributions.append(load(candidate, guard))
            # segzoo's own plug-in is the first.
            guard = guard or Guard(contributions[0].specs)
            names.add(key)
        earlier |= {candidate.distribution for candidate in source}
    return contributions


def segzoo_itself() -> Candidate:
    """Return the plug-in that segzoo itself is."""
    from segzoo import __version__

    return Candidate("builtin", "segzoo", __version__, lambda: builtin)


def shadowed(candidate: Candidate, reason: str) -> Contribution:
    """Return the record of a second copy of a plug-in, which is not imported."""
    return Contribution(_record(candidate, status="shadowed", error=reason))


def load(candidate: Candidate, guard: Guard | None = None) -> Contribution:
    """Import one plug-in, ask its hooks, check what they return; whatever it raises becomes its record.

    Raises:
        PluginError: it failed and ``SEGZOO_STRICT_PLUGINS`` is set.
    """
    reason = blocked(candidate.distribution)
    if reason:
        return Contribution(_record(candidate, status="blocked", error=reason))
    start = time.perf_counter()
    specs: tuple[Spec, ...] = ()
    with watching() as warnings:
        try:
            specs, outcome = _ask(candidate)
            if guard is not None:
                guard.check()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit and pytest.skip are no Exceptions
            if guard is not None:
                guard.restore()
            specs, told = (), in_a_line(error, candidate.value)
            outcome = {"status": "broken", "error": told, "traceback": traceback.format_exc()}
            if strict():
                told = f"plug-in {candidate.name!r} of {candidate.distribution} is broken: {told}"
                raise PluginError(told) from error
    milliseconds = (time.perf_counter() - start) * 1000
    if milliseconds > SLOW:
        warnings.append(f"it takes {milliseconds / 1000:.1f} s to load, and every command waits for it")
    warnings += filter(None, [candidate.warning])
    outcome = {"milliseconds": milliseconds, "warnings": tuple(warnings), **outcome}
    return Contribution(_record(candidate, **outcome), specs)


def _ask(candidate: Candidate) -> tuple[tuple[Spec, ...], dict[str, Any]]:
    """Return a plug-in's specs and what its record says."""
    if candidate.distribution in _PREFIXES:
        raise PluginError(
            f"its distribution is named {candidate.distribution!r}, and before a colon that means something "
            "else: rename it"
        )
    plugin = candidate.load()
    with _registered(plugin, candidate.name) as manager:
        return _answers(manager, plugin)


@cache
def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("segzoo")
    manager.add_hookspecs(hooks)
    return manager


@contextmanager
def _registered(plugin: object, name: str) -> Iterator[pluggy.PluginManager]:
    """Hold one plug-in alone; a manager for each would cost as much as all else."""
    manager = _manager()
    try:
        manager.register(plugin, name)
        yield manager
        manager.unregister(plugin)
    except BaseException:
        _manager.cache_clear()  # it may hold half a plug-in
        raise


def _answers(manager: pluggy.PluginManager, plugin: object) -> tuple[tuple[Spec, ...], dict[str, Any]]:
    _check_marks(manager, plugin)
    if not manager.get_hookcallers(plugin):
        raise PluginError("it has no hook: nothing in it is marked with @hookimpl (from segzoo.hooks)")
    # The version comes first: a plug-in of a later one may well have hooks that are unknown here.
    api = _api(manager)
    if api > hooks.API_VERSION:
        reason = f"needs plug-in interface {api}, this segzoo has {hooks.API_VERSION}: upgrade segzoo"
        if strict():
            raise PluginError(reason)
        return (), {"status": "incompatible", "api": api, "error": reason}
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_unknown_hook(manager, plugin) or str(error)) from error
    specs = tuple(spec for spec_type in SPEC_TYPES for spec in _specs(manager, spec_type))
    return specs, {"api": api, "provides": _provides(specs)}


def _check_marks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise if a hook lacks its mark, since pluggy would pass over it in silence."""
    for name in HOOKS:
        function = getattr(plugin, name, None)
        if callable(function) and manager.parse_hookimpl_opts(plugin, name) is None:
            raise PluginError(f"{name}() is not marked with @hookimpl (from segzoo.hooks), so it is no hook")


def _unknown_hook(manager: pluggy.PluginManager, plugin: object) -> str:
    for name in dir(plugin):
        if name not in HOOKS and manager.parse_hookimpl_opts(plugin, name) is not None:
            return f"there is no hook {name!r}{did_you_mean(name, HOOKS)}"
    return ""


def _api(manager: pluggy.PluginManager) -> int:
    if not manager.hook.segzoo_api.get_hookimpls():
        return hooks.API_VERSION
    api = manager.hook.segzoo_api()
    if type(api) is not int or api < 1:
        raise PluginError(f"segzoo_api() returned {api!r}, not the number of an interface version")
    return api


def _specs(manager: pluggy.PluginManager, spec_type: type[Spec]) -> Iterable[Spec]:
    hook = f"segzoo_{plural(spec_type.kind)}"
    caller = getattr(manager.hook, hook)
    answers = caller()
    if len(answers) < len(caller.get_hookimpls()):
        answers = [None]  # pluggy leaves out what returned None
    for returned in answers:
        if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
            told = reprlib.repr(returned)
            raise PluginError(f"{hook}() returned {told}, not a list of {spec_type.__name__}")
        for number, spec in enumerate(islice(returned, MOST_SPECS + 1), start=1):
            if number > MOST_SPECS:
                raise PluginError(f"{hook}() returned more than {MOST_SPECS} specs, the most that is allowed")
            if not isinstance(spec, spec_type):
                told = reprlib.repr(spec)
                raise PluginError(f"{hook}() returned {told} among its specs, not a {spec_type.__name__}")
            yield spec


def _provides(specs: Sequence[Spec]) -> dict[str, tuple[str, ...]]:
    kinds = dict.fromkeys(spec.kind for spec in specs)
    return {kind: tuple(spec.name for spec in specs if spec.kind == kind) for kind in kinds}


def _record(candidate: Candidate, **what: Any) -> PluginRecord:
    return PluginRecord(
        name=candidate.name, distribution=candidate.distribution, version=candidate.version, **what
    )


# What a plug-in does while it is loaded besides saying what it brings: told of, and undone where it must be.
#
# Standard output belongs to the command that people run (``segzoo list --json | ...``), so what a plug-in
# prints while it is loaded goes to stderr. segzoo's own specs and hooks belong to segzoo.

_REMEMBERED = 200

# Letters of an error that every command may show; the traceback holds all.
_LONGEST = 500

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
    except Exception as another:
        return f"(and its text raises {type(another).__name__})"
    return f"{line[:_LONGEST]} ..." if len(line) > _LONGEST else line


@contextmanager
def watching() -> Iterator[list[str]]:
    """Yield a list that afterwards holds what people should know of a plug-in loaded meanwhile."""
    warnings: list[str] = []
    printed, had_torch = _Printed(), "torch" in sys.modules
    try:
        with _output_to_stderr(), redirect_stdout(printed):
            yield warnings
    finally:
        if printed.beginning:
            told = reprlib.repr(printed.beginning.strip())
            warnings.append(f"it prints {told} when it is loaded (sent to stderr): print nothing at import")
        if "torch" in sys.modules and not had_torch:
            warnings.append("it imports torch when it is only listed: import it in the module of code")


@contextmanager
def _output_to_stderr() -> Iterator[None]:
    """Send what passes ``sys.stdout`` by, as programs and libraries in C do, to stderr too."""
    out, kept = sys.__stdout__, None
    with suppress(OSError, ValueError):  # it is closed, or no file
        if out is not None and out.fileno() == 1:
            out.flush()  # what was written before is still ours
            kept = os.dup(1)
            os.dup2(2, 1)
    try:
        yield
    finally:
        if out is not None and kept is not None:
            with suppress(OSError, ValueError):
                out.flush()
            os.dup2(kept, 1)
            os.close(kept)


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
