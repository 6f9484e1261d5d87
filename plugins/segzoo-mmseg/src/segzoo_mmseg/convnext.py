"""ConvNeXt with a norm on every map that leaves it, as MMPretrain has it for segmentation.

Paper: Liu et al., 2022, arXiv:2201.03545.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks import check_positive, check_widths
from segzoo_mmseg.units import check_indices, check_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class ConvNeXtEncoder(nn.Module):
    """The normed maps of ConvNeXt's stages.

    Args:
        in_channels: channels of the images.
        depths: blocks of each stage.
        widths: channels of each stage.
        stem: side of a patch: the stride of the first stage.
        layer_scale: whether each block's result is multiplied by a learned number for each channel.
        out_indices: stages whose maps become features; later ones are not made.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        depths: Sequence[int] = (3, 3, 9, 3),
        widths: Sequence[int] = (96, 192, 384, 768),
        stem: int = 4,
        layer_scale: bool = True,
        out_indices: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, stem=stem)
        check_stages(depths=depths, widths=check_widths(widths))
        self.out_indices = check_indices(out_indices, len(depths))
        self.channels = tuple(widths[index] for index in self.out_indices)
        self.strides = tuple(stem << index for index in self.out_indices)
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        self.norms = nn.ModuleDict()
        for stage in range(self.out_indices[-1] + 1):
            width = widths[stage]
            if stage:
                before = widths[stage - 1]
                step = nn.Sequential(ChannelNorm(before), nn.Conv2d(before, width, 2, stride=2))
            else:
                step = nn.Sequential(nn.Conv2d(in_channels, width, stem, stride=stem), ChannelNorm(width))
            self.downsample_layers.append(step)
            self.stages.append(
                nn.Sequential(*(_Block(width, scaled=layer_scale) for _ in range(depths[stage])))
            )
            if stage in self.out_indices:
                self.norms[str(stage)] = ChannelNorm(width)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded down."""
        x, features = images, []
        for index, (step, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(step(x))
            if index in self.out_indices:
                features.append(self.norms[str(index)](x))
        return features


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of ``(N, C, H, W)``, epsilon 1e-6."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``(N, C, H, W)`` to the same shape."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """A 7x7 depthwise convolution, a norm, and two layers for each place; added to what came in."""

    def __init__(self, width: int, *, scaled: bool) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pointwise_conv1 = nn.Linear(width, 4 * width)
        self.pointwise_conv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1))
        y = self.pointwise_conv2(F.gelu(self.pointwise_conv1(y)))
        if self.gamma is not None:
            y = y * self.gamma
        return x + y.permute(0, 3, 1, 2)
