"""The plain U-Net with all its options.

Paper: Ronneberger et al., 2015, arXiv:1505.04597. With bilinear upsampling the deepest feature keeps
the width of the one before it, and each step halves the width, as in most implementations; with
transposed convolutions the width doubles down to the bottom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.decoders.unet import UNetDecoder
from segzoo.encoders.plain import PlainEncoder
from segzoo.errors import OptionError
from segzoo.options import check_choice, check_positive
from segzoo.segmenter import Segmenter

if TYPE_CHECKING:
    from segzoo.blocks.convolution import Norm, Padding
    from segzoo.blocks.upsampling import Upsample


def unet(
    *,
    num_classes: int,
    in_channels: int = 3,
    width: int = 64,
    depth: int = 5,
    upsample: Upsample = "transpose",
    upsample_relu: bool = False,
    norm: Norm | None = "batch",
    padding: Padding = "same",
    mirror: bool = True,
) -> Segmenter:
    """Build a U-Net of `PlainEncoder` and `UNetDecoder`.

    Args:
        num_classes: number of classes.
        in_channels: number of channels of the image.
        width: number of channels of the finest feature.
        depth: number of features; the coarsest has stride ``2 ** (depth - 1)``.
        upsample: ``bilinear`` (aligned corners), ``transpose`` (2x2 transposed convolution), or
            ``transpose-keep``, which keeps the number of channels.
        upsample_relu: whether a ReLU follows the transposed convolution.
        norm: ``batch``, ``group``, ``instance`` or ``None``.
        padding: ``same``, or ``valid`` as in the paper: each convolution consumes a pixel on every side.
        mirror: whether a network of valid convolutions mirrors its image to give logits of the
            image's size; without, it is the bare network (572 in, 388 out).
    """
    check_positive(width=width, depth=depth)
    if depth < 2:
        raise OptionError(f"depth must be at least 2, got {depth}")
    check_choice("padding", padding, ("same", "valid"))
    bilinear = upsample == "bilinear"
    # A depth one beyond the encoder's limit is enough to get its error.
    widths = [width << level for level in range(min(depth, 13))]
    if bilinear:
        widths[-1] = widths[-2]
    encoder = PlainEncoder(in_channels, widths=widths, norm=norm, padding=padding)
    steps = [max(w // 2, 1) for w in reversed(widths[1:-1])] if bilinear else widths[-2:0:-1]
    decoder = UNetDecoder(
        encoder.channels,
        encoder.strides,
        widths=(*steps, width),
        upsample=upsample,
        upsample_relu=upsample_relu,
        middle="half" if bilinear else "out",
        join="crop" if padding == "valid" else "pad",
        norm=norm,
        padding=padding,
    )
    return Segmenter(encoder, decoder, num_classes=num_classes, mirror=mirror)
