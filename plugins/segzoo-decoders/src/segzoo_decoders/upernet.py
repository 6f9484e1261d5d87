"""UPerNet: pyramid pooling on the coarsest feature, a feature pyramid, and its levels joined.

Paper: Xiao et al., 2018, arXiv:1807.10221.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from segzoo.blocks import ConvUnit, check_positive
from segzoo_decoders.pooling import PyramidPooling
from segzoo_decoders.units import AuxiliaryDecoder, first_level, gathered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class UPerDecoder(AuxiliaryDecoder):
    """A feature pyramid whose top is pooled in grids; its levels are joined at the finest one's size.

    Args:
        channels: channels of the encoder's features, finest first; those from stride 4 on are used.
        strides: their strides.
        width: channels of every level and of the map.
        pool_scales: rows and columns of each grid.
        dropout: share of the map's values that are dropped before the head in training.
        align_corners: whether maps and logits are resized with aligned corners.
        auxiliary: whether the last but one feature has an auxiliary head.
        auxiliary_width: channels of its map; a quarter of the feature's where ``None``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        align_corners: bool = False,
        auxiliary: bool = False,
        auxiliary_width: int | None = None,
    ) -> None:
        super().__init__(
            channels,
            dropout=dropout,
            align_corners=align_corners,
            auxiliary=auxiliary,
            auxiliary_width=auxiliary_width,
        )
        check_positive(width=width)
        self._first = first_level(strides)
        *finer, coarsest = channels[self._first :]
        self.pooling = PyramidPooling(coarsest, width, pool_scales=pool_scales, align_corners=align_corners)
        self.laterals = nn.ModuleList(ConvUnit(channel, width, kernel=1) for channel in finer)
        self.outputs = nn.ModuleList(ConvUnit(width, width) for _ in finer)
        self.join = ConvUnit(width * (1 + len(finer)), width)
        self.out_channels, self.stride = width, strides[self._first]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, width, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        *finer, coarsest = features[self._first :]
        below = top = self.pooling(coarsest)
        levels: list[Tensor] = []
        for lateral, feature in zip(reversed(self.laterals), reversed(finer), strict=True):
            here = lateral(feature)
            below = here + self.resized(below, here)
            levels.insert(0, below)
        levels = [output(level) for output, level in zip(self.outputs, levels, strict=True)]
        return self.dropout(self.join(gathered([*levels, top], align_corners=self.align_corners)))
