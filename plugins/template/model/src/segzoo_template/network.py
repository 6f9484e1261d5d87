"""A network of convolutions with growing dilation."""

from torch import Tensor, nn


class DilatedNet(nn.Module):
    """Logits at the size of the image, for any size.

    Args:
        num_classes: number of channels of the logits; 1 means two classes, separated by a sigmoid.
        in_channels: number of channels of the images.
        width: number of channels of the layers.
        depth: number of convolutions; each has twice the dilation of the one before.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1 << level, dilation=1 << level) for level in range(depth)
        )
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, num_classes, H, W)``."""
        x = self.stem(images)
        for layer in self.layers:
            x = x + layer(x).relu()
        return self.head(x)
