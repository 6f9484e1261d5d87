"""A checkpoint layout for segzoo. This module only says so; the code is imported when it is used."""

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
            summary="say which program writes these checkpoints",
            homepage="https://example.org/say-where-the-program-is",
            licence="say on what terms the program comes",
        )
    ]
