"""Two 3x3 convolutions, each followed by a norm and a ReLU: the block of every U-Net.

Paper: Ronneberger et al., 2015, arXiv:1505.04597 (without norm, valid convolutions). The batch norm
came with its many implementations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from torch import nn

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["batch", "group", "instance"]
Activation = Literal["relu", "none"]
Padding = Literal["same", "valid"]


class ConvUnit(nn.Module):
    """A 3x3 convolution, a norm and an activation; the convolution has a bias where there is no norm."""

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
    """Two `ConvUnit` in a row, the first ``mid_channels`` wide (``out_channels`` unless told)."""

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
            raise OptionError(f"norm must be batch, group, instance or None, got {norm!r}")


def make_activation(activation: Activation) -> nn.Module:
    """Return the activation layer; ``none`` passes values on."""
    check_choice("activation", activation, ("relu", "none"))
    return nn.ReLU(inplace=True) if activation == "relu" else nn.Identity()


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is among the choices.

    Raises:
        OptionError: it is not; the text lists them.
    """
    if value not in choices:
        raise OptionError(f"{name} must be {' or '.join(choices)}, got {value!r}")
    return value


def check_positive(**values: int) -> None:
    """Raise `OptionError` unless every value is an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} must be an integer of at least 1, got {value!r}")


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return ``widths`` as a tuple; raise `OptionError` unless it is a list of integers of at least 1."""
    if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
        raise OptionError(f"widths must be a list of channels, got {widths!r}")
    check_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
    return tuple(widths)


def check_flags(**values: bool) -> None:
    """Raise `OptionError` unless every value is ``True`` or ``False``; a string such as "no" is neither."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise OptionError(f"{name} must be True or False, got {value!r}")
