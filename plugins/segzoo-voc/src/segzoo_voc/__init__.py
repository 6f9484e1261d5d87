"""Checkpoints of U-Nets on VGG16 and ResNet-50, trained on Pascal VOC."""

from __future__ import annotations

from segzoo.hooks import hookimpl
from segzoo.specs import EncoderSpec, LayoutSpec, WeightsSpec
from segzoo_voc.catalogue import WEIGHTS


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="resnet50-ceil",
            factory="segzoo_voc.encoder:CeilResNet50",
            channels=(64, 256, 512, 1024, 2048),
            strides=(2, 4, 8, 16, 32),
            summary="ResNet-50 whose first pooling rounds up instead of padding",
            paper="arXiv:1512.03385",
        )
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return WEIGHTS


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="bubbliiiing",
            factory="segzoo_voc.layout:bubbliiiing",
            marks=("up_concat1.conv1.weight", "up_concat4.conv2.bias", "final.weight"),
            summary="bubbliiiing's U-Nets on VGG16 and ResNet-50",
            homepage="https://github.com/bubbliiiing/unet-pytorch",
            licence="MIT",
        )
    ]
