"""LR-ASPP: channels of the coarsest feature, weighted by the image's mean, joined with a finer feature.

Paper: Howard et al., 2019, arXiv:1905.02244, section 6.4 (Lite R-ASPP), for MobileNetV3. The paper adds the
logits of two 1x1 convolutions, one of either map; that is one 1x1 convolution of both side by side, the
head. The mean is that of the whole image, as in torchvision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import ConvUnit, check_positive, resize
from segzoo_decoders.units import skip_level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class LRASPPDecoder(nn.Module):
    """Two maps side by side: the feature of stride 8, and the coarsest one, weighted and enlarged.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels to which the coarsest feature is reduced.
    """

    any_size = True

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, width: int = 128) -> None:
        super().__init__()
        check_positive(width=width)
        self._skip = skip_level(strides, 8)
        self.values = ConvUnit(channels[-1], width, kernel=1)
        self.weights = nn.Conv2d(channels[-1], width, 1, bias=False)
        self.out_channels, self.stride = channels[self._skip] + width, strides[self._skip]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``, the finer feature first.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        skip, x = features[self._skip], features[-1]
        weights = torch.sigmoid(self.weights(x.mean((-2, -1), keepdim=True)))
        return torch.cat((skip, resize(self.values(x) * weights, skip)), dim=1)
