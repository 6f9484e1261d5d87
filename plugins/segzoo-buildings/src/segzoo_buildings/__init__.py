"""Buildings for segzoo: their facades in photographs, with windows, shops and balconies."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DatasetSpec, Labels, RecipeSpec, WeightsSpec

FACADES = Labels(
    classes=(
        "background",
        "balcony-fence",
        "car",
        "facade",
        "fence",
        "non-building-infrastructure",
        "shop",
        "street",
        "traffic-infrastructure",
        "vegetation",
        "window",
    ),
    palette=(
        (0, 0, 0),
        (204, 121, 167),
        (0, 0, 142),
        (150, 110, 90),
        (190, 153, 153),
        (120, 120, 120),
        (230, 159, 0),
        (128, 64, 128),
        (220, 220, 0),
        (0, 158, 115),
        (86, 180, 233),
    ),
    ignore_index=255,
)


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="facades",
            factory="segzoo_buildings.facades:facades",
            splits=("train", "val", "test"),
            labels=FACADES,
            summary="building facades in street photographs, many at night: windows, shops, balconies",
            layout="train/, valid/ and test/ of Roboflow: *.jpg and _annotations.coco.json",
            licence="CC-BY-4.0",
            homepage="https://github.com/a-hwang/building-facade-segmentation",
            by_hand="git clone https://github.com/a-hwang/building-facade-segmentation, which holds it",
        )
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="unet-facades",
            file="segzoo_buildings:recipes/unet-facades.toml",
            data="facades",
            summary="how the weights unet-facades were trained: a pretrained encoder, upright photographs",
        ),
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return [
        WeightsSpec(
            name="unet-facades",
            folder="segzoo_buildings:weights/unet-facades",
            summary="building facades with their windows and balconies, and shops, streets and plants",
            model="segzoo:unet/timm:tf_efficientnet_lite0",
            decoder={"widths": (128, 64, 48, 32)},
            num_classes=11,
            classes=FACADES.classes,
            labels=FACADES,
            data="Building Facade Segmentation (a-hwang/building-facade-segmentation), CC BY 4.0;"
            " encoder from ImageNet",
            licence="CC-BY-4.0",
        )
    ]
