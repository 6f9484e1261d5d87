"""U-Nets that look where it matters, and that learn differences: attention gates, residual units."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DecoderSpec, EncoderSpec, ModelSpec

_ATTENTION = "arXiv:1804.03999"
_RESIDUAL = "arXiv:1711.10684"


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="residual",
            factory="segzoo_attention.residual:ResidualEncoder",
            channels=(64, 128, 256, 512),
            strides=(1, 2, 4, 8),
            summary="encoder of the residual U-Net: pre-activated units, strides instead of pooling",
            paper=_RESIDUAL,
        )
    ]


@hookimpl
def segzoo_decoders() -> list[DecoderSpec]:
    return [
        DecoderSpec(
            name="attention",
            factory="segzoo_attention.attention:AttentionDecoder",
            summary="attention U-Net decoder: skips pass attention gates controlled by the coarser level",
            paper=_ATTENTION,
        ),
        DecoderSpec(
            name="residual",
            factory="segzoo_attention.residual:ResidualDecoder",
            encoder="segzoo-attention:residual",
            summary="residual U-Net decoder of pre-activated units",
            paper=_RESIDUAL,
        ),
    ]


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="attention",
            aliases=("attention-unet", "attunet"),
            encoder="segzoo:plain",
            decoder="segzoo-attention:attention",
            summary="attention U-Net with the U-Net encoder, 64 to 1024 channels",
            paper=_ATTENTION,
        ),
        ModelSpec(
            name="residual",
            aliases=("residual-unet", "resunet"),
            encoder="segzoo-attention:residual",
            decoder="segzoo-attention:residual",
            summary="deep residual U-Net with seven levels, 64 to 512 channels",
            paper=_RESIDUAL,
        ),
    ]
