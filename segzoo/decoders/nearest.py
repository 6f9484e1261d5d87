"""The decoder of segmentation_models.pytorch's U-Net; `segzoo.models.smp_unet` combines it with its encoder.

It is separate from the model, so that checking whether a network has it does not import timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks.convolution import DoubleConv
from segzoo.blocks.fused import FusedSteps
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from segzoo.blocks.convolution import Norm
    from segzoo.interfaces import Split


class NearestDecoder(nn.Module):
    """Repeat each pixel four times, concatenate the skip if there is one, convolve twice; to stride 1."""

    any_size = False
    stride = 1

    def __init__(self, channels: Sequence[int], *, widths: Sequence[int], norm: Norm | None) -> None:
        super().__init__()
        *skips, deepest = channels
        if len(widths) != len(channels):
            raise OptionError(
                f"widths {tuple(widths)} are {len(widths)} steps, but {len(channels)} features need as many"
            )
        self._beside = beside = [*reversed(skips), 0]
        self.steps = nn.ModuleList(
            DoubleConv(before + skip, after, norm=norm)
            for before, skip, after in zip((deepest, *widths), beside, widths, strict=False)
        )
        self.out_channels = widths[-1]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, widths[-1], H, W)``."""
        *skips, x = features
        for step in self.steps:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = step(torch.cat((x, skips.pop()), dim=1) if skips else x)
        return x

    def fused_form(self, split: Split) -> nn.Module:
        """Return `FusedSteps` that add skips instead of concatenating them."""
        for step, skip in zip(cast("Iterable[DoubleConv]", self.steps), self._beside, strict=True):
            conv, below = step.first.conv, step.first.conv.in_channels - skip
            split(conv, *([range(below, conv.in_channels)] if skip else []), range(below))
        return FusedSteps([_FusibleStep(step) for step in self.steps])


class _FusibleStep(nn.Module):
    def __init__(self, convs: nn.Module) -> None:
        super().__init__()
        self.convs = convs

    def parts(self, maps: list[Tensor]) -> Iterator[Tensor]:
        """Yield the skip if there is one, and the enlarged map from below."""
        if len(maps) == 2:
            yield maps.pop()
        yield F.interpolate(maps.pop(), scale_factor=2, mode="nearest")
