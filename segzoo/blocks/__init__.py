"""Building blocks that two or more architectures use; plug-ins may use them too."""

from segzoo.blocks.convolution import (
    Activation,
    ConvUnit,
    DoubleConv,
    Norm,
    Padding,
    PooledBatchNorm,
    make_activation,
    make_norm,
)
from segzoo.blocks.fused import FusedSteps, FusibleStep
from segzoo.blocks.pooling import averages
from segzoo.blocks.sizes import centre_crop, crop, fit, is_symbolic, larger, mirror, resize
from segzoo.blocks.upsampling import Upsample, make_upsample
from segzoo.options import check_choice, check_flags, check_positive, check_widths

__all__ = [
    "Activation",
    "ConvUnit",
    "DoubleConv",
    "FusedSteps",
    "FusibleStep",
    "Norm",
    "Padding",
    "PooledBatchNorm",
    "Upsample",
    "averages",
    "centre_crop",
    "check_choice",
    "check_flags",
    "check_positive",
    "check_widths",
    "crop",
    "fit",
    "is_symbolic",
    "larger",
    "make_activation",
    "make_norm",
    "make_upsample",
    "mirror",
    "resize",
]
