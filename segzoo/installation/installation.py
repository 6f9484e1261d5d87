"""segzoo itself, its requirements, and its extras."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import segzoo
from segzoo.distribution import OWNER, PROJECT, cure, extra_line, namesakes, reinstall_line
from segzoo.installation.distributions import installed, requirements
from segzoo.installation.report import Findings, Part
from segzoo.installation.trial import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.installation.distributions import Copy, Requirement


def look() -> Part:
    """Report which segzoo runs, in which Python, and whether another installation interferes."""
    wrong = Findings("installation")
    copies = installed().get(PROJECT, [])
    imported = str(Path(segzoo.__file__).resolve().parent)
    facts = {
        "segzoo": segzoo.__version__,
        "imported_from": imported,
        "installed": [{"version": copy.version, "place": copy.source or copy.place} for copy in copies],
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "command": shutil.which("segzoo") or "",
    }
    _look_at_copies(copies, imported, wrong)
    _look_at_namesakes(copies, wrong)
    _look_at_command(facts["command"], wrong)
    return Part("installation", facts, tuple(wrong))


def _look_at_copies(copies: Sequence[Copy], imported: str, wrong: Findings) -> None:
    if not copies:
        source = (Path(imported).parent / "pyproject.toml").is_file()
        unknown = "" if source else ", so its requirements are unknown"
        wrong.warn(
            f"segzoo {segzoo.__version__} is imported from {imported} but not installed{unknown}",
            f"pip install -e {Path(imported).parent}" if source else reinstall_line(),
        )
        return
    if len(copies) > 1:
        places = "; ".join(f"{copy.version or '?'} in {copy.source or copy.place}" for copy in copies)
        wrong.warn(
            f"{PROJECT} is installed {len(copies)} times: {places}; the first hides the others",
            f"pip uninstall {PROJECT} until none is left, then install it once",
        )
    first = copies[0]
    place = first.source or first.place
    if not _inside(imported, place):
        wrong.warn(
            f"segzoo is imported from {imported}, but the installed one is in {place}",
            "start from another folder, or remove the first from PYTHONPATH, or uninstall the second",
        )
    elif first.version and first.version != segzoo.__version__:
        wrong.warn(
            f"segzoo is {segzoo.__version__} but was installed as {first.version}: the recorded "
            "requirements and plug-ins may be outdated",
            reinstall_line(),
        )


def _look_at_namesakes(copies: Sequence[Copy], wrong: Findings) -> None:
    """Report distributions called ``segzoo``: another program, or segzoo under its earlier name."""
    for one in namesakes():
        called = f"{OWNER} {one.version}".strip()
        if one.own:
            wrong.warn(
                f"{called} in {one.place} is an earlier installation of this program, which pip now calls "
                f"{PROJECT}: uninstalling it later removes files that both have",
                cure(),
            )
            continue
        # A copy further down the path is never imported; one in the same folder is mixed with segzoo.
        hidden = bool(copies) and _rank(copies[0].place) < _rank(one.place)
        tell = wrong.warn if hidden else wrong.error
        tell(
            f"{called} in {one.place} is another program whose package is also called {OWNER}: installing it "
            f"replaces files of {PROJECT}, and uninstalling it removes them",
            cure(),
        )


def _rank(place: str) -> int:
    """Return the position of a folder on Python's path."""
    path = [os.path.realpath(folder) for folder in sys.path]
    return path.index(place) if place in path else len(path)


def _look_at_command(command: str, wrong: Findings) -> None:
    """Report a program ``segzoo`` on the PATH that belongs to another Python."""
    try:
        first = Path(command).read_bytes()[:512].partition(b"\n")[0].decode() if command else ""
    except (OSError, UnicodeDecodeError):
        return
    if not first.startswith("#!") or "python" not in first:
        return
    theirs = os.path.realpath(Path(first[2:].split()[0]).parent)
    ours = {os.path.realpath(Path(sys.executable).parent), os.path.realpath(sysconfig.get_path("scripts"))}
    if theirs not in ours and Path(first[2:].split()[0]).name != "env":
        wrong.warn(
            f"`segzoo` on the PATH is {command}, which belongs to the Python in {theirs}, not to this one "
            f"({sys.executable})",
            f"activate the intended environment, or run {sys.executable} -m segzoo",
        )


def look_at_packages(tried: Mapping[str, Any]) -> Part:
    """Report the versions of segzoo's requirements, and whether they can be imported.

    Args:
        tried: what `segzoo.installation.trial.try_imports` returned.
    """
    wrong = Findings("packages")
    copies = installed()
    needed = [one for one in requirements() if not one.extra]
    rows = [_package(one, copies, tried, wrong) for one in needed]
    if tried["crash"]:
        wrong.error(*tried["crash"])
    return Part("packages", {"required": rows}, tuple(wrong))


def _package(
    needed: Requirement, copies: Mapping[str, Sequence[Copy]], tried: Mapping[str, Any], wrong: Findings
) -> dict[str, Any]:
    errors, files, imported = tried["errors"], tried["files"], tried["imported"]
    found = copies.get(needed.name, ())
    version = found[0].version if found else None
    error = errors.get(needed.name, "")
    if version is None and needed.name not in imported:
        wrong.error(f"{needed.name} is not installed", f"pip install '{needed}'")
    elif version is not None and not needed.met(version):
        wrong.error(
            f"{needed.name} {version} is not supported: segzoo needs {needed.name}{needed.bounds}",
            f"pip install '{needed}'",
        )
    # Another copy further down the path is never imported; in one folder they are mixed.
    mixed = [copy for copy in found if copy.place == found[0].place]
    if len(mixed) > 1:
        versions = " and ".join(copy.version or "?" for copy in mixed)
        wrong.warn(
            f"{needed.name} is installed {len(mixed)} times in {mixed[0].place}, {versions}, files mixed",
            f"pip uninstall {needed.name} until none is left, then pip install '{needed}'",
        )
    if elsewhere := _elsewhere(found, files.get(needed.name)):
        place = found[0].source or found[0].place
        tell = wrong.error if error else wrong.warn
        tell(
            f"{needed.name} is imported from {elsewhere}, not from {place}, where it is "
            f"installed{f', and fails: {error}' if error else ''}",
            f"rename {elsewhere}, or remove its folder from PYTHONPATH",
        )
    elif error and version is not None and not _consequence(needed.name, errors):
        wrong.error(f"{needed.name} {version} cannot be imported: {error}", _reinstall(needed))
    works = None if not error and needed.name not in imported else not error
    return {
        "name": needed.name,
        "version": version,
        "needs": needed.bounds,
        "imports": works,
        "error": error,
    }


def _elsewhere(copies: Sequence[Copy], file: str | None) -> str:
    """Return the file of a module that is not the installed one, such as a file with its name nearby."""
    places = [place for copy in copies for place in (copy.source, copy.place) if place]
    if not file or not places:
        return ""
    inside = any(_inside(path, place) for path in (file, os.path.realpath(file)) for place in places)
    return "" if inside else file


def _consequence(name: str, errors: Mapping[str, str]) -> bool:
    """Return whether a package fails only because another one does, which is already reported."""
    for other, error in errors.items():
        module = MODULES.get(other, other).partition(".")[0]
        if other != name and f"No module named '{module}" in errors[name]:
            return True
        if other == name:
            return False
        if error == errors[name]:
            return True
    return False


def _reinstall(needed: Requirement) -> str:
    if needed.name in ("torch", "torchvision"):
        return (
            "install matching releases of torch and torchvision together, as "
            "https://pytorch.org/get-started/locally describes"
        )
    return f"pip install --force-reinstall '{needed}'"


def look_at_extras() -> Part:
    """Report which extras are installed, and the pip command for the others."""
    wrong = Findings("extras")
    copies = installed()
    extras: dict[str, list[Requirement]] = {}
    for one in requirements():
        if one.extra:
            extras.setdefault(one.extra, []).append(one)
    rows: dict[str, Any] = {}
    for extra, needed in extras.items():
        found = {one.name: copies[one.name][0].version for one in needed if one.name in copies}
        old = [one for one in needed if one.name in found and not one.met(found[one.name])]
        for one in old:
            wrong.warn(
                f"{one.name} {found[one.name]} is not supported by the extra {extra!r}, which needs {one}",
                extra_line(extra, upgrade=True),
            )
        rows[extra] = {
            "installed": len(found) == len(needed) and not old,
            "packages": found,
            "missing": [str(one) for one in needed if one.name not in found],
            "install": extra_line(extra),
        }
    return Part("extras", rows, tuple(wrong))


def _inside(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)
