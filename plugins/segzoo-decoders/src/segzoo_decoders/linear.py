"""A linear probe: a batch norm of the features, and nothing between it and the 1x1 head.

So DINOv2 is evaluated (Oquab et al., 2023, arXiv:2304.07193, section 7.4): the encoder stays as it was
trained, and what one linear layer can read out of its features says how good they are. Freeze the encoder
for as many epochs as are trained but the last; with all layers learning, this is a small decoder like others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import check_positive, resize
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class LinearDecoder(nn.Module):
    """Features side by side, at the stride of the finest of them, and a batch norm.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        levels: how many features to take, from the last one: 1 in DINOv2's evaluation, 4 in its stronger
            one (there, the last four layers).
        norm: whether there is a batch norm.
    """

    any_size = True

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], *, levels: int = 1, norm: bool = True
    ) -> None:
        super().__init__()
        check_positive(levels=levels)
        if levels > len(channels):
            raise OptionError(f"levels must be at most {len(channels)}, the encoder's features, got {levels}")
        self.levels = levels
        self.out_channels, self.stride = sum(channels[-levels:]), strides[-levels]
        self.norm = nn.BatchNorm2d(self.out_channels) if norm else nn.Identity()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Join to ``(N, sum of channels, H / s, W / s)``, where ``s`` is the finest stride that is taken.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        first, *others = features[-self.levels :]
        enlarged = [resize(one, first) for one in others]
        return self.norm(torch.cat([first, *enlarged], dim=1) if enlarged else first)
