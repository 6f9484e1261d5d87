"""Loads each plug-in in its own try, and keeps a record of each.

pluggy's own loader would let one broken plug-in stop the rest, so segzoo walks the entry points of
the group ``segzoo.plugins`` itself (`segzoo.discovery`). Two environment variables name
distributions, separated by commas: ``SEGZOO_PLUGINS`` (only these are loaded) and
``SEGZOO_DISABLE_PLUGINS`` (these are not); they are asked before a plug-in is imported. With
``SEGZOO_STRICT_PLUGINS=1`` the first plug-in that fails raises.
"""

from __future__ import annotations

import os
import reprlib
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from segzoo import builtin, hooks
from segzoo.discovery import Candidate, in_folder, installed, normalise
from segzoo.errors import PluginError, did_you_mean
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
    from collections.abc import Callable, Sequence
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
    milliseconds: float = 0.0
    provides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    contributions = []
    for source in sources:
        names: set[tuple[str, str]] = set()
        for candidate in source:
            key = (candidate.distribution, candidate.name)
            if candidate.distribution in earlier:
                reason = f"another copy of {candidate.distribution} was found first"
                contributions.append(shadowed(candidate, reason))
            elif key in names:
                contributions.append(shadowed(candidate, f"it has another plug-in named {candidate.name!r}"))
            else:
                contributions.append(load(candidate))
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


def load(candidate: Candidate) -> Contribution:
    """Import one plug-in, ask its hooks, check what they return; whatever it raises becomes its record.

    Raises:
        PluginError: it failed and ``SEGZOO_STRICT_PLUGINS`` is set.
    """
    reason = blocked(candidate.distribution)
    if reason:
        return Contribution(_record(candidate, status="blocked", error=reason))
    start = time.perf_counter()
    specs: tuple[Spec, ...] = ()
    try:
        specs, outcome = _ask(candidate)
    except (Exception, SystemExit) as error:
        outcome = {"status": "broken", "error": _told(error), "traceback": traceback.format_exc()}
        if strict():
            told = f"plug-in {candidate.name!r} of {candidate.distribution} is broken: {outcome['error']}"
            raise PluginError(told) from error
    milliseconds = (time.perf_counter() - start) * 1000
    return Contribution(_record(candidate, milliseconds=milliseconds, **outcome), specs)


def strict() -> bool:
    """Whether the first plug-in that fails is to raise, as its author's tests want."""
    return os.environ.get("SEGZOO_STRICT_PLUGINS", "") not in ("", "0")


def _ask(candidate: Candidate) -> tuple[tuple[Spec, ...], dict[str, Any]]:
    """Return a plug-in's specs and what its record says."""
    manager = pluggy.PluginManager("segzoo")
    manager.add_hookspecs(hooks)
    plugin = candidate.load()
    manager.register(plugin, candidate.name)
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


def _told(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"


def blocked(distribution: str) -> str:
    """Return why the environment forbids a distribution, or nothing where it does not."""
    if distribution == "segzoo":
        return ""
    if distribution in _listed("SEGZOO_DISABLE_PLUGINS"):
        return "named by SEGZOO_DISABLE_PLUGINS"
    if "SEGZOO_PLUGINS" in os.environ and distribution not in _listed("SEGZOO_PLUGINS"):
        return "not named by SEGZOO_PLUGINS"
    return ""


def resolve(factory: str) -> Callable[..., Any]:
    """Import what ``"package.module:callable"`` names.

    Raises:
        PluginError: there is no such module, or no such callable in it.
    """
    module_name, _, attribute = factory.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise PluginError(f"factory {factory!r}: there is no module {error.name!r}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise PluginError(f"factory {factory!r}: module {module_name!r} has no callable {attribute!r}")
    return found


def _listed(variable: str) -> set[str]:
    return {normalise(part.strip()) for part in os.environ.get(variable, "").split(",") if part.strip()}


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
        for spec in returned:
            if not isinstance(spec, spec_type):
                told = reprlib.repr(spec)
                raise PluginError(f"{hook}() returned {told} among its specs, not a {spec_type.__name__}")
            yield spec


def _provides(specs: Iterable[Spec]) -> dict[str, tuple[str, ...]]:
    provides: dict[str, tuple[str, ...]] = {}
    for spec in specs:
        provides[spec.kind] = (*provides.get(spec.kind, ()), spec.name)
    return provides


def _record(candidate: Candidate, **what: Any) -> PluginRecord:
    return PluginRecord(
        name=candidate.name, distribution=candidate.distribution, version=candidate.version, **what
    )
