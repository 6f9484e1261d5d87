"""An encoder of strided convolutions instead of pooling."""

from torch import Tensor, nn


class StridedEncoder(nn.Module):
    """Features at strides 1, 2, 4 and 8.

    Args:
        in_channels: number of channels of the images.
        width: number of channels of the finest feature; each coarser one has twice as many.
    """

    any_size = True  # odd sizes work: a feature's size is rounded up

    def __init__(self, in_channels: int = 3, *, width: int = 16) -> None:
        super().__init__()
        self.channels = (width, 2 * width, 4 * width, 8 * width)
        self.strides = (1, 2, 4, 8)
        widths = zip((in_channels, *self.channels), self.channels, strict=False)
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=1 if level == 0 else 2, padding=1)
            for level, (before, after) in enumerate(widths)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``."""
        x, features = images, []
        for stage in self.stages:
            x = stage(x).relu()
            features.append(x)
        return features
