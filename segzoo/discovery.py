"""Where plug-ins are: entry points of installed distributions, and source trees in a folder.

Nothing is imported here before `Candidate.load` is called. segzoo walks the distributions itself,
since one whose files are damaged would otherwise hide all others.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

from segzoo.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

ENTRY_POINT_GROUP = "segzoo.plugins"

# Why nothing may be looked for just now, if that is so.
_refusal = ""


@dataclass(frozen=True)
class Candidate:
    """A plug-in that was found and not yet imported.

    Attributes:
        name: of its entry point.
        distribution: the package that people install, its name normalised.
        version: of the distribution.
        load: imports it and returns the module or object that implements the hooks.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Let whoever looks for plug-ins be told off with a `PluginError`, as tests want."""
    global _refusal
    before, _refusal = _refusal, reason
    try:
        yield
    finally:
        _refusal = before


def check_allowed() -> None:
    """Raise `PluginError` where plug-ins must not be looked for."""
    if _refusal:
        raise PluginError(_refusal)


def installed() -> list[Candidate]:
    """Return the plug-ins of every installed distribution, sorted by its name."""
    check_allowed()
    candidates: list[Candidate] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        points, damage = _entry_points(distribution)
        if not points and not damage:
            continue
        try:
            name, version = normalise(distribution.name), distribution.version
        except (KeyError, TypeError):  # its METADATA has no name or version
            name, version = "?", ""
        if name in seen and name != "?":
            continue  # an older copy further down the path, which Python would not import either
        seen.add(name)
        if damage:
            candidates.append(Candidate("?", name, version, _raiser(damage)))
        candidates += [Candidate(point.name, name, version, point.load) for point in points]
    return sorted(candidates, key=lambda candidate: (candidate.distribution, candidate.name))


def _entry_points(distribution: metadata.Distribution) -> tuple[list[metadata.EntryPoint], str]:
    """Return a distribution's plug-ins, or what is wrong with the file that lists them."""
    text = ""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if ENTRY_POINT_GROUP not in text:
            return [], ""
        return list(distribution.entry_points.select(group=ENTRY_POINT_GROUP)), ""
    except Exception as error:
        damage = f"its entry_points.txt cannot be read: {type(error).__name__}: {error}"
        return [], damage if ENTRY_POINT_GROUP in text else ""


def in_folder(folder: Path) -> list[Candidate]:
    """Return the plug-ins in source trees below ``folder``, installed or not.

    A source tree is a folder with a ``pyproject.toml`` whose entry points say where the plug-in is;
    its code lies in ``src``, or beside the file.
    """
    check_allowed()
    candidates: list[Candidate] = []
    for file in sorted(folder.glob("*/pyproject.toml")):
        try:
            candidates += _in_project(file)
        except (ValueError, AttributeError, OSError) as error:
            damage = f"its pyproject.toml cannot be read: {error}"
            candidates.append(Candidate("?", normalise(file.parent.name), "", _raiser(damage)))
    return candidates


def _in_project(file: Path) -> Iterator[Candidate]:
    import tomllib

    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    source = file.parent / "src" if (file.parent / "src").is_dir() else file.parent
    distribution = normalise(str(project.get("name", file.parent.name)))
    version = str(project.get("version", ""))
    points = project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
    for name, value in points.items():
        yield Candidate(name, distribution, version, _source_loader(str(value), source))


def _source_loader(value: str, source: Path) -> Callable[[], Any]:
    def load() -> Any:
        module_name, _, attributes = (part.strip() for part in value.partition(":"))
        top = module_name.partition(".")[0]
        found: Any = import_from(top, source)
        if module_name != top:
            found = import_module(module_name)
        for attribute in attributes.split(".") if attributes else ():
            found = getattr(found, attribute)
        return found

    return load


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
        sys.modules.pop(module, None)
        raise
    return loaded


def normalise(distribution: str) -> str:
    """Return a distribution's name in the one spelling that package indexes treat as equal."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _raiser(message: str) -> Callable[[], Any]:
    def load() -> Any:
        raise PluginError(message)

    return load
