"""From a weights folder, or its name, to a network in evaluation mode."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from segzoo import zoo
from segzoo.architecture import altered
from segzoo.distribution import meets, owner_of, requirement
from segzoo.errors import (
    OptionError,
    PluginError,
    UnknownNameError,
    WeightsError,
)
from segzoo.options import check_flags
from segzoo.runtimes.network import open_network
from segzoo.weights.folder import CONFIG, TENSORS, _was_multilabel, empty, fill, read_config
from segzoo.weights.sources import exported, locate

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import nn


_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]* [A-Za-z0-9][A-Za-z0-9.+!-]*")


def load(source: str | os.PathLike[str], *, mirror: bool | None = None) -> nn.Module:
    """Return the model of a folder with its weights, or of an exported file, in evaluation mode.

    Args:
        source: ``local-dir:path``, a path, or the name of registered weights. An exported file, such as
            ``model.onnx``, gives a network that its own inference engine runs: it predicts, and cannot be
            trained.
        mirror: overrides `segzoo.Segmenter`'s option: ``False`` gives the bare network of valid convolutions.

    Raises:
        UnknownNameError: there are no such weights, or a plug-in that they need is not installed.
        OptionError: the network has no such option, or does not accept that value.
        WeightsError: a file is missing or damaged, or the tensors do not fit the network; or an exported file
            does not state how to predict with it.
        MissingExtraError: the engine of an exported file is not installed.
    """
    check_flags(**({} if mirror is None else {"mirror": mirror}))
    file = exported(source)
    if file is not None:
        if mirror is not None:
            raise OptionError(f"{file} is exported: mirror is an option of the network that it was made from")
        return open_network(file)
    folder = locate(source)
    config = read_config(folder)
    if _was_multilabel(config):
        warnings.warn(
            f"{folder} was converted by an older segzoo from a network with a sigmoid for each class: its "
            "masks give each pixel one class, and differ from the program's. Convert it again to fix that",
            stacklevel=2,
        )
    with _hinting(config.architecture.requires, folder / CONFIG):
        if mirror is not None:
            config = replace(config, architecture=altered(config.architecture, mirror=mirror))
        try:
            model = empty(config, folder / TENSORS)
        except OptionError as error:
            raise WeightsError(f"{folder / CONFIG}: this network cannot be built: {error}") from error
        fill(model, folder / TENSORS)
    return model.eval()


@contextmanager
def _hinting(requires: Mapping[str, str], file: Path) -> Iterator[None]:
    """Add to an error about a network which plug-in to install or to update.

    An unknown name, or a part that fails, comes from ``file``, not from the user, so the file is named.
    """
    try:
        yield
    except (UnknownNameError, PluginError, WeightsError) as error:
        # A config may name segzoo by its distribution, but its parts are registered as segzoo's.
        needed = {owner_of(name): version for name, version in requires.items()}
        where = "" if isinstance(error, WeightsError) else f"{file}: "
        raise type(error)(f"{where}{error}{_missing(needed)}{_older(needed)}") from error


def _missing(requires: Mapping[str, str]) -> str:
    present = {record.distribution for record in zoo.plugins if record.status == "ok"}
    # The file may come from anyone, and people paste suggested commands: names and versions only.
    absent = [
        f"'{requirement(name, bounds=f'>={version}')}'"
        for name, version in requires.items()
        if name not in present and _DISTRIBUTION.fullmatch(f"{name} {version}")
    ]
    if not absent:
        return ""
    return f"\nthese weights need a plug-in that is not loaded: pip install {' '.join(absent)}"


def _older(requires: Mapping[str, str]) -> str:
    """Return which plug-ins are older than those that a folder was made with; nothing if none is."""
    present = {record.distribution: record.version for record in zoo.plugins if record.status == "ok"}
    older = [
        f"\nthe folder was made with {name} {version}, but {present[name]} is installed: "
        f"pip install '{requirement(name, bounds=f'>={version}')}'"
        for name, version in requires.items()
        if name in present and _DISTRIBUTION.fullmatch(f"{name} {version}")
        if not meets(present[name], f">={version.partition('+')[0]}")
    ]
    return "".join(older)
