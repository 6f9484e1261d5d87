"""The installed distributions, even damaged ones, and segzoo's requirements."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import segzoo
from segzoo.discovery import normalise
from segzoo.distribution import PROJECT, meets, origin, source_folder

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True)
class Copy:
    """One installed copy of a distribution.

    Attributes:
        version: version; empty if its files do not state it.
        place: folder that it is installed in.
        source: folder of an editable installation, else empty.
    """

    version: str
    place: str
    source: str = ""


@dataclass(frozen=True)
class Requirement:
    """A requirement of segzoo.

    Attributes:
        name: normalised name of the distribution.
        bounds: version bounds, such as ``>=2.6``; empty for any version.
        extra: extra that requires it; empty if segzoo always does.
    """

    name: str
    bounds: str
    extra: str = ""

    def met(self, version: str) -> bool:
        """Return whether a version is within the bounds; see `segzoo.distribution.meets`."""
        return meets(version, self.bounds)

    def __str__(self) -> str:
        return f"{self.name}{self.bounds}"


def installed() -> dict[str, list[Copy]]:
    """Return the copies of every distribution on the path, by normalised name, the active one first."""
    found: dict[str, list[Copy]] = {}
    for distribution in metadata.distributions():
        name, version = _identity(distribution)
        place = os.path.realpath(str(distribution.locate_file("")))
        copy = Copy(version, place, source_folder(origin(distribution)))
        known = found.setdefault(name, [])
        if (version, place) not in [(one.version, one.place) for one in known]:
            known.append(copy)
    return found


def requirements() -> list[Requirement]:
    """Return segzoo's requirements, from its installation or from the source tree that it runs in."""
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        lines = _of_source_tree()
    return [_read(line) for line in lines]


def _of_source_tree() -> list[str]:
    file = Path(segzoo.__file__).parents[1] / "pyproject.toml"
    if not file.is_file():
        return []
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    optional = project.get("optional-dependencies", {})
    extras = [f"{line}; extra == '{extra}'" for extra, lines in optional.items() for line in lines]
    return [*project.get("dependencies", []), *extras]


def _read(line: str) -> Requirement:
    found = _REQUIREMENT.fullmatch(line.strip())
    if found is None:
        return Requirement(normalise(line), "")
    name, bounds, marker = found.groups()
    extra = _EXTRA.search(marker or "")
    return Requirement(normalise(name), bounds.strip(), extra[1] if extra else "")


def _identity(distribution: metadata.Distribution) -> tuple[str, str]:
    """Return a distribution's normalised name and its version, from their folder's name or its files."""
    folder = Path(str(getattr(distribution, "_path", "?"))).name
    name, _, version = folder.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")
    if version and folder.endswith(".dist-info"):
        return normalise(name), version  # the files state the same, but are slow to read
    try:
        said = distribution.metadata
        return normalise(said["Name"] or name), said["Version"] or version
    except Exception:  # the files may be damaged in any way
        return normalise(name), version
