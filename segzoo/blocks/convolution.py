"""A convolution with norm and ReLU, the unit of decoders; and two in a row, the block of every U-Net.

Paper: Ronneberger et al., 2015, arXiv:1505.04597 (without norm, valid convolutions). The batch norm
was added by its many implementations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch.nn.functional as F
from torch import nn

from segzoo.errors import OptionError
from segzoo.options import check_choice, check_positive, shown

if TYPE_CHECKING:
    from torch import Tensor

#: The norms that may follow a convolution.
Norm = Literal["batch", "group", "instance"]
#: What follows a norm; ``none`` passes values unchanged.
Activation = Literal["relu", "none"]
#: Whether a 3x3 convolution keeps the size of a map, or removes a pixel on each side as in the 2015 paper.
Padding = Literal["same", "valid"]


class ConvUnit(nn.Module):
    """A convolution, a norm and an activation; the convolution has a bias if there is no norm.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        kernel: side of the kernel, an odd number: 3 or 1 in most networks.
        dilation: distance between the kernel's pixels (atrous rate).
        groups: number of groups of channels; ``in_channels`` for a depthwise convolution.
        norm: norm after the convolution, or ``None``.
        activation: activation after the norm.
        padding: ``same`` keeps the size, ``valid`` removes the border that the kernel needs.
        pooled: whether it must also work on maps of one pixel, where a batch norm has no variance: see
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
    """Two `ConvUnit` in a row.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        mid_channels: number of channels between the two; ``out_channels`` by default.
        norm: see `ConvUnit`.
        activation: see `ConvUnit`.
        padding: see `ConvUnit`.
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
    """A batch norm that normalises a single value per channel by its running statistics.

    In training, a batch norm uses mean and variance of its batch. One image pooled to one
    pixel has a single value per channel, without variance; PyTorch refuses it.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``(N, C, H, W)`` to the same shape."""
        if not self.training or input.numel() > input.shape[1]:
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def make_norm(norm: Norm | None, channels: int, *, pooled: bool = False) -> nn.Module:
    """Return the norm layer for ``channels``; group norm uses the largest possible number of groups up to 32.

    Args:
        norm: kind of norm.
        channels: number of channels of the maps.
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
    """Return the activation layer; ``none`` passes values unchanged."""
    check_choice("activation", activation, ("relu", "none"))
    return nn.ReLU(inplace=True) if activation == "relu" else nn.Identity()
