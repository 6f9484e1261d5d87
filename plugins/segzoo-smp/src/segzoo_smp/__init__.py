"""segmentation_models.pytorch's networks and checkpoints."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import LayoutSpec, ModelSpec, WeightsSpec

#: The model that runs each of the library's classes.
MODELS = {
    "Unet": "smp-unet-original",  # segzoo has a network of its own for plain ones, smp-unet
    "UnetPlusPlus": "smp-unetplusplus",
    "MAnet": "smp-manet",
    "Linknet": "smp-linknet",
    "FPN": "smp-fpn",
    "PSPNet": "smp-pspnet",
    "DeepLabV3": "smp-deeplabv3",
    "DeepLabV3Plus": "smp-deeplabv3plus",
    "PAN": "smp-pan",
    "UPerNet": "smp-upernet",
    "Segformer": "smp-segformer",
    "DPT": "smp-dpt",
}
_ALIASES = {"UnetPlusPlus": ("smp-unet++",), "DeepLabV3Plus": ("smp-deeplabv3+",)}
_PAPERS = {
    "Unet": "arXiv:1505.04597",
    "UnetPlusPlus": "arXiv:1807.10165",
    "MAnet": "doi:10.1109/ACCESS.2020.3025372",
    "Linknet": "arXiv:1707.03718",
    "FPN": "arXiv:1901.02446",
    "PSPNet": "arXiv:1612.01105",
    "DeepLabV3": "arXiv:1706.05587",
    "DeepLabV3Plus": "arXiv:1802.02611",
    "PAN": "arXiv:1805.10180",
    "UPerNet": "arXiv:1807.10221",
    "Segformer": "arXiv:2105.15203",
    "DPT": "arXiv:2103.13413",
}
_HOMEPAGE = "https://github.com/qubvel-org/segmentation_models.pytorch"


@hookimpl
def segzoo_api() -> int:
    return 1


_LIMITS = {
    "PSPNet": {
        "onnx": "its pooling to grids of 2x2 and more is made for the size of the example, so that an ONNX "
        "model holds for one size: export it for the size that you need, or take segzoo's own pspnet"
    }
}


@hookimpl
def segzoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name=name,
            aliases=_ALIASES.get(made, ()),
            factory=f"segzoo_smp.networks:{made.lower()}",
            summary=f"segmentation_models.pytorch {made}, with any of its encoders",
            paper=_PAPERS[made],
            limits=_LIMITS.get(made, {}),
        )
        for made, name in MODELS.items()
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    from segzoo_smp.catalogue import catalogue

    return catalogue()


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    heads = {
        "smp": ("segmentation_head.0.weight",),
        "smp-dpt": ("segmentation_head.head.0.weight", "segmentation_head.head.4.weight"),
    }
    return [
        LayoutSpec(
            name=name,
            factory="segzoo_smp.layout:smp",
            signature=signature,
            fallback=True,
            summary="segmentation_models.pytorch networks: folders, Lightning checkpoints and state dicts",
            homepage=_HOMEPAGE,
            licence="MIT",
        )
        for name, signature in heads.items()
    ]
