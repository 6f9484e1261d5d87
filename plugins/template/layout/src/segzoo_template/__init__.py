"""A checkpoint layout for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import LayoutSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="template",
            factory="segzoo_template.layout:convert",
            signature=("backbone.stages.0.first.conv.weight", "neck.steps.0.upsample.conv.weight"),
            summary="name the program that writes these checkpoints",
            homepage="https://example.org/say-where-the-program-is",
            licence="state the licence of the program",
        )
    ]
