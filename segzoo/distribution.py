"""The distribution of segzoo: what pip calls it, and whether the package ``segzoo`` here is its own.

People install ``segmentation-zoo`` and import ``segzoo``. The name ``segzoo`` on PyPI belongs to another
program, whose package is called ``segzoo`` as well: pip writes both into one folder, the later over the
earlier.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib import metadata

#: What pip calls segzoo.
PROJECT = "segmentation-zoo"

#: The package, and the prefix of segzoo's own parts in names, configs and cards. It never changes.
OWNER = "segzoo"

#: Where the sources are.
REPOSITORY = "https://github.com/org/segzoo"

#: Where people read the documentation.
DOCUMENTATION = f"{REPOSITORY}/tree/main/docs"


def owner_of(distribution: str) -> str:
    """Return the prefix of what a distribution brings; `PROJECT` brings what is prefixed with `OWNER`."""
    return OWNER if distribution == PROJECT else distribution


def project_of(owner: str) -> str:
    """Return what pip calls the distribution that brings the parts of an owner."""
    return PROJECT if owner == OWNER else owner


def requirement(owner: str = OWNER, *, extra: str = "", bounds: str = "") -> str:
    """Return a requirement for pip, such as ``segmentation-zoo[train]>=0.2``.

    Args:
        owner: prefix of the distribution's parts.
        extra: one extra, or several separated by commas.
        bounds: bounds of the version, such as ``>=0.2``.
    """
    return f"{project_of(owner)}{f'[{extra}]' if extra else ''}{bounds}"


def meets(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as ``>=2.7,<3``, by pip's rules: 2.7.0rc1 comes before 2.7.

    What cannot be read, such as the version of a damaged installation, is taken to.
    """
    try:
        # Here, since listing compares no versions.
        from packaging.specifiers import SpecifierSet
        from packaging.version import Version

        return SpecifierSet(bounds).contains(Version(version), prereleases=True)
    except (ImportError, ValueError):
        return True


def extra_line(extra: str, *, upgrade: bool = False) -> str:
    """Return the line that installs an extra of segzoo's."""
    return f"pip install {'--upgrade ' if upgrade else ''}'{requirement(extra=extra)}'"


def install_lines(*owners: str) -> list[str]:
    """Return the lines of a shell that install segzoo and the plug-ins of ``owners``.

    They serve readers of a page that will be read after the first release, too.
    """
    names = dict.fromkeys(project_of(owner) for owner in (OWNER, *owners))
    return [
        f"# until the first release is on PyPI, from git: see {REPOSITORY}",
        f"pip install {' '.join(names)}",
    ]


@dataclass(frozen=True)
class Namesake:
    """An installed distribution that is called ``segzoo``.

    Attributes:
        version: its version; empty if its files do not state it.
        place: folder in which it is installed.
        own: whether it is segzoo itself, installed before it was called `PROJECT`.
    """

    version: str
    place: str
    own: bool


def namesakes() -> list[Namesake]:
    """Return every installed distribution that is called ``segzoo``, the first on the path first."""
    from importlib import metadata

    found: dict[str, Namesake] = {}
    for one in metadata.distributions(name=OWNER):
        place = os.path.realpath(str(one.locate_file("")))
        version = Path(str(getattr(one, "_path", ""))).name.removesuffix(".dist-info").partition("-")[2]
        found.setdefault(place, Namesake(version, place, _is_own(one)))
    return list(found.values())


def _is_own(one: metadata.Distribution) -> bool:
    """Whether a distribution called ``segzoo`` is segzoo: its command starts in a module that segzoo has."""
    try:
        text = one.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.partition("=")[2].strip() == "segzoo.cli:main" for line in text.splitlines())


def origin(distribution: metadata.Distribution) -> dict[str, Any]:
    """Return what pip noted of where a distribution came from (``direct_url.json``); empty for an index."""
    import json

    try:
        told = json.loads(distribution.read_text("direct_url.json") or "{}")
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("url"), str) else {}


def source_folder(told: dict[str, Any]) -> str:
    """Return the folder of an editable installation, of what `origin` returned; empty for any other."""
    from urllib.parse import unquote, urlsplit

    kind = told.get("dir_info")
    editable = isinstance(kind, dict) and kind.get("editable")
    return os.path.realpath(unquote(urlsplit(told["url"]).path)) if editable else ""


def reinstall_line() -> str:
    """Return the line that installs segzoo anew from where it came, its dependencies left alone."""
    import shlex
    from importlib import metadata

    try:
        told = origin(metadata.distribution(PROJECT))
    except metadata.PackageNotFoundError:
        told = {"url": REPOSITORY, "vcs_info": {"vcs": "git"}}
    if source := source_folder(told):
        return f"pip install --no-deps -e {shlex.quote(source)}"
    what = told.get("url", PROJECT)
    if isinstance(control := told.get("vcs_info"), dict):
        # Without "NAME @", which pip's parser refuses before a repository on this disk.
        revision = control.get("requested_revision")
        what = f"{control.get('vcs', 'git')}+{what}{f'@{revision}' if revision else ''}"
    return f"pip install --force-reinstall --no-deps {shlex.quote(what)}"


def cure() -> str:
    """Return the line after which the files of the package ``segzoo`` are segzoo's again."""
    return f"pip uninstall --yes {OWNER} && {reinstall_line()}"


def displacement(package: str = OWNER) -> str:
    """Return why the imported package ``segzoo`` is not segzoo's own, and the cure; empty where it is.

    Args:
        package: its name in ``sys.modules``.
    """
    found = sys.modules.get(package)
    if "create" in getattr(found, "__all__", ()):
        return ""
    file = getattr(found, "__file__", None)
    if file is None:
        folders = ", ".join(getattr(found, "__path__", ()))
        return (
            f"the package {OWNER} in {folders} has lost its __init__.py, as it does when a distribution "
            f"{OWNER} is uninstalled beside {PROJECT}: {reinstall_line()}"
        )
    return f"{file} is not of {PROJECT}: {damage() or reinstall_line()}"


def damage() -> str:
    """Return why a module of segzoo's own may be missing, and the cure; empty where nothing explains it."""
    strangers = ", ".join(f"{OWNER} {one.version}".strip() for one in namesakes() if not one.own)
    if not strangers:
        return ""
    return f"{strangers} is another program, whose files replaced some or all of those of {PROJECT}: {cure()}"
