"""Which plug-in of segzoo's repository brings a name, for messages to those who have not installed it.

A test holds the table against the plug-ins themselves.
"""

from __future__ import annotations

import shlex

#: Reads and writes the files of annotation tools.
FORMATS = "segzoo-formats"

#: Names of models, weights, encoders, decoders, data sets, outputs and recipes, and beginnings of addresses.
BROUGHT = {
    "segzoo-attention": (
        "attention",
        "attention-unet",
        "attunet",
        "residual",
        "residual-unet",
        "resunet",
    ),
    "segzoo-carvana": (
        "carvana",
        "milesial-carvana",
        "unet-carvana",
        "unet-carvana-full",
        "unet-carvana-v1",
        "unet-carvana-v2",
    ),
    "segzoo-decoders": (
        "deeplabv3",
        "deeplabv3+",
        "deeplabv3p",
        "deeplabv3plus",
        "dpt",
        "fcn",
        "fpn",
        "linear",
        "lraspp",
        "ocr",
        "ocrnet",
        "plain-vit",
        "psp",
        "pspnet",
        "segformer",
        "segformer-b0",
        "segformer-b1",
        "segformer-b2",
        "segformer-b3",
        "segformer-b4",
        "segformer-b5",
        "upernet",
    ),
    "segzoo-driving": ("camvid",),
    FORMATS: (
        "ade20k",
        "ade20k-full",
        "cityscapes",
        "coco",
        "cvat",
        "datumaro-masks",
        "geojson",
        "hf:",
        "huggingface",
        "imagej",
        "instance-masks",
        "kitti-semantic",
        "label-studio",
        "labelme",
        "labelme-xml",
        "labelstudio",
        "mapillary-vistas",
        "nnunet",
        "qupath",
        "roboflow-masks",
        "supervisely",
        "via",
        "voc-masks",
        "yolo",
    ),
    "segzoo-medical": (
        "bubbliiiing-medical",
        "drive",
        "dsb2018",
        "isbi2012",
        "mindspore-isbi",
        "mobilenet-v3-large",
        "unet-isbi-mindspore",
        "unet-isbi-mindspore-1.2",
        "unet-membranes",
        "unet-nuclei",
        "wzmiaomiao-drive",
    ),
    "segzoo-mmseg": (
        "mmseg-convnext",
        "mmseg-fast-scnn",
        "mmseg-hrnet",
        "mmseg-resnet",
        "mmseg-separable-fcn",
        "mmseg-swin",
        "mmseg-unet",
    ),
    "segzoo-nested": (
        "ascend-dsb2018",
        "nested",
        "nested-dsb2018",
        "nested-nuclei",
        "nested-nuclei-ascend",
        "nested-unet",
        "unet++",
        "unetplusplus",
    ),
    "segzoo-smp": (
        "smp-deeplabv3",
        "smp-deeplabv3+",
        "smp-deeplabv3plus",
        "smp-dpt",
        "smp-fpn",
        "smp-linknet",
        "smp-manet",
        "smp-pan",
        "smp-pspnet",
        "smp-segformer",
        "smp-unet++",
        "smp-unet-original",
        "smp-unetplusplus",
        "smp-upernet",
    ),
    "segzoo-steel": ("neu-seg",),
    "segzoo-torchvision": (
        "deeplabv3-mobilenet-v3-large-coco-voc",
        "deeplabv3-resnet101-coco-voc",
        "deeplabv3-resnet50-coco-voc",
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_resnet101",
        "deeplabv3_resnet50",
        "fcn-resnet101-coco-voc",
        "fcn-resnet50-coco-voc",
        "fcn_resnet101",
        "fcn_resnet50",
        "lraspp-mobilenet-v3-large-coco-voc",
        "lraspp_mobilenet_v3_large",
        "torchvision_mobilenet_v3_large",
    ),
    "segzoo-transformers": ("transformers",),
    "segzoo-voc": (
        "bubbliiiing-voc",
        "resnet50-ceil",
        "unet-resnet50-voc",
        "unet-vgg-voc",
        "unet-voc-older",
        "voc",
        "voc2007",
        "voc2012",
    ),
}


def plugin_of(name: str) -> str:
    """Return the plug-in that brings a name such as ``coco`` or ``hf:org/name``; "" where none does."""
    scheme = f"{name.partition(':')[0]}:"
    return next((plugin for plugin, names in BROUGHT.items() if name in names or scheme in names), "")


def install(plugin: str) -> str:
    """Return how a plug-in of segzoo's repository is installed, also one with an extra in brackets."""
    released, clone = (shlex.quote(word) for word in (plugin, f"plugins/{plugin}"))
    return f"`pip install {released}`, or in a clone of segzoo `pip install -e {clone}`"
