"""The sizes of backbones that have names; listing needs them, so this imports no torch."""

from __future__ import annotations

#: ConvNeXt: blocks and channels of each stage. Liu et al., 2022, arXiv:2201.03545.
CONVNEXTS = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}
