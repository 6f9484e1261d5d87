"""Atrous spatial pyramid pooling: a pixel's surroundings at several distances, and the whole image's mean.

Papers: Chen et al., 2017, arXiv:1706.05587, section 3.3; with separable convolutions, Chen et al., 2018,
arXiv:1802.02611.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import ConvUnit, check_flags, check_positive, resize
from segzoo.errors import OptionError
from segzoo_decoders.units import make_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: The papers' atrous rates at output stride 16; twice these at 8.
_RATES, _RATES_STRIDE = (6, 12, 18), 16


class ASPP(nn.Module):
    """A 1x1 convolution, atrous 3x3 convolutions, and a 1x1 convolution of the image's mean, side by side.

    Args:
        in_channels: channels of the map that comes in.
        out_channels: channels of each branch.
        rates: atrous rates of the 3x3 convolutions.
        separable: whether these are depthwise separable.
        separable_norm: whether a norm and a ReLU follow depthwise convolutions, too.
        pool_first: whether the image's mean comes first among the branches; last otherwise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        separable: bool = False,
        separable_norm: bool = True,
        pool_first: bool = False,
    ) -> None:
        super().__init__()
        check_flags(separable=separable, separable_norm=separable_norm, pool_first=pool_first)
        self.pool_first = pool_first
        self.pixel = ConvUnit(in_channels, out_channels, kernel=1)
        self.atrous = nn.ModuleList(
            make_unit(
                in_channels, out_channels, separable=separable, separable_norm=separable_norm, dilation=rate
            )
            for rate in rates
        )
        self.pool = ConvUnit(in_channels, out_channels, kernel=1, pooled=True)
        self.out_channels = (2 + len(self.atrous)) * out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels of all branches, H, W)``."""
        branches = [self.pixel(x), *(branch(x) for branch in self.atrous)]
        mean = resize(self.pool(x.mean((-2, -1), keepdim=True)), x)
        return torch.cat((mean, *branches) if self.pool_first else (*branches, mean), dim=1)


def make_projection(
    in_channels: int,
    out_channels: int,
    kernels: Sequence[int],
    *,
    separable: bool = False,
    separable_norm: bool = True,
) -> nn.Sequential:
    """Return the convolutions that follow the branches; all but the first may be separable."""
    if isinstance(kernels, str | int) or not kernels:
        raise OptionError(f"project must be a list of kernels such as [1] or [1, 3], got {kernels!r}")
    return nn.Sequential(
        *(
            make_unit(
                before,
                out_channels,
                separable=separable and index > 0,
                separable_norm=separable_norm,
                kernel=kernel,
            )
            for index, (before, kernel) in enumerate(
                zip((in_channels, *[out_channels] * len(kernels)), kernels, strict=False)
            )
        )
    )


def rates_of(rates: Sequence[int] | None, stride: int) -> tuple[int, ...]:
    """Return atrous rates: as given, or the papers' for a feature of this stride.

    Raises:
        OptionError: they are no list of integers of at least 1.
    """
    if rates is None:
        return tuple(max(round(rate * _RATES_STRIDE / stride), 1) for rate in _RATES)
    if isinstance(rates, str | int) or not rates:
        raise OptionError(f"rates must be a list such as [6, 12, 18], got {rates!r}")
    check_positive(**{f"rates[{index}]": rate for index, rate in enumerate(rates)})
    return tuple(rates)
