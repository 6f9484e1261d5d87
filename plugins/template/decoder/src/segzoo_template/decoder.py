"""A decoder that projects features to one width and adds them up, coarsest first."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class SumDecoder(nn.Module):
    """One map at the finest stride, from features at any strides.

    Args:
        channels: numbers of channels of the encoder's features, finest first.
        strides: strides of the same features.
        width: number of channels of the output.
    """

    any_size = True  # odd sizes work, because each sum has the size of its finer feature

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, width: int = 64) -> None:
        super().__init__()
        self.out_channels, self.stride = width, strides[0]
        self.narrow = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, to ``(N, width, H / stride, W / stride)``."""
        *finer, x = (narrow(feature) for narrow, feature in zip(self.narrow, features, strict=True))
        for skip in reversed(finer):
            x = skip + F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.smooth(x).relu()
