"""UNet++ for segzoo: a decoder for every encoder, and the network of the paper's many implementations."""

from __future__ import annotations

from segzoo.hooks import hookimpl
from segzoo.specs import DecoderSpec, ModelSpec

_PAPER = "arXiv:1807.10165"


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_decoders() -> list[DecoderSpec]:
    return [
        DecoderSpec(
            name="nested",
            aliases=("unet++", "unetplusplus"),
            factory="segzoo_nested.decoder:NestedDecoder",
            summary="UNet++: nested dense skip paths, deep supervision on request",
            paper=_PAPER,
        )
    ]


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="nested",
            aliases=("nested-unet", "unet++", "unetplusplus"),
            encoder="plain",
            decoder="nested",
            encoder_options={"width": 32},
            summary="UNet++ on the U-Net's own encoder, 32 to 512 channels",
            paper=_PAPER,
        )
    ]
