"""The U-Net of segmentation_models.pytorch, so that its checkpoints give the same results.

Paper: Ronneberger et al., 2015, arXiv:1505.04597. Unlike segzoo's decoder it uses no feature at stride
1, concatenates (upsampled, skip), upsamples by repeating pixels, has two more convolutions at the
bottom of a VGG, and a 3x3 head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from segzoo.blocks.convolution import DoubleConv, Norm
from segzoo.decoders.nearest import NearestDecoder
from segzoo.encoders.timm import TimmEncoder
from segzoo.errors import OptionError
from segzoo.options import check_widths
from segzoo.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class CoarseFeatures(nn.Module):
    """A timm backbone's features from stride 2 on; a VGG's deepest feature passes through a `DoubleConv`."""

    any_size = False

    def __init__(
        self,
        in_channels: int,
        *,
        backbone: str,
        depth: int,
        pretrained: bool,
        centre: bool,
        norm: Norm | None,
    ) -> None:
        super().__init__()
        self._skipped = 1 if centre else 0
        self.encoder = TimmEncoder(
            in_channels, backbone=backbone, depth=depth + self._skipped, pretrained=pretrained
        )
        self.channels = self.encoder.channels[self._skipped :]
        self.strides = self.encoder.strides[self._skipped :]
        if self.strides[0] != 2:
            raise OptionError(f"{backbone!r} has no feature at stride 2, which this network needs")
        deepest = self.channels[-1]
        self.centre = DoubleConv(deepest, deepest, norm=norm) if centre else nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first."""
        *skips, deepest = self.encoder(images)[self._skipped :]
        return [*skips, self.centre(deepest)]


def smp_unet(
    *,
    num_classes: int,
    in_channels: int = 3,
    backbone: str = "resnet34",
    pretrained: bool = False,
    widths: Sequence[int] = (256, 128, 64, 32, 16),
    norm: Norm | None = "batch",
) -> Segmenter:
    """Build the network.

    Args:
        num_classes: number of channels of the logits.
        in_channels: number of channels of the images.
        backbone: timm backbone with features at strides 2, 4, 8 ..., or a VGG.
        pretrained: whether to fetch its pretrained weights.
        widths: number of channels after each step, coarsest first; as many features are used.
        norm: norm of the decoder: ``batch``, ``group``, ``instance`` or ``None``.
    """
    widths = check_widths(widths)
    features = CoarseFeatures(
        in_channels,
        backbone=backbone,
        depth=len(widths),
        pretrained=pretrained,
        centre=backbone.startswith("vgg"),
        norm=norm,
    )
    decoder = NearestDecoder(features.channels, widths=widths, norm=norm)
    model = Segmenter(features, decoder, num_classes=num_classes)
    model.head = nn.Conv2d(decoder.out_channels, num_classes, 3, padding=1)
    return model
