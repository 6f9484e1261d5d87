"""Decoders of ten families, each on any encoder."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DecoderSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_decoders() -> list[DecoderSpec]:
    return [
        DecoderSpec(
            name="segformer",
            factory="segzoo_decoders.segformer:SegFormerDecoder",
            halving=False,
            min_features=1,
            summary="all-MLP decoder of SegFormer: projections of one width, fused at the finest stride",
            paper="arXiv:2105.15203",
        ),
        DecoderSpec(
            name="dpt",
            factory="segzoo_decoders.dpt:DPTDecoder",
            halving=False,
            encoder_options={"features": "layers"},
            summary="dense prediction transformer: layers reassembled to a pyramid and fused upwards",
            paper="arXiv:2103.13413",
        ),
        DecoderSpec(
            name="linear",
            factory="segzoo_decoders.linear:LinearDecoder",
            halving=False,
            min_features=1,
            encoder_options={"features": "layers"},
            summary="linear probe: a batch norm of the features and the 1x1 head, as DINOv2 is evaluated",
            paper="arXiv:2304.07193",
        ),
    ]
