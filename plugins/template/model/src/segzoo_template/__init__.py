"""A network for segzoo. This module only says so; the code is imported when it is used."""

from segzoo.hooks import hookimpl
from segzoo.specs import ModelSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="template",
            factory="segzoo_template.network:DilatedNet",
            summary="convolutions of growing dilation at the image's own size",
        )
    ]
