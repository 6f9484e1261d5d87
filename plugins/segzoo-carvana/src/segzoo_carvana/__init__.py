"""Checkpoints of milesial's U-Net, trained on Carvana's cars and on much else by many people."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import Archive, DatasetSpec, Labels, LayoutSpec, RecipeSpec, WeightsSpec
from segzoo_carvana.catalogue import WEIGHTS

CARS = Labels(classes=("background", "car"), palette=((0, 0, 0), (255, 196, 0)))


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="carvana",
            factory="segzoo_carvana.dataset:carvana",
            recognise="segzoo_carvana.dataset:recognise",
            splits=("train", "val", "test"),
            labels=CARS,
            summary="Carvana: photographs of cars from 16 sides, segmented by hand",
            layout="train_hq/<car>_<view>.jpg and train_masks/<car>_<view>_mask.gif; or imgs/ and masks/",
            licence="the rules of the Kaggle competition, which each person accepts there",
            homepage="https://www.kaggle.com/c/carvana-image-masking-challenge",
            archives=(
                Archive(url="kaggle:carvana-image-masking-challenge/train_hq.zip"),
                Archive(url="kaggle:carvana-image-masking-challenge/train_masks.zip"),
            ),
        )
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return WEIGHTS


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="milesial",
            aliases=("pytorch-unet",),
            factory="segzoo_carvana.layout:milesial",
            signature=("inc.double_conv.0.weight", "inc.double_conv.1.running_mean", "outc.conv.weight"),
            summary="milesial's U-Net of October 2019 and later, versions 1 to 4, transposed or bilinear",
            homepage="https://github.com/milesial/Pytorch-UNet",
            licence="GPL-3.0-only",
        ),
        LayoutSpec(
            name="milesial-2017",
            factory="segzoo_carvana.layout:milesial_2017",
            signature=("inc.conv.conv.0.weight", "down1.mpconv.1.conv.1.running_mean", "outc.conv.weight"),
            summary="milesial's U-Net of August 2017 to October 2019",
            homepage="https://github.com/milesial/Pytorch-UNet",
            licence="GPL-3.0-only",
        ),
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="milesial-carvana",
            file="segzoo_carvana:recipes/milesial-carvana.toml",
            data="carvana",
            origin="milesial/Pytorch-UNet",
            homepage="https://github.com/milesial/Pytorch-UNet",
            summary="as milesial's program trains: RMSprop, cross-entropy + Dice, images at half size",
        ),
    ]
