"""Where weights are: from what a person says to a folder on this machine."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.errors import PluginError, UnknownNameError, WeightsError

if TYPE_CHECKING:
    from segzoo.specs import WeightsSpec

LOCAL = "local-dir:"


def locate(source: str | os.PathLike[str]) -> Path:
    """Return the folder that ``source`` means: ``local-dir:path``, a path, or registered weights.

    Raises:
        UnknownNameError: it is neither a name nor a folder.
        WeightsError: the folder does not exist.
    """
    text = os.fspath(source)
    if text.startswith(LOCAL):
        return _existing(Path(text.removeprefix(LOCAL)).expanduser())
    if not isinstance(source, str):
        return _existing(Path(source))
    registered = zoo.registry("weights")
    if text in registered:
        return in_package(registered.get(text))
    if Path(text).is_dir():
        return Path(text)
    raise UnknownNameError(f"{registered.unknown(text)}, and there is no folder of that name")


def is_location(name: str) -> bool:
    """Whether ``name`` says by a scheme where weights are, rather than what they are called."""
    return name.startswith(LOCAL)


def in_package(spec: WeightsSpec) -> Path:
    """Return the folder of weights that ship inside a package.

    Raises:
        PluginError: the package does not hold it.
    """
    package, _, path = spec.folder.partition(":")
    file = import_module(package).__file__
    folder = Path(file or "").parent / path
    if file is None or not folder.is_dir():
        raise PluginError(f"weights {spec.name!r}: package {package!r} holds no folder {path!r}")
    return folder


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}")
    return folder
