"""A network for segzoo. This module only registers it; the code is imported on first use."""

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
            summary="convolutions with growing dilation at full resolution",
        )
    ]
