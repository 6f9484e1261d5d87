"""Steel for segzoo: defects of its surface."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DatasetSpec, Labels, RecipeSpec

DEFECTS = Labels(
    classes=("background", "inclusion", "patches", "scratches"),
    palette=((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115)),
)


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="neu-seg",
            factory="segzoo_steel.dataset:neu_seg",
            recognise="segzoo_steel.dataset:recognise",
            splits=("train", "val", "test"),
            labels=DEFECTS,
            summary="NEU-Seg: inclusions, patches and scratches on hot-rolled steel",
            layout="images/{training,test}/*.jpg and annotations/{training,test}/*.png",
            licence="none stated; its makers ask to be cited",
            homepage="http://faculty.neu.edu.cn/songkechen/zh_CN/zdylm/263270/list/index.htm",
            paper="doi:10.1109/TII.2019.2958826",
            by_hand="download NEU-Seg from its makers' page",
        )
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="neu-seg",
            file="segzoo_steel:recipes/neu-seg.toml",
            data="neu-seg",
            origin="lsewcx/Pytorch-UNet",
            homepage="https://github.com/lsewcx/Pytorch-UNet",
            summary="as lsewcx's program trains on steel: RMSprop, cross-entropy + Dice, 50 epochs",
        ),
    ]
