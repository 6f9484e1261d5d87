"""The U-Net's own encoder: double convolutions, and 2x2 max pooling between them.

Paper: Ronneberger et al., 2015, arXiv:1505.04597.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

from segzoo.blocks.convolution import DoubleConv, Norm, Padding
from segzoo.errors import OptionError
from segzoo.options import check_positive, check_widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class PlainEncoder(nn.Module):
    """Features at strides 1, 2, 4, ... of ``width``, 2 ``width``, 4 ``width``, ... channels.

    Args:
        in_channels: number of channels of the images.
        width: number of channels of the finest feature.
        depth: number of features; the coarsest has stride ``2 ** (depth - 1)``.
        widths: number of channels of every feature, finest first, in place of ``width`` and ``depth``.
        norm: ``batch``, ``group``, ``instance`` or ``None``.
        padding: ``same``, or ``valid`` as in the paper: each convolution consumes a pixel on every side.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: int = 64,
        depth: int = 5,
        widths: Sequence[int] | None = None,
        norm: Norm | None = "batch",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, width=width, depth=depth)
        default = tuple(width << level for level in range(min(depth, 13)))
        self.channels = default if widths is None else check_widths(widths)
        if len(self.channels) > 12:
            raise OptionError("a depth above 12 gives a stride of 4096 and more; the maximum is 12")
        self.strides = tuple(1 << level for level in range(len(self.channels)))
        # Each level consumes 4 of its own pixels, which are 4 strides of the image's.
        self.border = sum(4 * stride for stride in self.strides) if padding == "valid" else 0
        self.stages = nn.ModuleList(
            DoubleConv(before, after, norm=norm, padding=padding)
            for before, after in zip((in_channels, *self.channels), self.channels, strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded down."""
        x = self.stages[0](images)
        features = [x]
        for stage in self.stages[1:]:
            x = stage(F.max_pool2d(x, 2))
            features.append(x)
        return features
