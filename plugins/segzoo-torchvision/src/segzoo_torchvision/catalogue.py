"""The weights that torchvision publishes: the twenty things of Pascal VOC, trained on images of COCO."""

from __future__ import annotations

from dataclasses import replace

from segzoo.specs import IMAGENET, Resize, WeightsSpec, known_labels

HOME = "https://github.com/pytorch/vision/tree/main/references/segmentation"

#: The classes, of which none is ignored.
CLASSES = replace(known_labels("voc"), ignore_index=None)

#: What the library does before the network: the shorter side to 520 pixels, then ImageNet's statistics.
PREPROCESSING = replace(
    IMAGENET, resize=Resize(mode="short", short=520, interpolation="bilinear", antialias=True)
)


def _weights(model: str, file: str, *, mebibytes: float, miou: float, accuracy: float) -> WeightsSpec:
    return WeightsSpec(
        name=f"{model.replace('_', '-')}-coco-voc",
        url=f"https://download.pytorch.org/models/{file}.pth",
        layout=f"segzoo-torchvision:torchvision-{model.partition('_')[0]}",
        bytes=round(mebibytes * 2**20),
        # The file's name ends in the first digits of its hash.
        sha256=file.rpartition("-")[2],
        model=f"segzoo-torchvision:{model}",
        classes=CLASSES.classes,
        labels=CLASSES,
        preprocessing=PREPROCESSING,
        summary=f"torchvision {model}: Pascal VOC, 20 object classes",
        data="the images of COCO train2017 that show a class of Pascal VOC, with its 20 classes",
        licence="none stated for the weights; the program is BSD-3-Clause",
        claimed=f"mIoU {miou} %, pixel accuracy {accuracy} % on COCO val2017 with VOC's classes, at a "
        "shorter side of 520 pixels: one confusion matrix, mean over all 21 classes",
        homepage=HOME,
    )


_MOBILE = "mobilenet_v3_large"

WEIGHTS = [
    _weights(model, file, mebibytes=mebibytes, miou=miou, accuracy=accuracy)
    for model, file, mebibytes, miou, accuracy in (
        ("fcn_resnet50", "fcn_resnet50_coco-1167a1af", 135.009, 60.5, 91.4),
        ("fcn_resnet101", "fcn_resnet101_coco-7ecb50ca", 207.711, 63.7, 91.9),
        ("deeplabv3_resnet50", "deeplabv3_resnet50_coco-cd0a2569", 160.515, 66.4, 92.4),
        ("deeplabv3_resnet101", "deeplabv3_resnet101_coco-586e9e4e", 233.217, 67.4, 92.4),
        (f"deeplabv3_{_MOBILE}", f"deeplabv3_{_MOBILE}-fc3c493d", 42.301, 60.3, 91.2),
        (f"lraspp_{_MOBILE}", f"lraspp_{_MOBILE}-d234d4ea", 12.49, 57.9, 91.2),
    )
]
