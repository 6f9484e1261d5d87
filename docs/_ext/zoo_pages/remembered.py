"""Counts and drawings of networks, kept between builds: the English pages and the Chinese ones show the same.

They lie in ``build/zoo`` under a digest of the code that they come from, so that no old ones are shown.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import time
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path(__file__).resolve().parents[3]
_FOLDER = _ROOT / "build/zoo"
#: Distributions whose code the digest covers.
_OURS = {"segzoo", *(folder.name for folder in _ROOT.glob("plugins/segzoo-*"))}


def remembered(owner: str, what: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """Return what a function makes, or what it made in an earlier build. Exceptions are not kept.

    Args:
        owner: distribution of the part that is measured; only those of this repository are kept.
        what: name of the measurement and of all that it depends on.
        make: measures it.
    """
    if owner not in _OURS:
        return make()
    if what not in _known():
        _known()[what] = make()
    return _known()[what]


def keep() -> None:
    """Write what is known for later builds, and remove what no build has used for a week."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    written = _FOLDER / f"{os.getpid()}.part"
    written.write_bytes(pickle.dumps(_known()))
    written.replace(_file())
    for old in _FOLDER.glob("*.pickle"):
        if old.stat().st_mtime < time.time() - 7 * 24 * 3600:
            old.unlink(missing_ok=True)


@cache
def _known() -> dict[tuple[str, ...], Any]:
    with contextlib.suppress(OSError):
        return pickle.loads(_file().read_bytes())
    return {}


@cache
def _file() -> Path:
    lines = sorted(f"{one.name} {one.version}" for one in distributions())
    lines += [f"{record.distribution} {record.status}" for record in zoo.plugins]
    folders = (_ROOT / "segzoo", Path(__file__).parent, *_ROOT.glob("plugins/*/src"))
    for file in sorted(path for folder in folders for path in folder.rglob("*.*")):
        if file.suffix in (".py", ".json", ".toml"):
            lines.append(f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}")
    return _FOLDER / f"{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}.pickle"
