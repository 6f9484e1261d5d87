"""PSPNet: pyramid pooling on the coarsest feature of an encoder that dilates to stride 8.

Paper: Zhao et al., 2017, arXiv:1612.01105.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo_decoders.pooling import PyramidPooling
from segzoo_decoders.units import AuxiliaryDecoder, quarter, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class PSPDecoder(AuxiliaryDecoder):
    """Pyramid pooling of the coarsest feature.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels of the map and of each grid; a quarter of the feature's where ``None``,
            which is the paper's.
        pool_scales: rows and columns of each grid.
        dropout: share of the map's values that are dropped before the head in training.
        align_corners: whether maps and logits are resized with aligned corners.
        auxiliary: whether the last but one feature has an auxiliary head, as in the paper.
        auxiliary_width: channels of its map; a quarter of the feature's where ``None``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int | None = None,
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
        width = width_of(width, quarter(channels[-1]))
        self.pooling = PyramidPooling(
            channels[-1], width, pool_scales=pool_scales, align_corners=align_corners
        )
        self.out_channels, self.stride = width, strides[-1]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        return self.dropout(self.pooling(features[-1]))
