"""Loads each plug-in in its own try, and keeps a record of each.

pluggy's own loader would let one broken plug-in stop the rest, so segzoo walks the entry points of
the group ``segzoo.plugins`` itself (`segzoo.discovery`). Two environment variables name
distributions, separated by commas: ``SEGZOO_PLUGINS`` (only these are loaded) and
``SEGZOO_DISABLE_PLUGINS`` (these are not); they are asked before a plug-in is imported. With
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
    told = f"plug-in {candidate.name!r} of {candidate.distribution}"
    with person_first(told, candidate.distribution), watching() as warnings:
        try:
            specs, outcome = _ask(candidate)
            if guard is not None:
                guard.check()
        # Neither sys.exit, pytest.skip nor a KeyboardInterrupt of its own ends anything but the plug-in.
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
