"""The contract of models: logits of the image's size, for any image; and that they can be kept."""

from __future__ import annotations

import copy
import io
import json
import pickle
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segzoo import zoo
from segzoo.config import from_json, to_json
from segzoo.creation import create
from segzoo.specs import ModelSpec
from segzoo.testing.export import check_export
from segzoo.testing.promises import (
    Checked,
    promise,
    promise_determinism,
    promise_gradients,
    promise_one_like_many,
    seeded,
)
from segzoo.weights.folder import save
from segzoo.weights.loading import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

#: One pixel, one row, odd sides, and a size that all networks like.
SIZES = ((1, 1), (1, 19), (33, 47), (64, 64))


def check_model(
    name: str,
    *,
    num_classes: int = 3,
    in_channels: Sequence[int] = (1, 3, 4),
    sizes: Sequence[tuple[int, int]] = SIZES,
    **options: Any,
) -> None:
    """Check everything that a model promises, except export, which takes longer: see `check_export`.

    The logits have the size of the image for every size, also in training mode and for a single image. The
    model takes any number of channels. The logits of an image do not depend on its batch. The model is
    deterministic in evaluation mode, gradients reach every parameter, and it passes `check_round_trips`.

    Args:
        name: name of the model for `segzoo.create`.
        num_classes: number of classes.
        in_channels: numbers of channels to try.
        sizes: (height, width) of the images to try.
        **options: further options of `segzoo.create`; narrow networks are checked faster.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    subject = _Subject(name, num_classes=num_classes, in_channels=in_channels, sizes=sizes, **options)
    subject.absent = ("export",)
    subject.keep()


class _Subject(Checked[ModelSpec], of="model"):
    """A model under check, built once for the last of the numbers of channels."""

    def __init__(
        self,
        name: str,
        *,
        num_classes: int = 3,
        in_channels: Sequence[int] = (1, 3, 4),
        sizes: Sequence[tuple[int, int]] = SIZES,
        **options: Any,
    ) -> None:
        # A model is made by its name, which may be a pair of parts, and not from a spec.
        self.name, self.options, self.what = name, options, f"model {name!r}"
        self.num_classes, self.in_channels, self.all_sizes = num_classes, tuple(in_channels), tuple(sizes)
        promise(bool(in_channels and sizes), f"{self.what}: there are no channels or sizes to try")
        self.limits = zoo.limits_of(zoo.find_model(name))
        if "bands" in self.limits:
            self.in_channels = (3,)

    @cached_property
    def module(self) -> nn.Module:
        return self._built(self.in_channels[-1])

    @cached_property
    def images(self) -> torch.Tensor:
        return seeded(2, self.in_channels[-1], *self.all_sizes[-1])

    def sizes(self) -> None:
        for channels in self.in_channels:
            model = self.module if channels == self.in_channels[-1] else self._built(channels)
            for height, width in self._sizes():
                for training in (False,) if "one-image" in self.limits else (True, False):
                    with torch.no_grad():
                        logits = model.train(training)(seeded(1, channels, height, width))
                    promise(
                        tuple(logits.shape) == (1, self.num_classes, height, width)
                        and bool(logits.isfinite().all()),
                        f"{self.what}: an image (1, {channels}, {height}, {width}) must give finite logits "
                        f"(1, {self.num_classes}, {height}, {width}), got {tuple(logits.shape)}",
                    )

    def batch_of_one(self) -> None:
        self.module.eval()
        with torch.no_grad():
            both, alone = self.module(self.images), self.module(self.images[:1])
        promise_one_like_many(both[:1], alone, self.what)

    def determinism(self) -> None:
        promise_determinism(self.module, lambda: [self.module(self.images)], self.what)

    def gradients(self) -> None:
        sides: Any = getattr(self.module, "side_logits", lambda images: [self.module(images)])
        promise_gradients(self.module, lambda: sides(self.images), self.what)

    def round_trips(self) -> None:
        if "pickle" in self.limits:
            return
        check_round_trips(self.module, self.images)

    def export(self) -> None:
        if "export" not in self.limits:
            check_export(self.module, in_channels=self.in_channels[-1])

    def _sizes(self) -> Sequence[tuple[int, int]]:
        """Return the sizes to try, without those that the model says it cannot take."""
        if "odd-sizes" in self.limits:
            return self.all_sizes[-1:]
        return [size for size in self.all_sizes if "one-pixel" not in self.limits or min(size) > 1]

    def _built(self, channels: int) -> nn.Module:
        return create(
            self.name, num_classes=self.num_classes, in_channels=channels, weights=None, **self.options
        )


def check_round_trips(model: nn.Module, images: torch.Tensor) -> None:
    """Check that a copy, a pickle, a state dict and a folder of a model give the same logits.

    Its config comes back from JSON as it was written, too.

    Args:
        model: made by `segzoo.create` or `segzoo.load`.
        images: an input of it, ``(N, C, H, W)``.

    Raises:
        PluginError: one of them does not; the message says which.
    """
    what = type(model).__name__
    config: Any = model.segzoo_config
    text = json.dumps(to_json(config))
    again = json.dumps(to_json(from_json(json.loads(text), "its config")))
    promise(again == text, f"{what}: its config changes on its way through JSON: {text} became {again}")
    model.eval()
    with torch.no_grad():
        wanted = model(images)
        for how, other in _copies(model):
            same = other.eval()(images)
            promise(
                torch.equal(same, wanted),
                f"{what}: {how} gives other logits; keep all state in parameters, buffers and options",
            )


def _copies(model: nn.Module) -> list[tuple[str, nn.Module]]:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    restored = copy.deepcopy(model)
    restored.load_state_dict(torch.load(file, weights_only=True))
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        # The mapped file outlives its name, except on Windows, where an open file cannot be removed.
        loaded = copy.deepcopy(load(Path(folder)))
    return [
        ("copy.deepcopy", copy.deepcopy(model)),
        ("pickle", pickle.loads(pickle.dumps(model))),
        ("its state dict", restored),
        ("its folder", loaded),
    ]
