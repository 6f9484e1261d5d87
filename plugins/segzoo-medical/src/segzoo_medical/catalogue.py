"""The weights that MindSpore publishes: membranes of nerve cells under the electron microscope.

Their hashes are published with them. MindSpore's README claims two numbers and does not say which file
either belongs to; the files' names say 91 and 88.
"""

from __future__ import annotations

from segzoo.specs import Labels, Preprocessing, Resize, WeightsSpec

_LABELS = Labels(classes=("membrane", "cell"))
_HOST = "https://download.mindspore.cn/model_zoo"
_CLAIM = (
    "Dice 0.{name} by the file's name; 0.9111 and 0.9086 in the program's README, for files that it "
    "does not name: soft Dice over both classes, fold 1 of 5"
)


def _weights(name: str, release: str, file: str, *, sha256: str, accuracy: str) -> WeightsSpec:
    return WeightsSpec(
        name=name,
        url=f"{_HOST}/{release}/{file}/{file}.ckpt",
        sha256=sha256,
        model="segzoo:unet",
        options={
            "width": 64,
            "upsample": "transpose",
            "upsample_relu": True,
            "norm": None,
            "padding": "valid",
        },
        in_channels=1,
        classes=_LABELS.classes,
        labels=_LABELS,
        preprocessing=Preprocessing(
            channels="grey",
            mean=(0.5,),
            std=(0.5,),
            resize=Resize(mode="stretch", height=388, width=388, interpolation="bilinear", antialias=False),
        ),
        summary=f"nerve cells in electron microscopy, MindSpore {release[1:]}",
        data="ISBI 2012 EM segmentation challenge",
        licence="Apache-2.0",
        claimed=_CLAIM.format(name=accuracy),
        homepage="https://gitee.com/mindspore/models/tree/master/official/cv/Unet",
        paper="arXiv:1505.04597",
    )


WEIGHTS = [
    _weights(
        "unet-isbi-mindspore",
        "r1.1",
        "unet_ascend_v111_isbi_offical_cv_bs16_acc91",
        sha256="8f8ba6dd04f153391cf71b9a7cadf57052f221158c36fd13f3b944bf4d792de8",
        accuracy="91",
    ),
    _weights(
        "unet-isbi-mindspore-1.2",
        "r1.2",
        "unet_ascend_v120_isbi_official_cv_bs16_acc88",
        sha256="8958839c6c52bc01e554ed0310a1dab6f50ca70acb8fe77270569b06d0b87b9a",
        accuracy="88",
    ),
]
