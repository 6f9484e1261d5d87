"""The contract of export: a traced program computes what the model computes, at every size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.export import Dim, export

from segzoo.testing.promises import promise, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


#: Below, a program for free sizes continues images further than the model must, as no size may be 1 in it.
_TINY = 64


def check_export(
    model: nn.Module,
    *,
    in_channels: int = 3,
    dynamic: bool = True,
    sizes: Sequence[tuple[int, int]] = ((75, 101), (1, 1), (65, 200), (64, 64)),
) -> None:
    """Check that `torch.export` takes a model, and that the program gives the model's logits.

    Args:
        model: in any mode; it is left in evaluation mode.
        in_channels: channels of its images.
        dynamic: whether height and width are free; else only the first size is tried.
        sizes: (height, width) to try; the first is the one that is traced.

    Raises:
        PluginError: logits differ in shape, or, from 64x64 pixels up, by more than 1e-5 of the largest.
    """
    model.eval()
    free = {2: Dim("height", min=1, max=16384), 3: Dim("width", min=1, max=16384)}
    traced = seeded(1, in_channels, *sizes[0])
    program = export(model, (traced,), dynamic_shapes=(free,) if dynamic else None, strict=False).module()
    for height, width in sizes if dynamic else sizes[:1]:
        images = seeded(1, in_channels, height, width)
        with torch.no_grad():
            wanted, given = model(images), program(images)
        what = f"{type(model).__name__}: its exported program differs at {height}x{width}"
        promise(given.shape == wanted.shape, what)
        if min(height, width) >= _TINY:
            promise(bool((given - wanted).abs().max() <= 1e-5 * wanted.abs().max()), what)
