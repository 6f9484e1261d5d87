"""Loads each plug-in in a separate try block, and keeps a record of each.

pluggy's own loader would let one broken plug-in stop the rest, so segzoo loads the entry points of
the group ``segzoo.plugins`` itself (`segzoo.discovery`). Two environment variables name
distributions, separated by commas: ``SEGZOO_PLUGINS`` (only these are loaded) and
``SEGZOO_DISABLE_PLUGINS`` (these are not); they apply before a plug-in is imported. With
``SEGZOO_STRICT_PLUGINS=1`` the first plug-in that fails raises.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from segzoo import builtin, hooks
from segzoo.discovery import Candidate, blocked, in_folder, installed, strict
from segzoo.discovery import resolve as resolve
from segzoo.errors import PluginError, did_you_mean
from segzoo.plugins.guard import Guard, in_a_line, person_first, traced, watching
from segzoo.registry import plural
from segzoo.specs import SPEC_TYPES as SPEC_TYPES
from segzoo.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


#: Every hook that a plug-in may implement.
HOOKS = ("segzoo_api", *(f"segzoo_{plural(spec_type.kind)}" for spec_type in SPEC_TYPES))

#: More specs than any plug-in has; a hook that never ends is stopped here.
MOST_SPECS = 10_000

#: Milliseconds above which a plug-in counts as slow, because every command waits for it.
SLOW = 1000.0

# Prefixes before a colon in a name that are not distributions.
_PREFIXES = ("hf-hub", "local-dir", "timm")

#: States of a plug-in; `PluginRecord` explains them.
Status = Literal["ok", "broken", "blocked", "incompatible", "shadowed"]


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """The state of one plug-in.

    Attributes:
        name: name of its entry point.
        distribution: package that people install; its name prefixes the names of its parts.
        version: version of the distribution.
        status: ``ok``; ``broken`` (raised, or broke a contract); ``blocked`` (by the environment);
            ``incompatible`` (written for another interface version); ``shadowed`` (another copy of
            the same distribution came first).
        api: plug-in interface version that it was written for.
        error: why it is not ``ok``, in one line.
        traceback: where it raised.
        warnings: remarks about a plug-in that works.
        milliseconds: time to import it and call its hooks.
        provides: names of its parts, by kind.
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
        """Whether loading takes noticeably long."""
        return self.milliseconds > SLOW


@dataclass(frozen=True)
class Contribution:
    """The parts of one plug-in, and its record."""

    record: PluginRecord
    specs: tuple[Spec, ...] = ()


def collect(folders: Sequence[Path] = ()) -> list[Contribution]:
    """Load segzoo's own plug-in, those in ``folders``, then every installed one.

    An exception in a plug-in is stored in its record (but see `load`).

    Args:
        folders: folders with plug-in packages as source trees (``*/pyproject.toml`` and ``*/src``).
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
    """Return segzoo's own plug-in."""
    from segzoo import __version__

    return Candidate("builtin", "segzoo", __version__, lambda: builtin)


def shadowed(candidate: Candidate, reason: str) -> Contribution:
    """Return the record of a second copy of a plug-in, which is not imported."""
    return Contribution(_record(candidate, status="shadowed", error=reason))


def load(candidate: Candidate, guard: Guard | None = None) -> Contribution:
    """Import one plug-in, call its hooks, and check the results; any exception is stored in its record.

    Raises:
        PluginError: it failed and ``SEGZOO_STRICT_PLUGINS`` is set.
    """
    reason = blocked(candidate.distribution)
    if reason:
        return Contribution(_record(candidate, status="blocked", error=reason))
    start = time.perf_counter()
    specs: tuple[Spec, ...] = ()
    told = f"plug-in {candidate.name!r} of {candidate.distribution}"
    with person_first(told, candidate.distribution), watching() as warnings:
        try:
            specs, outcome = _ask(candidate)
            if guard is not None:
                guard.check()
        # sys.exit, pytest.skip or a KeyboardInterrupt raised by the plug-in ends only the plug-in.
        except BaseException as error:
            if guard is not None:
                guard.restore()
            specs, told = (), in_a_line(error, candidate.value)
            outcome = {"status": "broken", "error": told, "traceback": traced(error)}
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
    """Return a plug-in's specs and the contents of its record."""
    if candidate.distribution in _PREFIXES:
        raise PluginError(
            f"its distribution is named {candidate.distribution!r}, which has another meaning before a colon "
            "in names: rename it"
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
    """Register a single plug-in; a manager per plug-in would take as long as everything else together."""
    manager = _manager()
    try:
        manager.register(plugin, name)
        yield manager
        manager.unregister(plugin)
    except BaseException:
        _manager.cache_clear()  # it may contain an incomplete plug-in
        raise


def _answers(manager: pluggy.PluginManager, plugin: object) -> tuple[tuple[Spec, ...], dict[str, Any]]:
    _check_marks(manager, plugin)
    if not manager.get_hookcallers(plugin):
        raise PluginError("it has no hook: nothing in it is marked with @hookimpl (from segzoo.hooks)")
    # The version is checked first: a plug-in for a later one may have hooks that are unknown here.
    api = _api(manager)
    if api > hooks.API_VERSION:
        reason = f"needs plug-in interface {api}, but this segzoo has {hooks.API_VERSION}: upgrade segzoo"
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
    """Raise if a hook is not marked, because pluggy would silently ignore it."""
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
        answers = [None]  # pluggy leaves out results of None
    for returned in answers:
        if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
            told = reprlib.repr(returned)
            raise PluginError(f"{hook}() returned {told}, not a list of {spec_type.__name__}")
        for number, spec in enumerate(islice(returned, MOST_SPECS + 1), start=1):
            if number > MOST_SPECS:
                raise PluginError(f"{hook}() returned more than {MOST_SPECS} specs, the allowed maximum")
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
