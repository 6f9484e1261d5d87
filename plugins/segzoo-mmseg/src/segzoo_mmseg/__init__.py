"""Converts checkpoints of MMSegmentation to networks of segzoo; MMSegmentation need not be installed."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DecoderSpec, EncoderSpec, LayoutSpec, ModelSpec, WeightsSpec

_PYRAMID = (4, 8, 16, 32)


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="mmseg-resnet",
            factory="segzoo_mmseg.resnet:ResNetEncoder",
            channels=(256, 512, 1024, 2048),
            strides=_PYRAMID,
            summary="ResNet, ResNet-C and ResNet-D with any depth, strides and dilations",
            paper="arXiv:1512.03385",
        ),
        EncoderSpec(
            name="mmseg-swin",
            factory="segzoo_mmseg.swin:SwinEncoder",
            channels=(96, 192, 384, 768),
            strides=_PYRAMID,
            summary="Swin Transformer with one window size, for images of any size",
            paper="arXiv:2103.14030",
        ),
        EncoderSpec(
            name="mmseg-convnext",
            factory="segzoo_mmseg.convnext:ConvNeXtEncoder",
            channels=(96, 192, 384, 768),
            strides=_PYRAMID,
            summary="ConvNeXt with a norm on every feature",
            paper="arXiv:2201.03545",
        ),
        EncoderSpec(
            name="mmseg-hrnet",
            factory="segzoo_mmseg.hrnet:HRNetEncoder",
            channels=(18, 36, 72, 144),
            strides=_PYRAMID,
            summary="HRNet with bilinear resizing between its branches",
            paper="arXiv:1908.07919",
        ),
        EncoderSpec(
            name="mmseg-unet",
            factory="segzoo_mmseg.unet:UNetEncoder",
            channels=(64, 128, 256, 512, 1024),
            strides=(1, 2, 4, 8, 16),
            summary="a whole U-Net, for heads on its features",
            paper="arXiv:1505.04597",
        ),
        EncoderSpec(
            name="mmseg-fast-scnn",
            factory="segzoo_mmseg.fast_scnn:FastSCNNEncoder",
            channels=(128,),
            strides=(8,),
            summary="Fast-SCNN: two branches, fused at stride 8",
            paper="arXiv:1902.04502",
        ),
    ]


@hookimpl
def segzoo_decoders() -> list[DecoderSpec]:
    return [
        DecoderSpec(
            name="mmseg-separable-fcn",
            factory="segzoo_mmseg.separable_fcn:SeparableFCNDecoder",
            encoder="mmseg-fast-scnn",
            min_features=1,
            halving=False,
            summary="Fast-SCNN head: depthwise separable convolutions on the last feature",
            paper="arXiv:1902.04502",
        )
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    from segzoo_mmseg.catalogue import catalogue

    return catalogue()


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        _layout(
            "mmsegmentation",
            "decode_head.conv_seg.weight",
            summary="MMSegmentation checkpoints, 1.x and 0.x, with their configuration",
        ),
        _layout(
            "mmsegmentation-cascade",
            "decode_head.0.conv_seg.weight",
            "decode_head.1.conv_seg.weight",
            summary="MMSegmentation checkpoints with cascaded heads: OCRNet",
        ),
    ]


def _layout(name: str, *signature: str, summary: str) -> LayoutSpec:
    return LayoutSpec(
        name=name,
        factory="segzoo_mmseg.layout:mmsegmentation",
        signature=signature,
        summary=summary,
        homepage="https://github.com/open-mmlab/mmsegmentation",
        licence="Apache-2.0",
    )


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [_hrnet(width, decoder) for decoder in ("fcn", "ocr") for width in (18, 48)]


def _hrnet(width: int, decoder: str) -> ModelSpec:
    """Return HRNet of a width, with the head of its paper or with object-contextual representations."""
    short = f"{'fcn' if decoder == 'fcn' else 'ocrnet'}_hr{width}"
    name = f"hrnet-w{width}" if decoder == "fcn" else f"ocrnet-hrnet-w{width}"
    whole = {"fcn": "hrnet", "ocr": "hrnet-ocr"}[decoder]
    return ModelSpec(
        name=name,
        aliases=(short, whole) if width == 48 else (short,),
        encoder="segzoo-mmseg:mmseg-hrnet",
        decoder=f"segzoo-decoders:{decoder}",
        encoder_options={"widths": [width, 2 * width, 4 * width, 8 * width]},
        decoder_options={"gather": True, **({"kernel": 1} if decoder == "fcn" else {})},
        summary=f"HRNet-W{width} with {'its own head' if decoder == 'fcn' else 'object-contextual regions'}",
        paper="arXiv:1908.07919" if decoder == "fcn" else "arXiv:1909.11065",
    )
