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

_EPS = 1e-6


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
        self.stages, self.norms = nn.ModuleList(), nn.ModuleDict()
        for stage in range(self.out_indices[-1] + 1):
            width = widths[stage]
            step = _Down(widths[stage - 1], width) if stage else _Patches(in_channels, width, stem)
            blocks = (_Block(width, scaled=layer_scale) for _ in range(depths[stage]))
            self.stages.append(nn.Sequential(step, *blocks))
            if stage in self.out_indices:
                self.norms[str(stage)] = nn.LayerNorm(width, eps=_EPS)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded down."""
        # Within, channels are last, so that norms and layers of single places need no copies.
        x, features = images.permute(0, 2, 3, 1), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                features.append(self.norms[str(index)](x).permute(0, 3, 1, 2).contiguous())
        return features


class _Patches(nn.Module):
    """Patches of the image, convolved and normed."""

    def __init__(self, in_channels: int, width: int, side: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_channels, width, side, stride=side), nn.LayerNorm(width, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(_convolved(self.conv, x))


class _Down(nn.Module):
    """A norm, and a convolution of 2x2 places that halves the map."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.LayerNorm(in_channels, eps=_EPS), nn.Conv2d(in_channels, width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return _convolved(self.conv, self.norm(x))


class _Block(nn.Module):
    """A 7x7 depthwise convolution, a norm, and two layers for each place; added to what came in."""

    def __init__(self, width: int, *, scaled: bool) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.pointwise_conv1 = nn.Linear(width, 4 * width)
        self.pointwise_conv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(_convolved(self.depthwise_conv, x))
        y = self.pointwise_conv2(F.gelu(self.pointwise_conv1(y)))
        return x + (y if self.gamma is None else y * self.gamma)


def _convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """Return ``(N, H, W, C)`` convolved, channels last again."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
