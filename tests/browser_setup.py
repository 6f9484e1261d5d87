"""What the tests of the site need besides Python: a Chromium of the system, and axe-core from npm.

``make test`` runs this file. A machine on which one of them cannot be had keeps all other tests: this
says what to do, and the tests of the site are skipped with the same words (on a server, where ``CI`` is
set, they fail). axe-core is no part of segzoo, since its licence is MPL-2.0; it lies in ``.venv/axe``, as
pinned in ``tests/browser``. ONNX Runtime Web, which the demo on the first page needs, is kept by
``docs/_ext/try_it.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs/_ext"))

import from_npm

PINNED = Path(__file__).parent / "browser"
AXE_HOME = Path(sys.prefix) / "axe"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)
GET_BROWSER = (
    "no Chromium is found: on Debian run `apt-get install chromium` as root, elsewhere install Chromium or "
    "Chrome, or set CHROME_PATH to its program; then `make test` again"
)
GET_AXE = (
    "axe-core is not there: run `make test` with a connection to npm's registry, or "
    "`python tests/browser_setup.py`, which says what stands in its way"
)
GET_DRIVER = "playwright is not there: run `pip install --group browser`, or `make test`, which does"


def chromium() -> str | None:
    """The program of a Chromium or Chrome, or ``None``; ``CHROME_PATH`` comes first."""
    told = os.environ.get("CHROME_PATH")
    found = (told, *map(shutil.which, PROGRAMS), *ELSEWHERE)
    return next((program for program in found if program and Path(program).is_file()), None)


def axe(home: Path = AXE_HOME) -> Path | None:
    """The file of axe-core, or ``None``."""
    file = home / "node_modules/axe-core/axe.min.js"
    return file if file.is_file() else None


def missing() -> str | None:
    """What is not there and how to get it, in one line, or ``None``."""
    lacks = []
    if find_spec("playwright") is None:
        lacks.append(GET_DRIVER)
    if chromium() is None:
        lacks.append(GET_BROWSER)
    if axe() is None:
        lacks.append(GET_AXE)
    return "; ".join(lacks) or None


def as_root() -> list[str] | None:
    """What to put before a command that needs root; ``None`` where nothing helps without a password."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def install_chromium() -> bool:
    """Install Debian's Chromium if there is none and this may; whether there is one now."""
    if chromium():
        return True
    root, apt = as_root(), shutil.which("apt-get")
    if apt is None or root is None:
        print(GET_BROWSER, file=sys.stderr)
        return False
    quietly = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        subprocess.run([*root, apt, *command], check=False, **quietly)
    if chromium() is None:
        print(GET_BROWSER, file=sys.stderr)
    return chromium() is not None


def fetch_axe(home: Path = AXE_HOME) -> bool:
    """Fetch axe-core as pinned, its hash checked by npm; whether it is there now."""
    lock = home / "package-lock.json"
    if axe(home) and lock.is_file() and lock.read_bytes() == (PINNED / lock.name).read_bytes():
        return True
    wrong = from_npm.install(PINNED, home, from_npm.npm())
    if wrong:
        print(f"axe-core could not be fetched: {wrong}", file=sys.stderr)
    return axe(home) is not None


def fetch_runtime() -> bool:
    """Fetch ONNX Runtime Web for the demo on the site's first page; whether it is there now."""
    import try_it

    try:
        return try_it.runtime().is_dir()
    except try_it.MissingError as error:
        print(error, file=sys.stderr)
        return False


if __name__ == "__main__":
    ready = [install_chromium(), fetch_axe(), fetch_runtime()]
    if not all(ready):
        sys.exit("the tests of the site in a browser will be skipped")
