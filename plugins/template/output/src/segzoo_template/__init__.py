"""An output for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import OutputSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_outputs() -> list[OutputSpec]:
    return [
        OutputSpec(
            name="template",
            factory="segzoo_template.output:Edges",
            suffix="_template.png",
            by_rows=True,
            summary="white where classes meet, 1 bit per pixel",
        )
    ]
