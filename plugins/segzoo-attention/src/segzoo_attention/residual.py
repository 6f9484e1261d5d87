"""Deep residual U-Net: every level is a residual unit, and a stride of 2 takes the place of pooling.

Paper: Zhang et al., 2018, "Road extraction by deep residual U-Net", arXiv:1711.10684. Seven levels: three
units on the way down, the bridge, three on the way up, and a 1x1 convolution. A unit is pre-activated::

    x ─┬─ BN ─ ReLU ─ 3x3 (stride) ─ BN ─ ReLU ─ 3x3 ──(+)──
       └────────────── identity, or 1x1 (stride) ───────┘

The first unit begins with its convolution, since an image needs no activation. Where a unit changes
size or channels, its identity is a 1x1 convolution. The paper counts 7.8 million parameters, which
is what the 3x3 convolutions alone come to; with the 1x1 ones there are 8.2 million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import check_positive, check_widths, fit, make_norm, make_upsample
from segzoo.errors import OptionError
from segzoo_attention.steps import plan_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segzoo.blocks import Norm, Upsample


class ResidualUnit(nn.Module):
    """Residual unit: the output of two pre-activated 3x3 convolutions is added to the input.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the first convolution and of the shortcut.
        norm: ``batch``, ``group``, ``instance`` or ``None``.
        first: whether the input is an image; the first convolution then gets it without norm and activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        norm: Norm | None = "batch",
        first: bool = False,
    ) -> None:
        super().__init__()
        bias = norm is None
        self.before = None if first else make_norm(norm, in_channels)
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=bias)
        self.between = make_norm(norm, out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        same = in_channels == out_channels and stride == 1
        self.around = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``, rounded up."""
        inner = x if self.before is None else torch.relu(self.before(x))
        inner = torch.relu(self.between(self.first(inner)))
        return self.second(inner) + self.around(x)


class ResidualEncoder(nn.Module):
    """The left half and, last, the bridge.

    Its features have strides 1, 2, 4, ... and ``width``, 2 ``width``, 4 ``width``, ... channels.

    Args:
        in_channels: channels of the images.
        width: channels of the finest feature.
        depth: how many features; the coarsest has stride ``2 ** (depth - 1)``.
        widths: channels of every feature, finest first, instead of ``width`` and ``depth``.
        norm: ``batch``, ``group``, ``instance`` or ``None``.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: int = 64,
        depth: int = 4,
        widths: Sequence[int] | None = None,
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, width=width, depth=depth)
        default = [width << level for level in range(min(depth, 13))]
        self.channels = check_widths(default if widths is None else widths)
        if len(self.channels) > 12:
            raise OptionError("a depth above 12 gives a stride of 4096 and more; the maximum is 12")
        self.strides = tuple(1 << level for level in range(len(self.channels)))
        self.units = nn.ModuleList(
            ResidualUnit(before, after, stride=min(stride, 2), norm=norm, first=stride == 1)
            for before, after, stride in zip(
                (in_channels, *self.channels), self.channels, self.strides, strict=False
            )
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded up."""
        features: list[Tensor] = []
        for unit in self.units:
            images = unit(images)
            features.append(images)
        return features


class Step(nn.Module):
    """Upsample, join the skip if there is one, and a residual unit."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        upsample: Upsample,
        norm: Norm | None,
    ) -> None:
        super().__init__()
        self.upsample, upsampled = make_upsample(upsample, in_channels, out_channels)
        self.unit = ResidualUnit(skip_channels + upsampled, out_channels, norm=norm)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map ``(N, in_channels, H, W)`` and its skip to ``(N, out_channels, 2 H, 2 W)``, give or take."""
        x = self.upsample(x)
        if skip is not None:
            x = torch.cat((skip, fit(x, skip.shape[-2], skip.shape[-1])), dim=1)
        return self.unit(x)


class ResidualDecoder(nn.Module):
    """The right half of the residual U-Net; for any encoder whose strides double.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides, each twice the one before.
        widths: channels after each step, coarsest first. By default as many as lead to stride 1, each
            as wide as the skip that it joins but at most 64 channels times its stride.
        upsample: ``bilinear`` (aligned corners) or ``transpose`` (2x2 transposed convolution).
        norm: ``batch``, ``group``, ``instance`` or ``None``.
    """

    any_size = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        upsample: Upsample = "bilinear",
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        steps = plan_steps(channels, strides, widths)
        self.steps = nn.ModuleList(Step(*step, upsample=upsample, norm=norm) for step in steps)
        self.out_channels = steps[-1][-1]
        self.stride = strides[-1] >> len(steps)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        *skips, x = features
        for step in self.steps:
            x = step(x, skips.pop() if skips else None)
        return x
