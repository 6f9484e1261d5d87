"""Two 3x3 convolutions, each followed by a norm and a ReLU: the block of every U-Net.

Paper: Ronneberger et al., 2015, arXiv:1505.04597 (without norm, valid convolutions). The batch norm
came with its many implementations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn

from segzoo.errors import OptionError
from segzoo.options import check_choice, shown

if TYPE_CHECKING:
    from torch import Tensor

#: The norms that a block may have after a convolution.
Norm = Literal["batch", "group", "instance"]
#: What follows a norm; ``none`` passes values on.
Activation = Literal["relu", "none"]
#: Whether a 3x3 convolution keeps the size of a map, or takes a pixel from each side as the 2015 paper's.
Padding = Literal["same", "valid"]


class ConvUnit(nn.Module):
    """A 3x3 convolution, a norm and an activation; the convolution has a bias where there is no norm.

    Args:
        in_channels: of the map that comes in.
        out_channels: of the map that goes out.
        norm: what follows the convolution; ``None`` for nothing.
        activation: what follows the norm.
        padding: ``same`` keeps the size, ``valid`` takes a pixel from each side.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        pad = {"same": 1, "valid": 0}[check_choice("padding", padding, ("same", "valid"))]
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=pad, bias=norm is None)
        self.norm = make_norm(norm, out_channels)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``, or ``(H - 2, W - 2)`` if valid."""
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


def make_norm(norm: Norm | None, channels: int) -> nn.Module:
    """Return the norm layer for ``channels``; group norm takes the largest group count up to 32 that fits."""
    match norm:
        case None:
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(channels)
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
