"""Where plug-ins are, and which of them the environment allows.

They are entry points of installed distributions, and source trees in a folder. Nothing is imported
here before `Candidate.load` is called. segzoo walks the distributions itself, since one whose files are
damaged would otherwise hide all others.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.distribution import OWNER, owner_of
from segzoo.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

ENTRY_POINT_GROUP = "segzoo.plugins"

#: What package indexes take as a name.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")

# Why nothing may be looked for just now, if that is so.
_refusal = ""


@dataclass(frozen=True)
class Candidate:
    """A plug-in that was found and not yet imported.

    Attributes:
        name: name of its entry point.
        distribution: normalised name of the package that users install; ``segzoo`` for segzoo itself.
        version: version of the distribution.
        load: imports the plug-in and returns the module or object that implements the hooks.
        value: module or object that its entry point names.
        shadowed: why the plug-in must not be loaded: which other copy comes first.
        warning: what users should know about its distribution.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]
    value: str = ""
    shadowed: str = ""
    warning: str = ""


@contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Make every search for plug-ins raise a `PluginError` with this reason, for tests."""
    global _refusal
    before, _refusal = _refusal, reason
    try:
        yield
    finally:
        _refusal = before


def check_allowed() -> None:
    """Raise `PluginError` if a search for plug-ins is not allowed."""
    if _refusal:
        raise PluginError(_refusal)


def installed() -> list[Candidate]:
    """Return the plug-ins of every installed distribution, sorted by its name."""
    check_allowed()
    candidates: list[Candidate] = []
    seen: dict[str, tuple[str, Path]] = {}
    for distribution in metadata.distributions():
        points, damage = _entry_points(distribution)
        if not points and not damage:
            continue
        name, version, warning = _identity(distribution)
        place, shadowed = Path(os.path.realpath(str(distribution.locate_file("")))), ""
        if name in seen:
            # Python would not import a copy further down the path either.
            first, where = seen[name]
            if where == place:
                continue  # a folder that is on the path twice, or by two names
            shadowed = f"{name} {first} in {where} comes first on sys.path; this one lies in {place}"
        seen.setdefault(name, (version, place))
        more = {"shadowed": shadowed, "warning": warning}
        if damage:
            candidates.append(Candidate("?", name, version, _raiser(damage), **more))
        for point in points:
            candidates.append(Candidate(point.name, name, version, _loader(point), value=point.value, **more))
    return sorted(candidates, key=lambda candidate: (candidate.distribution, candidate.name))


def _identity(distribution: metadata.Distribution) -> tuple[str, str, str]:
    """Return a distribution's name and version, and what is wrong with the file that says them."""
    try:
        said = distribution.metadata  # parsed anew whenever it is asked for
        if _DISTRIBUTION.fullmatch(said["Name"]) and said["Version"]:
            return owner_of(normalise(said["Name"])), said["Version"], ""
    except Exception:  # there is no METADATA, it lacks one of them, or it is no text
        said = None
    # The folder of the metadata is named after both.
    folder = Path(str(getattr(distribution, "_path", "?"))).name
    name, _, version = folder.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")
    warning = "its METADATA holds no valid name or no version: reinstall it"
    return owner_of(normalise(name)), version, warning


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
        return [], damage if ENTRY_POINT_GROUP in (text or _undecoded(distribution)) else ""


def _undecoded(distribution: metadata.Distribution) -> str:
    """Return the text of an entry-points file that is not valid UTF-8, with invalid bytes replaced."""
    try:
        path = Path(str(getattr(distribution, "_path", ""))) / "entry_points.txt"
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def _loader(point: metadata.EntryPoint) -> Callable[[], Any]:
    """Return what imports an entry point, which a damaged file may have left without a module."""
    module = point.value.partition(":")[0].partition("[")[0].strip()
    if point.pattern.match(point.value) and all(part.isidentifier() for part in module.split(".")):
        return point.load
    return _raiser(f"its entry point {point.name!r} names {point.value!r}, which is no module: reinstall it")


def in_folder(folder: Path) -> list[Candidate]:
    """Return the plug-ins in source trees below ``folder``, installed or not.

    A source tree is a folder with a ``pyproject.toml`` whose entry points name the plug-in. The code is in
    ``src`` or next to ``pyproject.toml``. If ``folder`` is itself a source tree, its own plug-ins are
    returned.
    """
    check_allowed()
    candidates: list[Candidate] = []
    own = folder / "pyproject.toml"
    for file in [own] if own.is_file() else sorted(folder.glob("*/pyproject.toml")):
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
    distribution = owner_of(normalise(str(project.get("name", file.parent.name))))
    version = str(project.get("version", ""))
    points = project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
    for name, value in points.items():
        yield Candidate(name, distribution, version, _source_loader(str(value), source), value=str(value))


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


def normalise(distribution: str) -> str:
    """Return a distribution's name in the one spelling that package indexes treat as equal."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def strict() -> bool:
    """Whether the first plug-in that fails is to raise, as its author's tests want."""
    return os.environ.get("SEGZOO_STRICT_PLUGINS", "") not in ("", "0")


def blocked(distribution: str) -> str:
    """Return why the environment forbids a distribution, or nothing where it does not."""
    if distribution == OWNER:
        return ""
    if distribution in _listed("SEGZOO_DISABLE_PLUGINS"):
        return "named by SEGZOO_DISABLE_PLUGINS"
    if "SEGZOO_PLUGINS" in os.environ and distribution not in _listed("SEGZOO_PLUGINS"):
        return "not named by SEGZOO_PLUGINS"
    return ""


def _listed(variable: str) -> frozenset[str]:
    return _names(os.environ.get(variable, ""))


@lru_cache(maxsize=2)
def _names(listed: str) -> frozenset[str]:
    # Asked for every plug-in anew, and of a long list it would take longer than loading them.
    return frozenset(owner_of(normalise(part.strip())) for part in listed.split(",") if part.strip())


def _raiser(message: str) -> Callable[[], Any]:
    def load() -> Any:
        raise PluginError(message)

    return load
