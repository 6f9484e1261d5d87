"""Panoptic FPN's semantic branch: a feature pyramid whose levels are enlarged step by step and added.

Paper: Kirillov et al., 2019, arXiv:1901.02446, section 3; its pyramid is that of Lin et al., 2017,
arXiv:1612.03144.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

from segzoo.blocks import ConvUnit, check_flags, check_positive, resize
from segzoo_decoders.units import first_level, make_dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segzoo.blocks import Norm


class FPNDecoder(nn.Module):
    """A feature pyramid from stride 4 on; each level is convolved and doubled to the finest one's size.

    Args:
        channels: channels of the encoder's features, finest first; those from stride 4 on are used.
        strides: their strides.
        width: channels of the map.
        pyramid_width: channels of the pyramid's levels.
        output_convs: whether a 3x3 convolution follows each level of the pyramid, as in the paper;
            segmentation_models.pytorch has none.
        norm: ``group`` as in the paper, ``batch`` as in MMSegmentation, ``instance`` or ``None``.
        dropout: share of the map's values that are dropped before the head in training.
        align_corners: whether maps (except the pyramid, whose levels are repeated) and logits are resized
            with aligned corners.
    """

    any_size = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 128,
        pyramid_width: int = 256,
        output_convs: bool = True,
        norm: Norm | None = "group",
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_positive(width=width, pyramid_width=pyramid_width)
        check_flags(output_convs=output_convs, align_corners=align_corners)
        self.align_corners = align_corners
        self._first = first_level(strides)
        channels, strides = channels[self._first :], strides[self._first :]
        self.laterals = nn.ModuleList(nn.Conv2d(channel, pyramid_width, 1) for channel in channels)
        self.outputs = nn.ModuleList(
            nn.Conv2d(pyramid_width, pyramid_width, 3, padding=1) if output_convs else nn.Identity()
            for _ in channels
        )
        self._doublings = [round(math.log2(stride / strides[0])) for stride in strides]
        self.levels = nn.ModuleList(
            nn.ModuleList(
                ConvUnit(before, width, norm=norm)
                for before in (pyramid_width, *[width] * (max(doublings, 1) - 1))
            )
            for doublings in self._doublings
        )
        self.dropout = make_dropout(dropout)
        self.out_channels, self.stride = width, strides[0]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, width, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        pyramid = self._pyramid(features[self._first :])
        total = self._enlarged(0, pyramid[0])
        for index, level in enumerate(pyramid[1:], start=1):
            total = total + resize(self._enlarged(index, level), total, align_corners=self.align_corners)
        return self.dropout(total)

    def _pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels, finest first: each feature plus the coarser level, whose pixels are repeated."""
        levels = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        for index in range(len(levels) - 1, 0, -1):
            finer = levels[index - 1]
            levels[index - 1] = finer + F.interpolate(levels[index], finer.shape[-2:], mode="nearest")
        return [output(level) for output, level in zip(self.outputs, levels, strict=True)]

    def _enlarged(self, index: int, level: Tensor) -> Tensor:
        """Convolve a level of the pyramid, and double it after each convolution if it has to be larger."""
        for unit in self.levels[index].children():
            level = unit(level)
            if self._doublings[index] > 0:
                level = F.interpolate(
                    level, scale_factor=2, mode="bilinear", align_corners=self.align_corners
                )
        return level
