"""Where weights are: from what a person says to a folder on this machine, fetched if need be."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.errors import PluginError, UnknownNameError, UsageError, WeightsError, no_address
from segzoo.weights import converted, hub

if TYPE_CHECKING:
    from segzoo.specs import WeightsSpec

LOCAL = "local-dir:"


def locate(source: str | os.PathLike[str], *, only_config: bool = False) -> Path:
    """Return the folder that ``source`` means.

    Args:
        source: ``local-dir:path``, ``hf-hub:org/name@revision``, a path, or registered weights.
        only_config: whether the config is all that is wanted of a repository.

    Raises:
        UsageError: it is neither text nor a path, or it is empty.
        UnknownNameError: it is neither a name nor a folder.
        WeightsError: the folder does not exist, or a fetched file is not what it should be.
        FailureError: it cannot be fetched; the text says what to do.
    """
    if not isinstance(source, str | os.PathLike) or not isinstance(text := os.fspath(source), str):
        raise UsageError(f"weights are a name or a folder, got {type(source).__name__}")
    if not text.strip():
        raise UsageError("the name of the weights is empty; `segzoo list weights` shows those there are")
    if text.startswith(LOCAL):
        return _existing(Path(text.removeprefix(LOCAL)).expanduser())
    if text.startswith(hub.PREFIX):
        return hub.folder(text, only_config=only_config)
    if not isinstance(source, str):
        return _existing(Path(source))
    registered = zoo.registry("weights")
    if text in registered:
        return folder_of(registered.get(text))
    if Path(text).is_dir():
        return Path(text)
    raise UnknownNameError(
        registered.unknown(text, also=f", and there is no folder of that name{_instead(text)}")
    )


def _instead(text: str) -> str:
    return no_address(
        text, "say hf-hub:ORG/NAME, or download the checkpoint and make a folder of it with `segzoo convert`"
    )


def folder_of(spec: WeightsSpec) -> Path:
    """Return the folder of registered weights: shipped, fetched and converted, or from the Hub."""
    if spec.folder:
        return in_package(spec)
    if spec.hub:
        return hub.folder(spec.hub, sha256=spec.sha256, name=spec.name)
    return converted.converted(spec)


def is_location(name: str) -> bool:
    """Whether ``name`` says by a scheme where weights are, rather than what they are called."""
    return name.startswith((LOCAL, hub.PREFIX))


def located(model: str) -> str:
    """Return a model's name, or, where it is a path to a folder that predicts, that folder by its scheme."""
    as_path = "/" in model or os.sep in model
    return f"{LOCAL}{model}" if as_path and (Path(model) / "config.json").is_file() else model


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
