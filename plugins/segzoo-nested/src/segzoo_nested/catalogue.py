"""Weights: nuclei at their own size, which ship here, and those of the Ascend port, at 96 x 96 pixels."""

from __future__ import annotations

from segzoo.specs import IMAGENET, Labels, Preprocessing, Resize, WeightsSpec

_NUCLEI = Labels(classes=("background", "nucleus"))
_FOUND = Labels(classes=("background", "nucleus"), palette=((0, 0, 0), (255, 196, 0)))

WEIGHTS = [
    WeightsSpec(
        name="nested-nuclei",
        folder="segzoo_nested:weights/nested-nuclei",
        summary="nuclei in light and fluorescence microscopy, UNet++ with half the usual width",
        model="segzoo-nested:nested/segzoo:plain",
        encoder={"width": 16},
        num_classes=1,
        classes=_NUCLEI.classes,
        labels=_FOUND,
        data="Data Science Bowl 2018 (BBBC038), CC0",
        licence="Apache-2.0",
        paper="arXiv:1807.10165",
    ),
    WeightsSpec(
        name="nested-nuclei-ascend",
        url="https://ascend-repo-modelzoo.obs.cn-east-2.myhuaweicloud.com"
        "/model/1_PyTorch_PTH/Unet%2B%2B/PTH/nested_unet.pth",
        layout="segzoo-nested:pytorch-nested-unet",
        layout_options={"size": 96},
        bytes=36_700_000,
        model="segzoo-nested:nested/segzoo:plain",
        encoder={"width": 32},
        decoder={"widths": (32, 64, 128, 256), "deep_supervision": False},
        num_classes=1,
        classes=_NUCLEI.classes,
        labels=_NUCLEI,
        # The program divides by 255 once more after normalising, blue first.
        preprocessing=Preprocessing(
            channels="bgr",
            mean=IMAGENET.mean,
            std=tuple(255 * std for std in IMAGENET.std),
            resize=Resize(mode="stretch", height=96, width=96, interpolation="bilinear", antialias=False),
        ),
        summary="nuclei at 96 x 96 pixels, Ascend port of UNet++",
        data="Data Science Bowl 2018, as 4uiiurz1 prepares it: 96 x 96",
        licence="none stated for the weights; the program is MIT",
        claimed="IoU 83.91 % (8 GPUs) or 83.31 % (8 NPUs): pooled over a batch, sigmoid above 0.5, 96 x 96",
        homepage="https://gitee.com/ascend/ModelZoo-PyTorch",
        paper="arXiv:1807.10165",
    ),
]
