"""ResNet-50 as some segmentation programs have it: the first pooling rounds up and does not pad.

Paper: He et al., 2016, arXiv:1512.03385. The network is timm's; its pooling of 3x3 with stride 2 pads by 1 on
every side, this one pads nothing and lets the last window hang over (ceil mode).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import timm
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class CeilResNet50(nn.Module):
    """Features of 64 to 2048 channels at strides 2 to 32.

    Args:
        in_channels: channels of the images.
    """

    any_size = False

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        model = timm.create_model("resnet50", features_only=True, in_chans=in_channels)
        info = cast("Any", model).feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.strides: tuple[int, ...] = tuple(info.reduction())
        model.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
        self.backbone = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first."""
        return list(self.backbone(images))
