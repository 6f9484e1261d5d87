"""A convolution, a norm and a ReLU, of which decoders are made; and two in a row, the block of every U-Net.

Paper: Ronneberger et al., 2015, arXiv:1505.04597 (without norm, valid convolutions). The batch norm
came with its many implementations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F
from torch import nn

from segzoo.errors import OptionError
from segzoo.options import check_choice, check_positive, shown

if TYPE_CHECKING:
    from torch import Tensor

#: The norms that a block may have after a convolution.
Norm = Literal["batch", "group", "instance"]
#: What follows a norm; ``none`` passes values on.
Activation = Literal["relu", "none"]
#: Whether a 3x3 convolution keeps the size of a map, or takes a pixel from each side as the 2015 paper's.
Padding = Literal["same", "valid"]


class ConvUnit(nn.Module):
    """A convolution, a norm and an activation; the convolution has a bias where there is no norm.

    Args:
        in_channels: of the map that comes in.
        out_channels: of the map that goes out.
        kernel: sides of the convolution, an odd number: 3 or 1 in most networks.
        dilation: distance between the pixels that it sees (atrous rate).
        groups: into how many parts the channels are divided; ``in_channels`` for a depthwise convolution.
        norm: what follows the convolution; ``None`` for nothing.
        activation: what follows the norm.
        padding: ``same`` keeps the size, ``valid`` takes from each side what the kernel reaches.
        pooled: whether it works on maps of one pixel, too, of which a batch norm learns nothing: see
            `PooledBatchNorm`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        dilation: int = 1,
        groups: int = 1,
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        padding: Padding = "same",
        pooled: bool = False,
    ) -> None:
        super().__init__()
        check_positive(kernel=kernel, dilation=dilation, groups=groups)
        if kernel % 2 == 0:
            raise OptionError(f"kernel must be odd, such as 1 or 3, got {shown(kernel)}")
        reach = dilation * (kernel // 2)
        pad = {"same": reach, "valid": 0}[check_choice("padding", padding, ("same", "valid"))]
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            padding=pad,
            dilation=dilation,
            groups=groups,
            bias=norm is None,
        )
        self.norm = make_norm(norm, out_channels, pooled=pooled)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``, or less by the kernel if valid."""
        return self.activation(self.norm(self.conv(x)))


class DoubleConv(nn.Module):
    """Two `ConvUnit` in a row, the first ``mid_channels`` wide (``out_channels`` unless told).

    Args:
        in_channels: of the map that comes in.
        out_channels: of the map that goes out.
        mid_channels: of the map between the two; ``out_channels`` unless told.
        norm: as of `ConvUnit`.
        activation: as of `ConvUnit`.
        padding: as of `ConvUnit`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        mid_channels: int | None = None,
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        middle = mid_channels or out_channels
        self.first = ConvUnit(in_channels, middle, norm=norm, activation=activation, padding=padding)
        self.second = ConvUnit(middle, out_channels, norm=norm, activation=activation, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``, or ``(H - 4, W - 4)`` if valid."""
        return self.second(self.first(x))


class PooledBatchNorm(nn.BatchNorm2d):
    """A batch norm that normalises a lone value per channel by its running statistics.

    In training, a batch norm takes mean and variance from its batch. Of one image that was pooled to one
    pixel there is a single value per channel, which has no variance; PyTorch refuses it.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``(N, C, H, W)`` to the same shape."""
        if not self.training or input.numel() > input.shape[1]:
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def make_norm(norm: Norm | None, channels: int, *, pooled: bool = False) -> nn.Module:
    """Return the norm layer for ``channels``; group norm takes the largest group count up to 32 that fits.

    Args:
        norm: which.
        channels: channels of the maps.
        pooled: whether maps may have one pixel; then ``batch`` is a `PooledBatchNorm`.
    """
    match norm:
        case None:
            return nn.Identity()
        case "batch":
            return PooledBatchNorm(channels) if pooled else nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(max(g for g in range(1, 33) if channels % g == 0), channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)
        case _:
            raise OptionError(f"norm must be batch, group, instance or None, got {shown(norm)}")


def make_activation(activation: Activation) -> nn.Module:
    """Return the activation layer; ``none`` passes values on."""
    check_choice("activation", activation, ("relu", "none"))
    return nn.ReLU(inplace=True) if activation == "relu" else nn.Identity()
