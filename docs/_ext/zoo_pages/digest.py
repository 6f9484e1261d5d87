"""Detects whether the zoo has changed since its pages were built."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from languages import MESSAGES, PARTS

from segzoo import zoo
from zoo_pages.facts import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = Path(__file__).resolve().parent


def digest() -> str:
    """Return a text that changes when plug-ins, specs, configs or the code of parts do."""
    lines = [torch.__version__, *_plugins(), *_specs(), *_files()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _plugins() -> Iterator[str]:
    for record in zoo.plugins:
        yield repr((record.distribution, record.version, record.status, record.error))


def _specs() -> Iterator[str]:
    for entry in _entries():
        yield guarded(lambda entry=entry: repr(entry), "")[0]


def _entries() -> Iterator[Any]:
    for kind in zoo.KINDS:
        for _, entry in zoo.registry(kind).items():
            yield entry


def _files() -> Iterator[str]:
    """Yield names and times of the files from which pages are generated."""
    kept = (_OURS.parents[1] / "images/zoo").glob("*")
    for path in sorted({*_OURS.glob("*.py"), MESSAGES / f"{PARTS}.po", *kept, *_code()}):
        if path.is_file():
            yield f"{path} {path.stat().st_mtime_ns}"


def _code() -> Iterator[Path]:
    """Yield the files of factories, configs and recipes. Only their packages are imported."""
    places = {getattr(entry.spec, "factory", "").partition(":")[0] for entry in _entries()}
    for module in filter(None, places):
        found, _ = guarded(lambda module=module: find_spec(module), None)
        if found is not None and found.origin:
            yield Path(found.origin)
    for entry in _entries():
        package, _, path = (getattr(entry.spec, "folder", "") or getattr(entry.spec, "file", "")).partition(
            ":"
        )
        found, _ = guarded(lambda package=package: find_spec(package), None) if package else (None, "")
        if found is not None and found.origin:
            place = Path(found.origin).parent / path
            yield place / "config.json" if place.is_dir() else place
