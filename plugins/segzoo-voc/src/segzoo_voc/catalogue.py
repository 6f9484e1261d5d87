"""The weights that bubbliiiing publishes: the twenty things of Pascal VOC.

The files are a release of https://github.com/bubbliiiing/unet-pytorch; no hash of them is published. Its
medical weights are on a file-sharing site that wants a login, so they have no entry: fetch them by hand
and convert them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segzoo.specs import Preprocessing, Resize, WeightsSpec
from segzoo_voc.labels import VOC as CLASSES

_HOME = "https://github.com/bubbliiiing/unet-pytorch"

#: What weights give: the classes of Pascal VOC, none of which is ignored.
VOC = replace(CLASSES, ignore_index=None)


def _weights(
    name: str, file: str, *, size: int, miou: float, summary: str, older: bool = False, **network: Any
) -> WeightsSpec:
    return WeightsSpec(
        name=name,
        url=f"{_HOME}/releases/download/v1.0/{file}",
        layout="segzoo-voc:bubbliiiing",
        layout_options={"activation": "none"} if older else {},
        bytes=size,
        classes=VOC.classes,
        labels=VOC,
        preprocessing=Preprocessing(
            resize=Resize(mode="letterbox", height=512, width=512, restore="probabilities", fill=128)
        ),
        summary=summary,
        data="Pascal VOC 2012 with the Semantic Boundaries Dataset",
        licence="none stated for the weights; the program is MIT",
        claimed=f"mIoU {miou} % on VOC 2012 val: one confusion matrix, mean over all 21 classes",
        homepage=_HOME,
        **network,
    )


_VGG = "segzoo:unet/segzoo:vgg16"
_WIDTHS = (512, 256, 128, 64)

WEIGHTS = [
    _weights(
        "unet-vgg-voc",
        "unet_vgg_voc.pth",
        size=99_600_000,
        miou=58.78,
        summary="Pascal VOC, 20 object classes, VGG16 encoder",
        model=_VGG,
        decoder={"widths": _WIDTHS, "norm": None, "activation": "relu"},
    ),
    _weights(
        "unet-resnet50-voc",
        "unet_resnet_voc.pth",
        size=175_900_000,
        miou=67.53,
        summary="Pascal VOC, 20 object classes, ResNet-50 encoder",
        model="segzoo:unet/segzoo-voc:resnet50-ceil",
        decoder={"widths": (*_WIDTHS, 64), "norm": None, "activation": "relu"},
    ),
    _weights(
        "unet-voc-older",
        "unet_voc.pth",
        size=99_600_000,
        miou=55.11,
        summary="Pascal VOC, 20 object classes, VGG16 encoder, older decoder without ReLUs",
        older=True,
        model=_VGG,
        decoder={"widths": _WIDTHS, "norm": None, "activation": "none"},
    ),
]
