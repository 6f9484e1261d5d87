"""A decoder for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import DecoderSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_decoders() -> list[DecoderSpec]:
    return [
        DecoderSpec(
            name="template",
            factory="segzoo_template.decoder:SumDecoder",
            summary="projects features to one width and adds them up, coarsest first",
            halving=False,
        )
    ]
