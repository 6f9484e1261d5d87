"""FCN: convolutions on the encoder's coarsest feature, whose logits are then resized to the image.

Paper: Long et al., 2015, arXiv:1411.4038. The encoder dilates instead of striding to stride 8, as the
networks that are called FCN today do; that takes the place of the paper's skips. HRNet's head (Wang et
al., 2019, arXiv:1908.07919) is one 1x1 convolution on all features side by side: ``gather``, ``kernel=1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import check_flags, check_positive
from segzoo_decoders.units import AuxiliaryDecoder, first_level, gathered, make_unit, quarter, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class FCNDecoder(AuxiliaryDecoder):
    """Convolutions on the coarsest feature, or on all of them side by side.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels of the map; a quarter of what comes in where ``None``, all with ``gather``.
        num_convs: how many convolutions.
        kernel: their side.
        dilation: their atrous rate.
        separable: whether they are depthwise separable.
        concat_input: whether one more convolution sees what came in beside what the others made of it.
        gather: whether all features from stride 4 on are resized to the first of these and put side by side.
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
        width: int | None = None,
        num_convs: int = 1,
        kernel: int = 3,
        dilation: int = 1,
        separable: bool = False,
        concat_input: bool = False,
        gather: bool = False,
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
        check_positive(num_convs=num_convs)
        check_flags(separable=separable, concat_input=concat_input, gather=gather)
        self._first = first_level(strides) if gather else len(channels) - 1
        entering = sum(channels[self._first :])
        width = width_of(width, entering if gather else quarter(entering))
        self.convs = nn.Sequential(
            *(
                make_unit(
                    width if index else entering,
                    width,
                    separable=separable,
                    kernel=kernel,
                    dilation=dilation,
                )
                for index in range(num_convs)
            )
        )
        self.join = (
            make_unit(entering + width, width, separable=separable, kernel=kernel) if concat_input else None
        )
        self.out_channels, self.stride = width, strides[self._first]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        entering = gathered(features[self._first :], align_corners=self.align_corners)
        x = self.convs(entering)
        if self.join is not None:
            x = self.join(torch.cat((entering, x), dim=1))
        return self.dropout(x)
