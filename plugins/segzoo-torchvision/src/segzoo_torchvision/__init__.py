"""torchvision's segmentation networks, weights and checkpoints."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import EncoderSpec, LayoutSpec, ModelSpec, WeightsSpec

_HOME = "https://github.com/pytorch/vision/tree/main/references/segmentation"
_FCN, _DEEPLAB, _LRASPP = "arXiv:1411.4038", "arXiv:1706.05587", "arXiv:1905.02244"
#: Options of DeepLabV3 at any stride, including the convolution that torchvision adds after the branches.
_HEAD = {"rates": [12, 24, 36], "project": [1, 3], "dropout": 0.0}


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="torchvision_mobilenet_v3_large",
            factory="segzoo_torchvision.encoder:TorchvisionMobileNet",
            channels=(16, 24, 40, 80, 960),
            strides=(2, 4, 8, 16, 32),
            pretrained=True,
            summary="torchvision MobileNetV3-Large with optional dilation in the last stage",
            paper=_LRASPP,
        )
    ]


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        *(
            ModelSpec(
                name=f"{decoder}_{backbone}",
                decoder=decoder,
                encoder=f"timm:{backbone}",
                encoder_options={"output_stride": 8, "any_size": True},
                decoder_options=_HEAD if decoder == "deeplabv3" else {},
                summary=f"torchvision {decoder}_{backbone}",
                paper=_DEEPLAB if decoder == "deeplabv3" else _FCN,
            )
            for decoder in ("fcn", "deeplabv3")
            for backbone in ("resnet50", "resnet101")
        ),
        *(
            ModelSpec(
                name=f"{decoder}_mobilenet_v3_large",
                decoder=decoder,
                encoder="torchvision_mobilenet_v3_large",
                encoder_options={"output_stride": 16},
                decoder_options=_HEAD if decoder == "deeplabv3" else {},
                summary=f"torchvision {decoder}_mobilenet_v3_large",
                paper=_DEEPLAB if decoder == "deeplabv3" else _LRASPP,
            )
            for decoder in ("deeplabv3", "lraspp")
        ),
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    from segzoo_torchvision.catalogue import WEIGHTS

    return WEIGHTS


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    heads = {
        "fcn": ("classifier.0.weight", "classifier.1.running_mean", "classifier.4.weight"),
        "deeplabv3": (
            "classifier.0.convs.4.1.weight",
            "classifier.0.project.0.weight",
            "classifier.4.weight",
        ),
        "lraspp": (
            "classifier.cbr.0.weight",
            "classifier.scale.1.weight",
            "classifier.low_classifier.weight",
        ),
    }
    return [
        LayoutSpec(
            name=f"torchvision-{name}",
            factory=f"segzoo_torchvision.layout:{name}",
            signature=signature,
            summary=f"torchvision's {name}: a state dict, or what its reference training saves",
            homepage=_HOME,
            licence="BSD-3-Clause",
        )
        for name, signature in heads.items()
    ]
