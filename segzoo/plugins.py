"""Finds plug-ins, loads each in its own try, and keeps a record of each.

segzoo walks the entry points of the group ``segzoo.plugins`` itself, sorted by distribution, since
pluggy's own loader lets one broken plug-in stop the rest. Two environment variables name
distributions, separated by commas: ``SEGZOO_PLUGINS`` (only these are loaded) and
``SEGZOO_DISABLE_PLUGINS`` (these are not). Neither kind is imported before they are asked.
"""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from dataclasses import dataclass, field
from importlib import import_module, metadata
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from segzoo import builtin, hooks
from segzoo.errors import PluginError
from segzoo.registry import plural
from segzoo.specs import (
    DatasetSpec,
    DecoderSpec,
    EncoderSpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    Spec,
    WeightsSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

ENTRY_POINT_GROUP = "segzoo.plugins"

#: Every kind of spec; the hook of each is ``segzoo_`` and its plural.
SPEC_TYPES: tuple[type[Spec], ...] = (
    EncoderSpec,
    DecoderSpec,
    ModelSpec,
    WeightsSpec,
    DatasetSpec,
    MetricSpec,
    LossSpec,
)

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
class Candidate:
    """A plug-in that was found and not yet imported."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]


@dataclass(frozen=True)
class Contribution:
    """What one plug-in turned out to bring, and its record."""

    record: PluginRecord
    specs: tuple[Spec, ...] = ()


def collect(folders: Sequence[Path] = ()) -> list[Contribution]:
    """Load segzoo's own plug-in, those in ``folders``, then every installed one; raises nothing.

    Args:
        folders: each holds plug-in packages as source trees (``*/pyproject.toml`` and ``*/src``).
    """
    found = [segzoo_itself(), *(c for folder in folders for c in in_folder(folder)), *installed()]
    seen: dict[tuple[str, str], Candidate] = {}
    contributions = []
    for candidate in found:
        key = (candidate.distribution, candidate.name)
        first = seen.setdefault(key, candidate)
        contributions.append(load(candidate) if first is candidate else shadowed(candidate))
    return contributions


def segzoo_itself() -> Candidate:
    """Return the plug-in that segzoo itself is."""
    from segzoo import __version__

    return Candidate("builtin", "segzoo", __version__, lambda: builtin)


def installed() -> list[Candidate]:
    """Return the plug-ins of every installed distribution, sorted by its name."""
    candidates = []
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        name, version = ("?", "") if point.dist is None else (point.dist.name, point.dist.version)
        candidates.append(Candidate(point.name, normalise(name), version, point.load))
    return sorted(candidates, key=lambda candidate: (candidate.distribution, candidate.name))


def in_folder(folder: Path) -> list[Candidate]:
    """Return the plug-ins in source trees below ``folder``, installed or not."""
    import tomllib

    candidates = []
    for file in sorted(folder.glob("*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        points = project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
        for name, module in points.items():
            load_module = _source_loader(module, file.parent / "src")
            distribution = normalise(str(project.get("name", file.parent.name)))
            candidates.append(Candidate(name, distribution, str(project.get("version", "")), load_module))
    return candidates


def _source_loader(module: str, source: Path) -> Callable[[], ModuleType]:
    return lambda: import_from(module, source)


def import_from(module: str, source: Path) -> ModuleType:
    """Import a top-level module or package from the folder ``source``, leaving ``sys.path`` alone."""
    if module in sys.modules:
        return sys.modules[module]
    spec = PathFinder.find_spec(module, [str(source)])
    if spec is None or spec.loader is None:
        raise PluginError(f"{source} holds no module {module!r}")
    loaded = module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[module]
        raise
    return loaded


def shadowed(candidate: Candidate) -> Contribution:
    """Return the record of a second copy of a plug-in, which is not imported."""
    reason = f"another copy of {candidate.distribution} was found first"
    return Contribution(_record(candidate, status="shadowed", error=reason))


def load(candidate: Candidate) -> Contribution:
    """Import one plug-in, ask its hooks, check what they return; whatever it raises becomes its record."""
    reason = blocked(candidate.distribution)
    if reason:
        return Contribution(_record(candidate, status="blocked", error=reason))
    start = time.perf_counter()
    try:
        manager = pluggy.PluginManager("segzoo")
        manager.add_hookspecs(hooks)
        manager.register(candidate.load(), candidate.name)
        manager.check_pending()
        api = _api(manager)
        if api > hooks.API_VERSION:
            reason = f"needs plug-in interface {api}, this segzoo has {hooks.API_VERSION}: upgrade segzoo"
            return Contribution(_record(candidate, status="incompatible", api=api, error=reason))
        specs = tuple(spec for spec_type in SPEC_TYPES for spec in _specs(manager, spec_type))
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        record = _record(candidate, status="broken", error=told, traceback=traceback.format_exc())
        return Contribution(record)
    milliseconds = (time.perf_counter() - start) * 1000
    record = _record(candidate, api=api, milliseconds=milliseconds, provides=_provides(specs))
    return Contribution(record, specs)


def blocked(distribution: str) -> str:
    """Return why the environment forbids a distribution, or nothing where it does not."""
    if distribution == "segzoo":
        return ""
    if distribution in _listed("SEGZOO_DISABLE_PLUGINS"):
        return "named by SEGZOO_DISABLE_PLUGINS"
    if "SEGZOO_PLUGINS" in os.environ and distribution not in _listed("SEGZOO_PLUGINS"):
        return "not named by SEGZOO_PLUGINS"
    return ""


def normalise(distribution: str) -> str:
    """Return a distribution's name in the one spelling that package indexes treat as equal."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


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
    api = manager.hook.segzoo_api()
    if api is None:
        return hooks.API_VERSION
    if not isinstance(api, int):
        raise PluginError(f"segzoo_api() returned {api!r}, not the number of an interface version")
    return api


def _specs(manager: pluggy.PluginManager, spec_type: type[Spec]) -> Iterable[Spec]:
    hook = f"segzoo_{plural(spec_type.kind)}"
    for returned in getattr(manager.hook, hook)():
        if isinstance(returned, str | bytes) or not hasattr(returned, "__iter__"):
            raise PluginError(f"{hook}() returned {returned!r}, not a list of {spec_type.__name__}")
        for spec in returned:
            if not isinstance(spec, spec_type):
                raise PluginError(f"{hook}() returned {spec!r} among its specs, not a {spec_type.__name__}")
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
