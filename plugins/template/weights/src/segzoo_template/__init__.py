"""Weights for segzoo. This module only says so; the code is imported when it is used."""

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
            data="say what they were trained on: these, on made-up rectangles",
            licence="MIT",
            summary="a tiny U-Net that finds what is bright",
        )
    ]
