"""Decoders of ten families, each on any encoder."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DecoderSpec, EncoderSpec, LayoutSpec, ModelSpec, RecipeSpec, WeightsSpec

_TRANSFORMERS = "https://github.com/huggingface/transformers"


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="plain-vit",
            factory="segzoo_decoders.vit:PlainViT",
            channels=(768,),
            strides=(16,),
            summary="plain vision transformer of any size: outputs of its blocks, with the class token",
            paper="arXiv:2010.11929",
        )
    ]


@hookimpl
def segzoo_decoders() -> list[DecoderSpec]:
    return [
        _decoder("fcn:FCNDecoder", "FCN: convolutions on the coarsest feature", "1411.4038", dilated=8),
        _decoder("pspnet:PSPDecoder", "PSPNet: pyramid pooling", "1612.01105", dilated=8, aliases=("psp",)),
        _decoder("deeplabv3:DeepLabV3Decoder", "DeepLabV3: atrous pyramid pooling", "1706.05587", dilated=8),
        _decoder(
            "deeplabv3plus:DeepLabV3PlusDecoder",
            "DeepLabV3+: atrous pyramid pooling next to a finer feature",
            "1802.02611",
            features=2,
            dilated=16,
            aliases=("deeplabv3+", "deeplabv3p"),
        ),
        _decoder("fpn:FPNDecoder", "Panoptic FPN: levels of a pyramid, added", "1901.02446", features=2),
        _decoder(
            "upernet:UPerDecoder", "UPerNet: pyramid pooling and a feature pyramid", "1807.10221", features=2
        ),
        _decoder(
            "lraspp:LRASPPDecoder",
            "LR-ASPP: weighted channels next to a finer feature",
            "1905.02244",
            features=2,
            dilated=16,
            encoder="timm:mobilenetv3_large_100",
        ),
        _decoder(
            "ocr:OCRDecoder",
            "OCRNet: pixels described by the regions that they belong to",
            "1909.11065",
            features=2,
            dilated=8,
            aliases=("ocrnet",),
        ),
        DecoderSpec(
            name="segformer",
            factory="segzoo_decoders.segformer:SegFormerDecoder",
            encoder="segzoo:mit_b0",
            halving=False,
            min_features=1,
            summary="SegFormer's all-MLP decoder: projections of one width, fused at the finest stride",
            paper="arXiv:2105.15203",
        ),
        DecoderSpec(
            name="dpt",
            factory="segzoo_decoders.dpt:DPTDecoder",
            encoder="segzoo-decoders:plain-vit",
            halving=False,
            encoder_options={"features": "layers"},
            summary="dense prediction transformer: layers reassembled to a pyramid and fused upwards",
            paper="arXiv:2103.13413",
        ),
        DecoderSpec(
            name="linear",
            factory="segzoo_decoders.linear:LinearDecoder",
            encoder="segzoo-decoders:plain-vit",
            halving=False,
            min_features=1,
            encoder_options={"features": "layers"},
            summary="linear probe: batch norm and a 1x1 head, as in DINOv2's evaluation",
            paper="arXiv:2304.07193",
        ),
    ]


def _decoder(
    where: str,
    summary: str,
    paper: str,
    *,
    aliases: tuple[str, ...] = (),
    features: int = 1,
    dilated: int = 0,
    encoder: str = "timm:resnet50",
) -> DecoderSpec:
    """Return a decoder for any strides, named after its module; ``dilated`` is the output stride it wants."""
    name = where.partition(":")[0]
    return DecoderSpec(
        name=name,
        factory=f"segzoo_decoders.{where}",
        aliases=aliases,
        summary=summary,
        paper=f"arXiv:{paper}",
        encoder=encoder,
        min_features=features,
        halving=False,
        encoder_options={"output_stride": dilated} if dilated else {},
    )


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name=f"segformer-b{level}",
            aliases=(f"segformer_b{level}",),
            encoder=f"segzoo:mit_b{level}",
            decoder="segzoo-decoders:segformer",
            encoder_options={"drop_path": 0.1},
            decoder_options={"width": 768 if level > 1 else 256},
            summary=f"SegFormer B{level}: Mix Transformer encoder, all-MLP decoder",
            paper="arXiv:2105.15203",
        )
        for level in range(6)
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    from segzoo_decoders.catalogue import catalogue

    return catalogue()


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="transformer",
            file="segzoo_decoders:recipes/transformer.toml",
            origin="NVlabs/SegFormer",
            homepage="https://github.com/NVlabs/SegFormer",
            summary="as SegFormer is trained: AdamW, warm-up and polynomial, the decoder ten times faster",
        ),
    ]


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="transformers-segformer",
            factory="segzoo_decoders.layouts.segformer:segmentation",
            signature=(
                "decode_head.linear_fuse.weight",
                "decode_head.batch_norm.running_mean",
                "decode_head.classifier.weight",
            ),
            summary="SegformerForSemanticSegmentation of transformers: a folder, or its state dict",
            homepage=_TRANSFORMERS,
            licence="Apache-2.0",
        ),
        LayoutSpec(
            name="transformers-dpt",
            factory="segzoo_decoders.layouts.dpt:segmentation",
            signature=(
                "neck.fusion_stage.layers.0.projection.weight",
                "head.head.4.weight",
                "head.head.1.running_mean",
            ),
            beside=("config.model_type=dpt",),
            summary="DPTForSemanticSegmentation of transformers: a folder",
            homepage=_TRANSFORMERS,
            licence="Apache-2.0",
        ),
        LayoutSpec(
            name="transformers-upernet",
            factory="segzoo_decoders.layouts.upernet:upernet",
            signature=("decode_head.fpn_bottleneck.batch_norm.running_mean", "decode_head.classifier.weight"),
            beside=("config.backbone_config",),
            summary="UperNetForSemanticSegmentation of transformers on ConvNeXt or Swin: a folder",
            homepage=_TRANSFORMERS,
            licence="Apache-2.0",
        ),
        LayoutSpec(
            name="transformers-mit",
            factory="segzoo_decoders.layouts.segformer:classification",
            signature=("segformer.encoder.patch_embeddings.0.proj.weight", "classifier.weight"),
            summary="SegformerForImageClassification of transformers: its Mix Transformer as an encoder",
            homepage=_TRANSFORMERS,
            licence="Apache-2.0",
        ),
    ]
