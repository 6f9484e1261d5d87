"""torchvision's MobileNetV3-Large, whose last stage may dilate instead of halving its maps.

Paper: Howard et al., 2019, arXiv:1905.02244. timm's dilates only from the second block of that stage on, and
gives features after other blocks, so that torchvision's weights would compute something else there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import timm
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

from segzoo.blocks import check_flags, check_positive
from segzoo.errors import OptionError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: The stem, the first block of each stage that halves its maps but the last, and the last convolution.
_TAPS = (0, 2, 4, 7, 16)


class TorchvisionMobileNet(nn.Module):
    """Features of strides 2, 4, 8, 16 and 32, at the blocks where torchvision takes them.

    Args:
        in_channels: channels of the images; a pretrained stem is adapted.
        output_stride: stride of the coarsest feature: 32, or 16 where the last stage dilates.
        pretrained: whether to fetch torchvision's ImageNet weights.

    Raises:
        OptionError: the output stride is another.
        WeightsError: the weights could not be fetched or read.
    """

    channels = (16, 24, 40, 80, 960)
    any_size = True

    def __init__(self, in_channels: int = 3, *, output_stride: int = 32, pretrained: bool = False) -> None:
        super().__init__()
        check_positive(in_channels=in_channels)
        check_flags(pretrained=pretrained)
        if isinstance(output_stride, bool) or output_stride not in (16, 32):
            raise OptionError(f"output_stride must be 16 or 32, got {output_stride!r}")
        self.strides = (2, 4, 8, 16, output_stride)
        network = _network(dilated=output_stride == 16, pretrained=pretrained)
        self.backbone = cast("nn.Sequential", network.features)
        if in_channels != 3:
            stem = cast("Any", self.backbone)[0][0]
            weight = timm.models.adapt_input_conv(in_channels, stem.weight.detach())
            stem.in_channels, stem.weight = in_channels, nn.Parameter(weight)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first."""
        features, x = [], images
        for index, block in enumerate(self.backbone):
            x = block(x)
            if index in _TAPS:
                features.append(x)
        return features

    @classmethod
    def granted(cls, wishes: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Return what it fulfils of a decoder's wishes: stride 16 where less than 32 is asked.

        Args:
            wishes: options that the decoder would like, by name.
        """
        return {"output_stride": 16} if wishes.get("output_stride", 32) < 32 else {}


def _network(*, dilated: bool, pretrained: bool) -> Any:
    weights = MobileNet_V3_Large_Weights.IMAGENET1K_V1 if pretrained else None
    try:
        return mobilenet_v3_large(weights=weights, dilated=dilated)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(
            f"torchvision's weights of mobilenet_v3_large could not be fetched or read ({reason}); check the "
            "connection or the cache of torch.hub, or leave pretrained out"
        ) from error
