"""DeepLabV3+: atrous spatial pyramid pooling at stride 16 or 8, joined with a feature of stride 4.

Paper: Chen et al., 2018, arXiv:1802.02611. All 3x3 convolutions are depthwise separable, as in the paper's
fastest and best networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import ConvUnit, check_positive
from segzoo_decoders.aspp import ASPP, make_projection, rates_of
from segzoo_decoders.units import AuxiliaryDecoder, make_unit, skip_level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class DeepLabV3PlusDecoder(AuxiliaryDecoder):
    """Pyramid pooling of the coarsest feature, enlarged and joined with that of stride 4; then convolutions.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels of each branch and of the map.
        rates: atrous rates; by default the paper's for the coarsest feature's stride: 6, 12, 18 at stride 16.
        separable: whether atrous convolutions are depthwise separable; those after the join always are.
        separable_norm: whether a norm and a ReLU follow depthwise convolutions, too;
            segmentation_models.pytorch has none.
        project: kernels of the convolutions that join the branches: ``[1]`` in the paper, ``[1, 3]`` in
            segmentation_models.pytorch, ``[3]`` in MMSegmentation. All but the first are separable.
        pool_first: whether the image's mean is the first branch, as in MMSegmentation; the last otherwise.
        skip_width: channels to which the feature of stride 4 is reduced.
        num_convs: how many 3x3 convolutions follow the join.
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
        width: int = 256,
        rates: Sequence[int] | None = None,
        separable: bool = True,
        separable_norm: bool = True,
        project: Sequence[int] = (1,),
        pool_first: bool = False,
        skip_width: int = 48,
        num_convs: int = 2,
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
        check_positive(width=width, skip_width=skip_width, num_convs=num_convs)
        self._skip = skip_level(strides, 4)
        self.aspp = ASPP(
            channels[-1],
            width,
            rates=rates_of(rates, strides[-1]),
            separable=separable,
            separable_norm=separable_norm,
            pool_first=pool_first,
        )
        self.project = make_projection(
            self.aspp.out_channels, width, project, separable=True, separable_norm=separable_norm
        )
        self.skip = ConvUnit(channels[self._skip], skip_width, kernel=1)
        self.convs = nn.Sequential(
            *(
                make_unit(
                    width if index else width + skip_width,
                    width,
                    separable=True,
                    separable_norm=separable_norm,
                )
                for index in range(num_convs)
            )
        )
        self.out_channels, self.stride = width, strides[self._skip]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, width, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        skip = self.skip(features[self._skip])
        x = self.resized(self.project(self.aspp(features[-1])), skip)
        return self.dropout(self.convs(torch.cat((x, skip), dim=1)))
