"""Weights for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import WeightsSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return [
        WeightsSpec(
            name="template",
            folder="segzoo_template:weights",
            model="unet",
            num_classes=2,
            classes=("background", "bright"),
            data="name the training data; these weights were trained on generated rectangles",
            licence="MIT",
            summary="a tiny U-Net that finds bright rectangles",
        )
    ]
