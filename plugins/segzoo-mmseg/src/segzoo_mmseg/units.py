"""What the backbones are made of: a convolution with its batch norm, and the same in two, depthwise and 1x1.

Modules are named as OpenMMLab's, so that tensors of checkpoints keep their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from segzoo.blocks import PooledBatchNorm
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Unit(nn.Sequential):
    """A convolution that keeps the size of its map (or divides it by the stride), batch norm, activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel.
        stride: stride of the convolution; odd sizes are rounded up.
        dilation: atrous rate.
        groups: groups of channels; ``in_channels`` for a depthwise convolution.
        relu: whether a ReLU follows the norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.bn = PooledBatchNorm(out_channels)
        if relu:
            self.activate = nn.ReLU(inplace=True)


class Separable(nn.Sequential):
    """A depthwise convolution with its norm, and a 1x1 convolution with norm and ReLU.

    Paper: Chollet, 2017, arXiv:1610.02357; between the two there is no activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the depthwise kernel.
        stride: stride of the depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise_conv = Unit(
            in_channels, in_channels, kernel, stride=stride, groups=in_channels, relu=False
        )
        self.pointwise_conv = Unit(in_channels, out_channels, 1)


def check_stages(**lists: Sequence[int]) -> None:
    """Refuse lists of numbers, one a stage, that are not whole numbers above 0 or not as many as the first.

    Raises:
        OptionError: one is not.
    """
    wanted = 0
    for name, values in lists.items():
        if not isinstance(values, list | tuple) or not values:
            raise OptionError(f"{name} must be a list with a number for each stage, got {values!r}")
        if any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in values):
            raise OptionError(f"{name} must be whole numbers above 0, got {values!r}")
        wanted = wanted or len(values)
        if len(values) != wanted:
            raise OptionError(f"{name} needs {wanted} numbers, one for each stage, got {values!r}")


def check_indices(out_indices: Sequence[int], stages: int) -> tuple[int, ...]:
    """Return the stages whose maps become features, if they are some of ``stages`` in increasing order.

    Raises:
        OptionError: they are not.
    """
    indices = tuple(out_indices)
    if not indices or list(indices) != sorted(set(indices)) or not set(indices) <= set(range(stages)):
        raise OptionError(f"out_indices must be some of 0 to {stages - 1}, increasing, got {out_indices!r}")
    return indices
