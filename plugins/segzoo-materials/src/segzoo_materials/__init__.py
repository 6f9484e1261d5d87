"""Materials for segzoo: nanoparticles of three shapes in electron microscopy."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DatasetSpec, Labels, RecipeSpec, Separator, WeightsSpec

SHAPES = Labels(
    classes=("background", "cube", "octahedron", "sphere"),
    palette=((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115)),
    ignore_index=255,
)


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="nanoshapes",
            factory="segzoo_materials.nanoshapes:nanoshapes",
            splits=("train", "val", "test", "mosaics"),
            labels=SHAPES,
            summary="NanoShapes: cubes, octahedra and spheres in electron microscopy, in five folds",
            layout="train/ and test/ of Roboflow's version 20: *.jpg and _annotations.coco.json",
            licence="CC-BY-4.0",
            homepage="https://universe.roboflow.com/mlproject-ce4ej/nanoshapes",
            by_hand="export version 20 from its page, in the form COCO Segmentation",
        )
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="unet-nanoparticles",
            file="segzoo_materials:recipes/unet-nanoparticles.toml",
            data="nanoshapes",
            summary="how the weights unet-nanoparticles were trained: a pretrained encoder, five folds",
        ),
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return [
        WeightsSpec(
            name="unet-nanoparticles",
            folder="segzoo_materials:weights/unet-nanoparticles",
            summary="nanoparticles in electron microscopy: cubes, octahedra and spheres, counted one by one",
            model="segzoo:unet/timm:tf_efficientnet_lite0",
            decoder={"widths": (128, 64, 48, 32, 16)},
            num_classes=5,
            separator=Separator(kind="boundary"),
            classes=SHAPES.classes,
            labels=SHAPES,
            data="NanoShapes (mlproject-ce4ej/nanoshapes on Roboflow), CC BY 4.0; encoder from ImageNet",
            licence="CC-BY-4.0",
        )
    ]
