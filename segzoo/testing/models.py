"""The contract of models: logits of the image's size, for any image; and that they can be kept."""

from __future__ import annotations

import copy
import io
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segzoo.creation import create
from segzoo.testing.promises import promise, promise_determinism, promise_gradients, seeded
from segzoo.weights.folder import load, save

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
    """Check all that a model promises but export, which takes longer: see `check_export`.

    It gives logits of the image's size for every size, in training mode too and for a single image;
    takes any number of channels; is deterministic in evaluation mode; gradients reach every
    parameter; and it survives `check_round_trips`.

    Args:
        name: what `segzoo.create` is told.
        num_classes: how many classes to ask for.
        in_channels: which numbers of channels to try.
        sizes: (height, width) of the images to try.
        **options: further ones of `segzoo.create`; narrow networks are checked faster.

    Raises:
        PluginError: it breaks a promise; the text says which.
    """
    what, model = f"model {name!r}", None
    for channels in in_channels:
        model = create(name, num_classes=num_classes, in_channels=channels, weights=None, **options)
        for height, width in sizes:
            for training in (True, False):
                logits = model.train(training)(seeded(1, channels, height, width))
                promise(
                    tuple(logits.shape) == (1, num_classes, height, width) and bool(logits.isfinite().all()),
                    f"{what}: an image (1, {channels}, {height}, {width}) must give finite logits "
                    f"(1, {num_classes}, {height}, {width}), got {tuple(logits.shape)}",
                )
    promise(model is not None, f"{what}: there is no number of channels to try")
    if model is not None:
        images = seeded(2, in_channels[-1], *sizes[-1])
        promise_determinism(model, lambda: [model(images)], what)
        side_logits: Any = getattr(model, "side_logits", lambda images: [model(images)])
        promise_gradients(model, lambda: side_logits(images), what)
        check_round_trips(model, images)


def check_round_trips(model: nn.Module, images: torch.Tensor) -> None:
    """Check that a copy, a pickle, a state dict and a folder of a model give the same logits.

    Args:
        model: made by `segzoo.create` or `segzoo.load`.
        images: an input of it, ``(N, C, H, W)``.

    Raises:
        PluginError: one of them does not; the text says which.
    """
    model.eval()
    with torch.no_grad():
        wanted = model(images)
        for how, other in _copies(model):
            same = other.eval()(images)
            promise(torch.equal(same, wanted), f"{type(model).__name__}: {how} gives other logits")


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
