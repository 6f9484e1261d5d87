"""Annotation tools for segzoo: their files are read, recognised, and written back."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DatasetSpec

_SPLITS = ("train", "val", "test")


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="coco",
            factory="segzoo_formats.coco:coco",
            splits=_SPLITS,
            summary="your own images with objects in a JSON file of COCO's",
            layout="annotations/instances_train*.json, train/_annotations.coco.json or one .json; images",
        ),
        DatasetSpec(
            name="cvat",
            factory="segzoo_formats.cvat:cvat",
            splits=_SPLITS,
            summary="your own images with the shapes of CVAT's XML files",
            layout="annotations.xml of 'CVAT for images 1.1', or of video with its frames; images",
            recognise="segzoo_formats.cvat:recognise",
        ),
        DatasetSpec(
            name="labelme",
            factory="segzoo_formats.labelme:labelme",
            splits=_SPLITS,
            summary="your own images with the shapes drawn in labelme",
            layout="one .json of labelme per image, with its image beside it or inside",
            recognise="segzoo_formats.labelme:recognise",
        ),
        DatasetSpec(
            name="roboflow-masks",
            factory="segzoo_formats.roboflow_masks:roboflow_masks",
            splits=_SPLITS,
            summary="your own images with PNG masks as Roboflow exports them",
            layout="train, valid, test, each with NAME.jpg, NAME_mask.png and _classes.csv",
            recognise="segzoo_formats.roboflow_masks:recognise",
        ),
        DatasetSpec(
            name="voc-masks",
            factory="segzoo_formats.voc_masks:voc_masks",
            splits=_SPLITS,
            summary="your own images with masks in Pascal VOC's folders",
            layout="JPEGImages, SegmentationClass, ImageSets/Segmentation; labelmap.txt or class_names.txt",
            recognise="segzoo_formats.voc_masks:recognise",
        ),
        DatasetSpec(
            name="yolo",
            factory="segzoo_formats.yolo:yolo",
            splits=_SPLITS,
            summary="your own images with the label files of Ultralytics YOLO: outlines of objects",
            layout="data.yaml with train, val and names; images/ and labels/ with a .txt for each image",
            recognise="segzoo_formats.yolo:recognise",
        ),
    ]
