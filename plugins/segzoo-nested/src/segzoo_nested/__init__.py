"""UNet++ for segzoo: a decoder for every encoder, and the network of the paper's many implementations."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DecoderSpec, LayoutSpec, ModelSpec, RecipeSpec, WeightsSpec
from segzoo_nested.catalogue import WEIGHTS

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
            summary="UNet++ decoder: nested dense skip paths, optional deep supervision",
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
            summary="UNet++ with the U-Net encoder, 32 to 512 channels",
            paper=_PAPER,
        )
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return WEIGHTS


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="pytorch-nested-unet",
            aliases=("4uiiurz1",),
            factory="segzoo_nested.layout:pytorch_nested_unet",
            signature=("conv0_0.conv1.weight", "conv0_4.bn2.running_var", "conv4_0.conv2.weight"),
            summary="UNet++ and U-Net of 4uiiurz1, and files of its Ascend port",
            homepage="https://github.com/4uiiurz1/pytorch-nested-unet",
            licence="MIT",
        ),
        LayoutSpec(
            name="mindspore-unet-nested",
            factory="segzoo_nested.mindspore:unet_nested",
            signature=(
                "conv00.convs.0.0.weight",
                "up_concat04.conv.convs.1.0.weight",
                "up_concat04.up_conv.weight",
            ),
            summary="MindSpore unet_nested",
            homepage="https://gitee.com/mindspore/models/tree/master/official/cv/Unet",
            licence="Apache-2.0",
        ),
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="nested-dsb2018",
            file="segzoo_nested:recipes/nested-dsb2018.toml",
            data="dsb2018",
            origin="4uiiurz1/pytorch-nested-unet",
            homepage="https://github.com/4uiiurz1/pytorch-nested-unet",
            summary="as 4uiiurz1's program trains on nuclei: UNet++, SGD, BCE + Dice, 96x96",
        ),
        RecipeSpec(
            name="ascend-dsb2018",
            file="segzoo_nested:recipes/ascend-dsb2018.toml",
            data="dsb2018",
            origin="Ascend ModelZoo-PyTorch, UNet++",
            homepage="https://gitee.com/ascend/ModelZoo-PyTorch",
            summary="as Ascend's port trains on nuclei: UNet++, Adam, Lovász hinge, 96x96",
        ),
        RecipeSpec(
            name="nested-nuclei",
            file="segzoo_nested:recipes/nested-nuclei.toml",
            data="dsb2018",
            summary="how the weights nested-nuclei were trained: UNet++ with the encoder of unet-nuclei-1",
        ),
    ]
