"""Annotation tools for segzoo: their files are read, recognised, and written back."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import DatasetSpec, OutputSpec

_SPLITS = ("train", "val", "test")


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="ade20k",
            factory="segzoo_formats.ade20k:ade20k",
            splits=_SPLITS,
            summary="ADE20K scene parsing: 150 classes",
            layout="images/{training,validation}, annotations/{training,validation}, objectInfo150.txt",
            homepage="https://groups.csail.mit.edu/vision/datasets/ADE20K/",
            paper="doi:10.1109/CVPR.2017.544",
            by_hand="join and download ADEChallengeData2016 from its homepage",
            recognise="segzoo_formats.ade20k:recognise",
        ),
        DatasetSpec(
            name="ade20k-full",
            factory="segzoo_formats.ade20k_full:ade20k_full",
            splits=_SPLITS,
            summary="ADE20K, the full archives of 2017 and 2020: thousands of classes",
            layout="training/.../NAME.jpg, NAME_seg.png and NAME_atr.txt or NAME.json",
            homepage="https://groups.csail.mit.edu/vision/datasets/ADE20K/",
            paper="doi:10.1007/s11263-018-1140-0",
            by_hand="join and download it from its homepage",
            recognise="segzoo_formats.ade20k_full:recognise",
        ),
        DatasetSpec(
            name="cityscapes",
            factory="segzoo_formats.cityscapes:cityscapes",
            splits=_SPLITS,
            summary="Cityscapes: street scenes of 50 towns, 19 classes; or your own images in its folders",
            layout="leftImg8bit/PART/CITY/*_leftImg8bit.png, gtFine/PART/CITY/*_gtFine_labelIds.png",
            homepage="https://www.cityscapes-dataset.com",
            paper="arXiv:1604.01685",
            by_hand="join, then download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip",
            recognise="segzoo_formats.cityscapes:recognise",
        ),
        DatasetSpec(
            name="coco",
            factory="segzoo_formats.coco:coco",
            splits=_SPLITS,
            summary="your own images with COCO JSON annotations, also panoptic and stuff",
            layout="annotations/instances_train*.json, train/_annotations.coco.json or one .json; images",
            recognise="segzoo_formats.coco:recognise",
        ),
        DatasetSpec(
            name="cvat",
            factory="segzoo_formats.cvat:cvat",
            splits=_SPLITS,
            summary="your own images with CVAT XML annotations",
            layout="annotations.xml of 'CVAT for images 1.1', or of video with its frames; images",
            recognise="segzoo_formats.cvat:recognise",
        ),
        DatasetSpec(
            name="datumaro-masks",
            factory="segzoo_formats.datumaro_masks:datumaro_masks",
            splits=_SPLITS,
            summary="your own images with colour masks exported by Datumaro",
            layout="dataset_meta.json, images and masks",
            recognise="segzoo_formats.datumaro_masks:recognise",
        ),
        DatasetSpec(
            name="geojson",
            factory="segzoo_formats.geojson:geojson",
            splits=_SPLITS,
            summary="your own GeoTIFFs or images with polygons in GeoJSON",
            layout="a .geojson per image, or maps whose polygons reach the images; map coordinates or pixels",
            recognise="segzoo_formats.geojson:recognise",
        ),
        DatasetSpec(
            name="huggingface",
            factory="segzoo_formats.huggingface:huggingface",
            splits=_SPLITS,
            summary="datasets of the Hugging Face Hub, and folders of Parquet files: hf:org/name",
            layout="hf:org/name, hf:org/name@revision, hf:./folder: a column of images, and one of masks",
            homepage="https://huggingface.co/datasets",
            recognise="segzoo_formats.huggingface:recognise",
            scheme="hf:",
        ),
        DatasetSpec(
            name="imagej",
            factory="segzoo_formats.imagej:imagej",
            splits=_SPLITS,
            summary="your own images with ImageJ regions of interest",
            layout="a.tif with a_rois.zip, RoiSet_a.zip or a.roi; RoiSet.zip in a folder with one image",
            recognise="segzoo_formats.imagej:recognise",
        ),
        DatasetSpec(
            name="instance-masks",
            factory="segzoo_formats.instance_masks:instance_masks",
            splits=_SPLITS,
            summary="your own images with one mask file per object",
            layout="images/IMAGE.jpg, annotations/IMAGE_CLASS_0.png, annotations/IMAGE_CLASS_1.png",
            recognise="segzoo_formats.instance_masks:recognise",
        ),
        DatasetSpec(
            name="kitti-semantic",
            factory="segzoo_formats.kitti:kitti",
            splits=_SPLITS,
            summary="KITTI semantic segmentation: street scenes, the 19 classes of Cityscapes",
            layout="training/image_2, training/semantic",
            homepage="https://www.cvlibs.net/datasets/kitti/",
            paper="doi:10.1007/s11263-018-1070-x",
            by_hand="download data_semantics.zip from its homepage",
            recognise="segzoo_formats.kitti:recognise",
        ),
        DatasetSpec(
            name="labelme",
            factory="segzoo_formats.labelme:labelme",
            splits=_SPLITS,
            summary="your own images with labelme annotations",
            layout="one .json of labelme per image, with its image beside it or inside",
            recognise="segzoo_formats.labelme:recognise",
        ),
        DatasetSpec(
            name="labelme-xml",
            factory="segzoo_formats.labelme_xml:labelme_xml",
            splits=_SPLITS,
            summary="your own images with LabelMe (MIT) XML annotations",
            layout="Annotations/FOLDER/*.xml, Images/FOLDER; Masks/FOLDER where there are any",
            recognise="segzoo_formats.labelme_xml:recognise",
        ),
        DatasetSpec(
            name="labelstudio",
            aliases=("label-studio",),
            factory="segzoo_formats.labelstudio:labelstudio",
            splits=_SPLITS,
            summary="your own images with Label Studio JSON exports",
            layout="a JSON or JSON-MIN export; the images beside it or in folders below",
            recognise="segzoo_formats.labelstudio:recognise",
        ),
        DatasetSpec(
            name="mapillary-vistas",
            factory="segzoo_formats.mapillary:mapillary",
            splits=_SPLITS,
            summary="Mapillary Vistas: street scenes worldwide, 65 or 116 classes",
            layout="config_v2.0.json, PART/images/*.jpg, PART/v2.0/labels/*.png",
            homepage="https://www.mapillary.com/dataset/vistas",
            paper="doi:10.1109/ICCV.2017.534",
            by_hand="ask for it on its homepage",
            recognise="segzoo_formats.mapillary:recognise",
        ),
        DatasetSpec(
            name="nnunet",
            factory="segzoo_formats.nnunet:nnunet",
            splits=_SPLITS,
            summary="your own images as nnU-Net raw data, two-dimensional or slice by slice",
            layout="dataset.json, imagesTr/CASE_0000.png, labelsTr/CASE.png",
            recognise="segzoo_formats.nnunet:recognise",
        ),
        DatasetSpec(
            name="qupath",
            factory="segzoo_formats.qupath:qupath",
            splits=_SPLITS,
            summary="your own images with QuPath GeoJSON annotations",
            layout="one .geojson per image, with the name of the image, beside it or in another folder",
            recognise="segzoo_formats.qupath:recognise",
        ),
        DatasetSpec(
            name="roboflow-masks",
            factory="segzoo_formats.roboflow_masks:roboflow_masks",
            splits=_SPLITS,
            summary="your own images with PNG masks exported by Roboflow",
            layout="train, valid, test, each with NAME.jpg, NAME_mask.png and _classes.csv",
            recognise="segzoo_formats.roboflow_masks:recognise",
        ),
        DatasetSpec(
            name="supervisely",
            factory="segzoo_formats.supervisely:supervisely",
            splits=_SPLITS,
            summary="your own images annotated in Supervisely: polygons, masks and rectangles",
            layout="meta.json, and for each dataset a folder with img and ann",
            recognise="segzoo_formats.supervisely:recognise",
        ),
        DatasetSpec(
            name="via",
            factory="segzoo_formats.via:via",
            splits=_SPLITS,
            summary="your own images with VGG Image Annotator regions",
            layout="one .json or .csv of VIA with its images, or one for each of train, val and test",
            recognise="segzoo_formats.via:recognise",
        ),
        DatasetSpec(
            name="voc-masks",
            factory="segzoo_formats.voc_masks:voc_masks",
            splits=_SPLITS,
            summary="your own images with masks in the folders of Pascal VOC",
            layout="JPEGImages, SegmentationClass, ImageSets/Segmentation; labelmap.txt or class_names.txt",
            recognise="segzoo_formats.voc_masks:recognise",
        ),
        DatasetSpec(
            name="yolo",
            factory="segzoo_formats.yolo:yolo",
            splits=_SPLITS,
            summary="your own images with Ultralytics YOLO label files: object polygons",
            layout="data.yaml with train, val and names; images/ and labels/ with a .txt for each image",
            recognise="segzoo_formats.yolo:recognise",
        ),
    ]


@hookimpl
def segzoo_outputs() -> list[OutputSpec]:
    return [
        _output(
            "cvat:Cvat",
            "CVAT for images 1.1: polygons, masks where there are holes",
            ".xml",
            "annotations.xml",
        ),
        _output("imagej:ImageJ", "regions of interest for ImageJ's ROI Manager", ".zip", suffix="_rois.zip"),
        _output(
            "labelme:Labelme", "the shapes of an image for labelme", ".json", "labels.txt", suffix=".json"
        ),
        _output("labelstudio:LabelStudio", "a task of Label Studio with predictions", ".json", "tasks.json"),
        _output("qupath:QuPath", "annotations for QuPath, with their classes", ".geojson"),
        _output("yolo:Yolo", "outlines of objects for Ultralytics YOLO", ".txt", "data.yaml", suffix=".txt"),
    ]


def _output(code: str, summary: str, form: str, joined: str = "", suffix: str = "") -> OutputSpec:
    name, where = code.partition(":")[0], "segzoo_formats.outputs."
    return OutputSpec(
        name=name,
        factory=where + code,
        summary=summary,
        suffix=suffix or f"_{name}{form}",
        formats=(form,),
        together=(form,),
        joined=joined,
        joins=f"{where}{name}:join" if joined else "",
    )
