"""Medical images for segzoo: datasets, and weights trained on them."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import (
    Archive,
    DatasetSpec,
    EncoderSpec,
    Labels,
    LayoutSpec,
    RecipeSpec,
    Separator,
    WeightsSpec,
)
from segzoo_medical.catalogue import WEIGHTS

NUCLEI = Labels(classes=("background", "nucleus"), palette=((0, 0, 0), (255, 196, 0)))
MEMBRANES = Labels(classes=("membrane", "cell"), values=(0, 255))
VESSELS = Labels(
    classes=("background", "vessel"), palette=((0, 0, 0), (255, 255, 255)), values=(0, 255), ignore_index=255
)
#: Vessels without fields of view: every pixel counts.
RETINA = Labels(classes=VESSELS.classes, palette=VESSELS.palette)


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="dsb2018",
            factory="segzoo_medical.dsb2018:DSB2018",
            recognise="segzoo_medical.dsb2018:recognise",
            splits=("train", "val", "test"),
            labels=NUCLEI,
            summary="Data Science Bowl 2018: nuclei in light and fluorescence microscopy",
            layout="stage1_train.zip, or the folder it unpacks to: <id>/images/<id>.png, <id>/masks/*.png",
            licence="CC0-1.0",
            homepage="https://bbbc.broadinstitute.org/BBBC038",
            paper="doi:10.1038/s41592-019-0612-7",
            archives=(Archive(url="https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip"),),
        ),
        DatasetSpec(
            name="chase-db1",
            factory="segzoo_medical.chase_db1:chase_db1",
            recognise="segzoo_medical.chase_db1:recognise",
            splits=("train", "val", "test"),
            labels=RETINA,
            summary="CHASE_DB1: retinal blood vessels in fundus photographs, both eyes of 14 children",
            layout="Image_01L.jpg to Image_14R.jpg, each with *_1stHO.png and *_2ndHO.png",
            licence="CC-BY-4.0",
            homepage="https://researchdata.kingston.ac.uk/96/",
            paper="doi:10.1109/TBME.2012.2205687",
            by_hand="download CHASEDB1.zip from https://researchdata.kingston.ac.uk/96/",
        ),
        DatasetSpec(
            name="drive",
            factory="segzoo_medical.drive:drive",
            recognise="segzoo_medical.drive:recognise",
            splits=("train", "val", "test"),
            labels=VESSELS,
            summary="DRIVE: retinal blood vessels in fundus photographs, with fields of view",
            layout="training/ and test/, each with images/*.tif, 1st_manual/*.gif and mask/*.gif",
            licence="for research and education, not to be passed on",
            homepage="https://drive.grand-challenge.org",
            paper="doi:10.1109/TMI.2004.825627",
            by_hand="join the challenge and download it from its site",
        ),
        DatasetSpec(
            name="isbi2012",
            factory="segzoo_medical.isbi2012:isbi2012",
            recognise="segzoo_medical.isbi2012:recognise",
            splits=("train", "val", "test"),
            labels=MEMBRANES,
            summary="ISBI 2012: neuron membranes, 30 electron microscopy slices in five folds",
            layout="train-volume.tif and train-labels.tif, 30 pages each",
            licence="for generating and testing non-commercial segmentation software; cite the paper",
            homepage="https://imagej.net/events/isbi-2012-segmentation-challenge",
            paper="doi:10.1371/journal.pbio.1000502",
            by_hand="download train-volume.tif and train-labels.tif from the challenge's site",
        ),
    ]


@hookimpl
def segzoo_weights() -> list[WeightsSpec]:
    return [
        WeightsSpec(
            name="unet-nuclei",
            folder="segzoo_medical:weights/unet-nuclei",
            summary="nuclei in fluorescence and light microscopy, with separation of touching nuclei",
            model="segzoo:unet/timm:tf_efficientnet_lite0",
            decoder={"widths": (128, 64, 32, 24, 16), "upsample": "transpose"},
            num_classes=2,
            separator=Separator(kind="distance", seed=0.45, smallest=16),
            classes=NUCLEI.classes,
            labels=NUCLEI,
            data="Data Science Bowl 2018 (BBBC038), CC0; encoder from ImageNet",
            licence="Apache-2.0",
        ),
        WeightsSpec(
            name="unet-nuclei-1",
            folder="segzoo_medical:weights/unet-nuclei-1",
            summary="nuclei in light and fluorescence microscopy, as unet-nuclei in segzoo 0.1.0",
            model="segzoo:unet",
            options={"width": 16},
            num_classes=1,
            classes=NUCLEI.classes,
            labels=NUCLEI,
            data="Data Science Bowl 2018 (BBBC038), CC0",
            licence="Apache-2.0",
        ),
        WeightsSpec(
            name="unet-membranes",
            folder="segzoo_medical:weights/unet-membranes",
            summary="neuron membranes in electron microscopy; for non-commercial use",
            model="segzoo:unet",
            options={"width": 16},
            in_channels=1,
            num_classes=1,
            classes=MEMBRANES.classes,
            labels=MEMBRANES,
            data="ISBI 2012 (Cardona et al., 2010, doi:10.1371/journal.pbio.1000502), non-commercial",
            licence="CC-BY-NC-4.0",
        ),
        WeightsSpec(
            name="unet-vessels",
            folder="segzoo_medical:weights/unet-vessels",
            summary="retinal blood vessels in fundus photographs; not for diagnosis",
            model="segzoo:unet",
            options={"width": 16},
            num_classes=1,
            classes=RETINA.classes,
            labels=RETINA,
            data="CHASE_DB1 (Fraz et al., 2012, doi:10.1109/TBME.2012.2205687), CC BY 4.0",
            licence="CC-BY-4.0",
        ),
        *WEIGHTS,
    ]


_DRIVE = "https://github.com/WZMIAOMIAO/deep-learning-for-image-processing"
_MINDSPORE = "https://gitee.com/mindspore/models/tree/master/official/cv/Unet"


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="mobilenet-v3-large",
            factory="segzoo_medical.mobilenet:MobileNetV3",
            channels=(16, 24, 40, 112, 160),
            strides=(2, 4, 8, 16, 32),
            summary="torchvision MobileNetV3-Large without its last convolution",
            paper="arXiv:1905.02244",
        )
    ]


@hookimpl
def segzoo_layouts() -> list[LayoutSpec]:
    return [
        LayoutSpec(
            name="wzmiaomiao-unet",
            factory="segzoo_medical.wzmiaomiao:unet",
            signature=("in_conv.0.weight", "down4.1.4.running_mean", "out_conv.0.weight"),
            summary="WZMIAOMIAO's U-Net with any base width, trained on DRIVE",
            homepage=_DRIVE,
            licence="GPL-3.0-only",
        ),
        LayoutSpec(
            name="wzmiaomiao-vgg16",
            factory="segzoo_medical.wzmiaomiao:vgg16",
            signature=(
                "backbone.40.weight",
                "backbone.41.running_mean",
                "up4.conv.4.weight",
                "conv.0.weight",
            ),
            summary="WZMIAOMIAO's U-Net with a VGG16 encoder and batch norm",
            homepage=_DRIVE,
            licence="GPL-3.0-only",
        ),
        LayoutSpec(
            name="wzmiaomiao-mobilenet",
            factory="segzoo_medical.wzmiaomiao:mobilenet",
            signature=(
                "backbone.0.0.weight",
                "backbone.15.block.3.0.weight",
                "up4.conv.4.weight",
                "conv.0.weight",
            ),
            summary="WZMIAOMIAO's U-Net with a MobileNetV3-Large encoder",
            homepage=_DRIVE,
            licence="GPL-3.0-only",
        ),
        LayoutSpec(
            name="mindspore-unet-medical",
            factory="segzoo_medical.mindspore:unet_medical",
            signature=(
                "inc.double_conv.0.weight",
                "inc.double_conv.2.weight",
                "up1.up.weight",
                "outc.conv.weight",
            ),
            summary="MindSpore unet_medical: valid convolutions, input 572, output 388",
            homepage=_MINDSPORE,
            licence="Apache-2.0",
        ),
        LayoutSpec(
            name="mindspore-unet-simple",
            factory="segzoo_medical.mindspore:unet_simple",
            signature=(
                "conv0.convs.0.0.weight",
                "up_concat1.up_conv.weight",
                "up_concat4.conv.convs.1.0.weight",
            ),
            summary="MindSpore unet_simple",
            homepage=_MINDSPORE,
            licence="Apache-2.0",
        ),
    ]


@hookimpl
def segzoo_recipes() -> list[RecipeSpec]:
    return [
        RecipeSpec(
            name="bubbliiiing-medical",
            file="segzoo_medical:recipes/bubbliiiing-medical.toml",
            data="isbi2012",
            origin="bubbliiiing/unet-pytorch",
            homepage="https://github.com/bubbliiiing/unet-pytorch",
            summary="as bubbliiiing's program trains on membranes: Adam, frozen VGG16, 512x512",
        ),
        RecipeSpec(
            name="unet-vessels",
            file="segzoo_medical:recipes/unet-vessels.toml",
            data="chase-db1",
            summary="how the weights unet-vessels were trained: a small U-Net on full-size crops",
        ),
        RecipeSpec(
            name="wzmiaomiao-drive",
            file="segzoo_medical:recipes/wzmiaomiao-drive.toml",
            data="drive",
            origin="WZMIAOMIAO/deep-learning-for-image-processing",
            homepage=_DRIVE,
            summary="as WZMIAOMIAO's program trains on vessels: SGD, polynomial rate, crops of 480",
        ),
        RecipeSpec(
            name="mindspore-isbi",
            file="segzoo_medical:recipes/mindspore-isbi.toml",
            data="isbi2012",
            origin="MindSpore models, unet_medical",
            homepage=_MINDSPORE,
            summary="as MindSpore's program trains on membranes: valid convolutions, Adam, 600 steps",
        ),
        RecipeSpec(
            name="unet-nuclei",
            file="segzoo_medical:recipes/unet-nuclei.toml",
            data="dsb2018",
            summary="how the weights unet-nuclei were trained: a pretrained encoder, strong augmentation",
        ),
        RecipeSpec(
            name="unet-membranes",
            file="segzoo_medical:recipes/unet-membranes.toml",
            data="isbi2012",
            summary="how the weights unet-membranes were trained: a small U-Net, five contiguous folds",
        ),
    ]
