"""Twice the size: bilinear with aligned corners, or a 2x2 transposed convolution of stride 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F
from torch import nn

from segzoo.options import check_choice, check_flags

if TYPE_CHECKING:
    from torch import Tensor

#: How a map is doubled in size: interpolated with aligned corners, or by a 2x2 transposed convolution,
#: which changes the number of channels or keeps it.
Upsample = Literal["bilinear", "transpose", "transpose-keep"]


class Bilinear(nn.Module):
    """Bilinear interpolation with aligned corners; keeps the number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C, 2 H, 2 W)``."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class Transposed(nn.Module):
    """A 2x2 transposed convolution of stride 2, optionally followed by a ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, relu: bool = False) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        self.activation = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, 2 H, 2 W)``."""
        return self.activation(self.conv(x))


def make_upsample(
    upsample: Upsample, in_channels: int, out_channels: int, *, relu: bool = False
) -> tuple[nn.Module, int]:
    """Return the layer and the number of its output channels: ``in_channels`` unless it is ``transpose``.

    Args:
        upsample: kind of layer.
        in_channels: number of channels of the input.
        out_channels: number of channels after a transposed convolution, unless it keeps them.
        relu: whether a ReLU follows the transposed convolution.
    """
    check_choice("upsample", upsample, ("bilinear", "transpose", "transpose-keep"))
    check_flags(upsample_relu=relu)
    if upsample == "bilinear":
        return Bilinear(), in_channels
    after = out_channels if upsample == "transpose" else in_channels
    return Transposed(in_channels, after, relu=relu), after
