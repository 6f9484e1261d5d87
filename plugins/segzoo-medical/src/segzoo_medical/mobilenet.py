"""MobileNetV3-Large, cut where its strides change for the last time.

Paper: Howard et al., 2019, arXiv:1905.02244. The network is torchvision's, without its last convolution
of 960 channels; batch norms have an epsilon of 1e-3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torchvision.models import mobilenet_v3_large

if TYPE_CHECKING:
    from torch import Tensor

_CUTS = (1, 3, 6, 12, 15)


class MobileNetV3(nn.Module):
    """Features of 16, 24, 40, 112 and 160 channels at strides 2 to 32.

    Args:
        in_channels: channels of the images.
    """

    any_size = True

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.backbone = mobilenet_v3_large().features[: _CUTS[-1] + 1]
        if in_channels != 3:
            stem = nn.Conv2d(in_channels, 16, 3, stride=2, padding=1, bias=False)
            self.backbone.set_submodule("0.0", stem)
        self.channels = (16, 24, 40, 112, 160)
        self.strides = (2, 4, 8, 16, 32)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first; odd sizes are rounded up."""
        features, x = [], images
        for index, block in enumerate(self.backbone):
            x = block(x)
            if index in _CUTS:
                features.append(x)
        return features
