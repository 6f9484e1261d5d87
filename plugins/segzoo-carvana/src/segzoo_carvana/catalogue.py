"""The weights that milesial publishes: cars, cut out of photographs.

The files are the releases of https://github.com/milesial/Pytorch-UNet; no hash of them is published. Sizes
are rounded, so a file of quite another size is refused and any other is pinned at first use.
"""

from __future__ import annotations

from segzoo.specs import Labels, Preprocessing, Resize, WeightsSpec

_HOME = "https://github.com/milesial/Pytorch-UNet"
_LABELS = Labels(classes=("background", "car"))
_LICENCE = "none stated for the weights; the program is GPL-3.0"
_DATA = "Kaggle's Carvana Image Masking Challenge"
#: Written with version 1.0, so it is no score of the later files.
_CLAIM = "Dice 0.988423; on which images, and how averaged, is not said"


def _weights(
    name: str, file: str, *, size: int, scale: float, classes: int, upsample: str, summary: str, claimed: str
) -> WeightsSpec:
    return WeightsSpec(
        name=name,
        url=f"{_HOME}/releases/download/{file}",
        layout="segzoo-carvana:milesial",
        layout_options={"scale": scale},
        bytes=size,
        model="segzoo:unet",
        options={"width": 64, "upsample": upsample},
        num_classes=classes,
        classes=_LABELS.classes,
        labels=_LABELS,
        preprocessing=Preprocessing(resize=Resize(mode="scale", scale=scale)),
        summary=summary,
        data=_DATA,
        licence=_LICENCE,
        claimed=claimed,
        homepage=_HOME,
        paper="arXiv:1505.04597",
    )


WEIGHTS = [
    _weights(
        "unet-carvana",
        "v3.0/unet_carvana_scale0.5_epoch2.pth",
        size=124_200_000,
        scale=0.5,
        classes=2,
        upsample="transpose",
        summary="cars in photographs, trained at half size",
        claimed="",
    ),
    _weights(
        "unet-carvana-full",
        "v3.0/unet_carvana_scale1.0_epoch2.pth",
        size=124_200_000,
        scale=1.0,
        classes=2,
        upsample="transpose",
        summary="cars in photographs, trained at full size",
        claimed="",
    ),
    _weights(
        "unet-carvana-v2",
        "v2.0/unet_carvana_scale0.5_epoch1.pth",
        size=69_100_000,
        scale=0.5,
        classes=2,
        upsample="bilinear",
        summary="cars in photographs, the program's version 2",
        claimed="",
    ),
    _weights(
        "unet-carvana-v1",
        "v1.0/unet_carvana_scale1_epoch5.pth",
        size=69_100_000,
        scale=1.0,
        classes=1,
        upsample="bilinear",
        summary="cars in photographs, the program's version 1",
        claimed=_CLAIM,
    ),
]
