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
from segzoo.testing.promises import Checked, described, promise, seeded
from segzoo.weights.checkpoints import Checkpoint, read_checkpoint
from segzoo.weights.conversion import convert, recognise
from segzoo.weights.encoders import is_encoder
from segzoo.weights.loading import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


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
    _Subject(described(layout, LayoutSpec), state=state, **options).keep()


class _Subject(Checked[LayoutSpec], of="layout"):
    """A layout under check."""

    def __init__(
        self, spec: LayoutSpec, *, state: Mapping[str, Tensor] | None = None, **options: Any
    ) -> None:
        super().__init__(spec, **options)
        self.state, self.absent = state, ("conversion",) if state is None else ()

    def described(self) -> None:
        spec, what = self.spec, self.what
        promise(
            bool(spec.summary and spec.homepage),
            f"{what}: its spec lacks summary or homepage; say which program's checkpoints it reads",
        )

    def signature(self) -> None:
        spec, what = self.spec, self.what
        promise(
            isinstance(spec.signature, tuple)
            and all(isinstance(name, str) and name for name in spec.signature),
            f"{what}: its signature {spec.signature!r} must be names of tensors",
        )
        same = [
            entry.full_name
            for _, entry in zoo.registry("layouts").items()
            if entry.spec != spec
            and set(entry.spec.signature) == set(spec.signature)
            and set(entry.spec.beside) == set(spec.beside)
        ]
        promise(
            not same, f"{what}: {', '.join(same)} has the same signature; add names that only its files have"
        )

    def factory(self) -> None:
        spec, what = self.spec, self.what
        names = list(inspect.signature(resolve(spec.factory)).parameters)
        promise(
            names[:1] == ["checkpoint"],
            f"{what}: its factory must take `checkpoint` first, takes {', '.join(names) or 'nothing'}",
        )
        strange = sorted(set(spec.options) - set(names))
        promise(not strange, f"{what}: its spec gives options {strange}, which its factory does not take")

    def other_files(self) -> None:
        spec, what = self.spec, self.what
        tensors = {name: torch.zeros(()) for name in spec.signature}
        checkpoint = Checkpoint(tensors=tensors, file="made-up.pth")
        try:
            resolve(spec.factory)(checkpoint, **spec.options)
        except WeightsError as error:
            promise(
                bool(str(error)), f"{what}: a file of its signature alone must be refused with what it lacks"
            )
            return
        promise(
            False,
            f"{what}: it takes a file that has nothing but its signature, each of no dimension; read what "
            "decides the network with segzoo.weights.layouts.Transfer.shape",
        )

    def conversion(self) -> None:
        spec, what = self.spec, self.what
        with tempfile.TemporaryDirectory() as name:
            file, folder = Path(name, "state.pth"), Path(name, "converted")
            torch.save(dict(self.state or {}), file)
            found = recognise(read_checkpoint(file))
            lacking = [name for name in spec.signature if name not in (self.state or ())]
            promise(
                any(one.endswith(f":{spec.name}") for one in found),
                f"{what}: its example is recognised as {', '.join(found) or 'nothing'}; it lacks "
                f"{', '.join(lacking) or 'no tensor'}",
            )
            convert(file, folder, layout=spec.name, **self.options)
            if is_encoder(folder):
                return
            model: Any = load(folder)
            with torch.no_grad():
                logits = model(seeded(1, model.segzoo_config.architecture.in_channels, 33, 47))
            promise(
                bool(logits.isfinite().all()) and tuple(logits.shape[2:]) == (33, 47),
                f"{what}: of an image of 33x47 the converted example's logits are {tuple(logits.shape)}, or "
                "not finite",
            )
