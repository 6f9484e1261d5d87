"""What a tag releases: for ``segzoo-medical-v0.1.0`` it prints ``folder=plugins/segzoo-medical``.

A tag that names no package, or another version than the package has, is an error, and nothing is published.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def versions(root: Path = ROOT) -> dict[str, tuple[str, str]]:
    """The folder and the version of each package, by its name."""
    own = re.search(r'^__version__ = "(.+)"$', (root / "segzoo/__init__.py").read_text("utf-8"), re.MULTILINE)
    found = {"segmentation-zoo": (".", own.group(1) if own else "")}
    for file in sorted(root.glob("plugins/segzoo-*/pyproject.toml")):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        found[project["name"]] = (file.parent.relative_to(root).as_posix(), project["version"])
    return found


def folder_of(tag: str, root: Path = ROOT) -> str:
    """The folder of the package that a tag names.

    Raises:
        SystemExit: the tag is none of a package, or of another version.
    """
    name, _, version = tag.rpartition("-v")
    packages = versions(root)
    if name not in packages:
        sys.exit(f"{tag} names no package: expected NAME-vVERSION with one of {', '.join(packages)}")
    folder, has = packages[name]
    if has != version:
        sys.exit(f"{tag} is not what {name} says of itself, which is {has}: raise it, or tag {name}-v{has}")
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give one tag, such as segmentation-zoo-v0.1.0")
    print(f"folder={folder_of(sys.argv[1])}")
