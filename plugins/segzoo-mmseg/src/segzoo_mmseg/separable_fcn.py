"""Fast-SCNN's head: depthwise separable convolutions of the encoder's last feature.

Paper: Poudel et al., 2019, arXiv:1902.04502, section 3.2.4 (the classifier).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import check_flags, check_positive
from segzoo.errors import OptionError
from segzoo_mmseg.units import Separable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class SeparableFCNDecoder(nn.Module):
    """Depthwise separable convolutions in a row.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels of the map; those of the last feature where ``None``.
        num_convs: how many convolutions.
        kernel: side of their kernels.
        concat_input: whether one more convolution sees what came in beside what the others made of it.
        dropout: share of the map's channels that training leaves out before the head.
        align_corners: whether corners are aligned where logits are resized.
    """

    any_size = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int | None = None,
        num_convs: int = 2,
        kernel: int = 3,
        concat_input: bool = False,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        entering = channels[-1]
        width = entering if width is None else width
        check_positive(width=width, num_convs=num_convs, kernel=kernel)
        check_flags(concat_input=concat_input, align_corners=align_corners)
        if kernel % 2 == 0:
            raise OptionError(f"kernel must be odd, such as 3, got {kernel}")
        self.convs = nn.Sequential(
            *(Separable(width if index else entering, width, kernel) for index in range(num_convs))
        )
        self.conv_cat = Separable(entering + width, width, kernel) if concat_input else None
        self.dropout = nn.Dropout2d(dropout)
        self.align_corners = align_corners
        self.out_channels, self.stride = width, strides[-1]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, to ``(N, out_channels, H / stride, W / stride)``."""
        entering = features[-1]
        x = self.convs(entering)
        if self.conv_cat is not None:
            x = self.conv_cat(torch.cat([entering, x], 1))
        return self.dropout(x)
