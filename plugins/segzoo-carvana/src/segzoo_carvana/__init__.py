"""Checkpoints of milesial's U-Net, trained on Carvana's cars and on much else by many people."""

from __future__ import annotations

from segzoo.hooks import hookimpl
from segzoo.specs import LayoutSpec, WeightsSpec
from segzoo_carvana.catalogue import WEIGHTS


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return WEIGHTS


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="milesial",
            aliases=("pytorch-unet",),
            factory="segzoo_carvana.layout:milesial",
            marks=("inc.double_conv.0.weight", "inc.double_conv.1.running_mean", "outc.conv.weight"),
            summary="milesial's U-Net, versions 1 to 4, transposed or bilinear",
            homepage="https://github.com/milesial/Pytorch-UNet",
            licence="GPL-3.0-only",
        )
    ]
