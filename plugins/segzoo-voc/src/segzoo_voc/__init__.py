"""Checkpoints of U-Nets on VGG16 and ResNet-50, trained on Pascal VOC."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import Archive, DatasetSpec, EncoderSpec, LayoutSpec, RecipeSpec, WeightsSpec
from segzoo_voc.catalogue import WEIGHTS
from segzoo_voc.labels import VOC

_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"
_LICENCE = "photographs of Flickr under their owners' terms; see the homepage"
_LAYOUT = "JPEGImages/*.jpg, SegmentationClass/*.png and ImageSets/Segmentation/*.txt"


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="resnet50-ceil",
            factory="segzoo_voc.encoder:CeilResNet50",
            channels=(64, 256, 512, 1024, 2048),
            strides=(2, 4, 8, 16, 32),
            summary="ResNet-50 whose first pooling rounds up instead of padding",
            paper="arXiv:1512.03385",
        )
    ]


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="voc2012",
            aliases=("voc",),
            factory="segzoo_voc.dataset:voc",
            options={"year": 2012},
            recognise="segzoo_voc.dataset:recognise_2012",
            splits=("train", "val", "trainval", "trainaug"),
            labels=VOC,
            summary="Pascal VOC 2012: 20 classes of things in photographs",
            layout=f"VOCdevkit/VOC2012 with {_LAYOUT}; for trainaug, SBD's benchmark_RELEASE/dataset or"
            " SegmentationClassAug/*.png",
            licence=_LICENCE,
            homepage=f"{_HOST}/voc2012/",
            paper="doi:10.1007/s11263-014-0733-5",
            archives=(
                Archive(
                    url=f"{_HOST}/voc2012/VOCtrainval_11-May-2012.tar",
                    checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
                    bytes=1_999_639_040,
                ),
            ),
        ),
        DatasetSpec(
            name="voc2007",
            factory="segzoo_voc.dataset:voc",
            options={"year": 2007},
            recognise="segzoo_voc.dataset:recognise_2007",
            splits=("train", "val", "trainval", "test"),
            labels=VOC,
            summary="Pascal VOC 2007: 20 classes of things in photographs, with a test part",
            layout=f"VOCdevkit/VOC2007 with {_LAYOUT}",
            licence=_LICENCE,
            homepage=f"{_HOST}/voc2007/",
            paper="doi:10.1007/s11263-009-0275-4",
            archives=(
                Archive(
                    url=f"{_HOST}/voc2007/VOCtrainval_06-Nov-2007.tar",
                    checksum="md5:c52e279531787c972589f7e41ab4ae64",
                ),
                Archive(
                    url=f"{_HOST}/voc2007/VOCtest_06-Nov-2007.tar",
                    checksum="md5:b6e924de25625d8de591ea690078ad9f",
                ),
            ),
        ),
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return WEIGHTS


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="bubbliiiing",
            factory="segzoo_voc.layout:bubbliiiing",
            signature=("up_concat1.conv1.weight", "up_concat4.conv2.bias", "final.weight"),
            summary="bubbliiiing's U-Nets on VGG16 and ResNet-50",
            homepage="https://github.com/bubbliiiing/unet-pytorch",
            licence="MIT",
        )
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="bubbliiiing-voc",
            file="segzoo_voc:recipes/bubbliiiing-voc.toml",
            data="voc2012",
            origin="bubbliiiing/unet-pytorch",
            homepage="https://github.com/bubbliiiing/unet-pytorch",
            summary="as bubbliiiing's program trains: Adam, frozen VGG16 for half of 100 epochs, 512x512",
        ),
    ]
