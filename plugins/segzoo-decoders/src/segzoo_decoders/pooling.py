"""Pyramid pooling: what an image shows as a whole and in a few parts, beside what each pixel shows.

Paper: Zhao et al., 2017, arXiv:1612.01105, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import ConvUnit, averages, check_positive, resize
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class PyramidPooling(nn.Module):
    """Averages of a map in grids of a few sizes, resized and joined with the map, and a 3x3 convolution.

    Args:
        in_channels: channels of the map that comes in.
        out_channels: channels of each grid after its 1x1 convolution, and of the map that goes out.
        pool_scales: rows and columns of each grid.
        align_corners: whether the grids are resized with aligned corners.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(pool_scales, str | int) or not pool_scales:
            raise OptionError(f"pool_scales must be a list such as [1, 2, 3, 6], got {pool_scales!r}")
        check_positive(**{f"pool_scales[{index}]": scale for index, scale in enumerate(pool_scales)})
        self.pool_scales, self.align_corners = tuple(pool_scales), align_corners
        self.grids = nn.ModuleList(
            ConvUnit(in_channels, out_channels, kernel=1, pooled=True) for _ in self.pool_scales
        )
        self.join = ConvUnit(in_channels + len(self.grids) * out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        grids = (grid(averages(x, scale)) for grid, scale in zip(self.grids, self.pool_scales, strict=True))
        resized = [resize(one, x, align_corners=self.align_corners) for one in grids]
        return self.join(torch.cat((x, *resized), dim=1))
