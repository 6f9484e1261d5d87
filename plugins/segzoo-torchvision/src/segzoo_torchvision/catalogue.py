"""The weights that torchvision publishes: the twenty things of Pascal VOC, trained on images of COCO."""

from __future__ import annotations

from segzoo.specs import Labels, Preprocessing, Resize, WeightsSpec, voc_colour

HOME = "https://github.com/pytorch/vision/tree/main/references/segmentation"

#: The classes, of which none is ignored.
CLASSES = Labels(
    classes=(
        *(
            "background",
            "aeroplane",
            "bicycle",
            "bird",
            "boat",
            "bottle",
            "bus",
            "car",
            "cat",
            "chair",
            "cow",
        ),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
        "tvmonitor",
    ),
    palette=tuple(map(voc_colour, range(21))),
)

#: What the library does before the network: the shorter side to 520 pixels, then ImageNet's statistics.
PREPROCESSING = Preprocessing(
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    resize=Resize(mode="short", short=520, interpolation="bilinear", antialias=True),
)


def _weights(model: str, file: str, *, size: int, miou: float, accuracy: float) -> WeightsSpec:
    return WeightsSpec(
        name=f"{model.replace('_', '-')}-coco-voc",
        url=f"https://download.pytorch.org/models/{file}.pth",
        layout=f"segzoo-torchvision:torchvision-{model.partition('_')[0]}",
        bytes=size,
        # The file's name ends in the first digits of its hash.
        sha256=file.rpartition("-")[2],
        model=f"segzoo-torchvision:{model}",
        classes=CLASSES.classes,
        labels=CLASSES,
        preprocessing=PREPROCESSING,
        summary=f"torchvision's {model}: Pascal VOC's 20 things",
        data="the images of COCO train2017 that show a class of Pascal VOC, with its 20 classes",
        licence="none stated for the weights; the program is BSD-3-Clause",
        claimed=f"mIoU {miou} %, pixel accuracy {accuracy} % on COCO val2017 with VOC's classes, at a "
        "shorter side of 520 pixels: one confusion matrix, mean over all 21 classes",
        homepage=HOME,
    )


WEIGHTS = [
    _weights("fcn_resnet50", "fcn_resnet50_coco-1167a1af", size=135_009_000, miou=60.5, accuracy=91.4),
    _weights("fcn_resnet101", "fcn_resnet101_coco-7ecb50ca", size=207_711_000, miou=63.7, accuracy=91.9),
    _weights(
        "deeplabv3_resnet50", "deeplabv3_resnet50_coco-cd0a2569", size=160_515_000, miou=66.4, accuracy=92.4
    ),
    _weights(
        "deeplabv3_resnet101", "deeplabv3_resnet101_coco-586e9e4e", size=233_217_000, miou=67.4, accuracy=92.4
    ),
    _weights(
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_mobilenet_v3_large-fc3c493d",
        size=42_301_000,
        miou=60.3,
        accuracy=91.2,
    ),
    _weights(
        "lraspp_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large-d234d4ea",
        size=12_490_000,
        miou=57.9,
        accuracy=91.2,
    ),
]
