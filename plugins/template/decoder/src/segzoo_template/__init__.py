"""A decoder for segzoo. This module only says so; the code is imported when it is used."""

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
            summary="features brought to one width and added up, coarsest first",
            halving=False,
        )
    ]
