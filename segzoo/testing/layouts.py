"""The contract of layouts: told apart by their signatures, and honest about files that do not fit."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segzoo import zoo
from segzoo.errors import WeightsError
from segzoo.plugins import resolve
from segzoo.specs import LayoutSpec
from segzoo.testing.promises import keep, promise, seeded
from segzoo.weights.checkpoints import Checkpoint, read_checkpoint
from segzoo.weights.conversion import convert, recognise
from segzoo.weights.encoders import is_encoder
from segzoo.weights.loading import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from segzoo.testing.promises import Promises


def check_layout(
    layout: str | LayoutSpec, *, state: Mapping[str, Tensor] | None = None, **options: Any
) -> None:
    """Check a layout of other programs' checkpoints.

    No other layout has its signature, and its factory takes a checkpoint. A file that holds only the
    signature is refused with a list of what is missing. A state dict, if the author gives one, is recognised
    by its signature, and converted to a model with finite logits.

    Args:
        layout: its name, or its spec if no plug-in registers it yet.
        state: a state dict of the program, of a narrow network if there is one.
        **options: options of the layout for that state dict.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    spec = layout if isinstance(layout, LayoutSpec) else zoo.registry("layouts").get(layout)
    keep(f"layout {spec.name!r}", layout_promises(spec, state=state, **options))


def layout_promises(
    spec: LayoutSpec, *, state: Mapping[str, Tensor] | None = None, **options: Any
) -> Promises:
    """Return the checks of a layout by promise; see `check_layout` for the arguments."""
    what = f"layout {spec.name!r}"
    promises: Promises = {
        "described": lambda: _check_described(spec, what),
        "signature": lambda: _check_signature(spec, what),
        "factory": lambda: _check_factory(spec, what),
        "other-files": lambda: _check_other_files(spec, what),
    }
    if state is not None:
        promises["conversion"] = lambda: _check_conversion(spec, state, options, what)
    return promises


def _check_described(spec: LayoutSpec, what: str) -> None:
    promise(
        bool(spec.summary and spec.homepage),
        f"{what}: its spec lacks summary or homepage; say which program's checkpoints it reads",
    )


def _check_signature(spec: LayoutSpec, what: str) -> None:
    promise(
        isinstance(spec.signature, tuple) and all(isinstance(name, str) and name for name in spec.signature),
        f"{what}: its signature {spec.signature!r} must be names of tensors",
    )
    same = [
        entry.full_name
        for _, entry in zoo.registry("layouts").items()
        if entry.spec != spec
        and set(entry.spec.signature) == set(spec.signature)
        and set(entry.spec.beside) == set(spec.beside)
    ]
    promise(not same, f"{what}: {', '.join(same)} has the same signature; add names that only its files have")


def _check_factory(spec: LayoutSpec, what: str) -> None:
    names = list(inspect.signature(resolve(spec.factory)).parameters)
    promise(
        names[:1] == ["checkpoint"],
        f"{what}: its factory must take `checkpoint` first, takes {', '.join(names) or 'nothing'}",
    )
    strange = sorted(set(spec.options) - set(names))
    promise(not strange, f"{what}: its spec gives options {strange}, which its factory does not take")


def _check_other_files(spec: LayoutSpec, what: str) -> None:
    tensors = {name: torch.zeros(()) for name in spec.signature}
    checkpoint = Checkpoint(tensors=tensors, file="made-up.pth")
    try:
        resolve(spec.factory)(checkpoint, **spec.options)
    except WeightsError as error:
        promise(bool(str(error)), f"{what}: a file of its signature alone must be refused with what it lacks")
        return
    promise(
        False,
        f"{what}: it takes a file that has nothing but its signature, each of no dimension; read what "
        "decides the network with segzoo.weights.layouts.Transfer.shape",
    )


def _check_conversion(
    spec: LayoutSpec, state: Mapping[str, Tensor], options: Mapping[str, Any], what: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        file, folder = Path(name, "state.pth"), Path(name, "converted")
        torch.save(dict(state), file)
        found = recognise(read_checkpoint(file))
        promise(
            any(one.endswith(f":{spec.name}") for one in found),
            f"{what}: its example is recognised as {', '.join(found) or 'nothing'}; it lacks "
            f"{', '.join(name for name in spec.signature if name not in state) or 'no tensor'}",
        )
        convert(file, folder, layout=spec.name, **options)
        if is_encoder(folder):
            return
        model: Any = load(folder)
        with torch.no_grad():
            logits = model(seeded(1, model.segzoo_config.architecture.in_channels, 33, 47))
        promise(
            bool(logits.isfinite().all()) and tuple(logits.shape[2:]) == (33, 47),
            f"{what}: of an image of 33x47 the converted example's logits are {tuple(logits.shape)}, or not "
            "finite",
        )
