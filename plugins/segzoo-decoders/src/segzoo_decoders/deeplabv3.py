"""DeepLabV3: atrous spatial pyramid pooling on the coarsest feature of an encoder that dilates to stride 8.

Paper: Chen et al., 2017, arXiv:1706.05587.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.blocks import check_positive
from segzoo_decoders.aspp import ASPP, make_projection, rates_of
from segzoo_decoders.units import AuxiliaryDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class DeepLabV3Decoder(AuxiliaryDecoder):
    """Atrous spatial pyramid pooling of the coarsest feature, and convolutions that join its branches.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels of each branch and of the map.
        rates: atrous rates; by default the paper's for the feature's stride: 12, 24, 36 at stride 8.
        separable: whether atrous convolutions are depthwise separable.
        separable_norm: whether a norm and a ReLU follow depthwise convolutions, too;
            segmentation_models.pytorch has none.
        project: kernels of the convolutions that join the branches: ``[1]`` in the paper, ``[1, 3]`` in
            torchvision, ``[3]`` in MMSegmentation.
        pool_first: whether the image's mean is the first branch, as in MMSegmentation; the last otherwise.
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
        separable: bool = False,
        separable_norm: bool = True,
        project: Sequence[int] = (1,),
        pool_first: bool = False,
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
        self.aspp = ASPP(
            channels[-1],
            width,
            rates=rates_of(rates, strides[-1]),
            separable=separable,
            separable_norm=separable_norm,
            pool_first=pool_first,
        )
        self.project = make_projection(self.aspp.out_channels, width, project)
        self.out_channels, self.stride = width, strides[-1]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        return self.dropout(self.project(self.aspp(features[-1])))
