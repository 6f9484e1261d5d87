"""Well-known weights of MMSegmentation that become networks of this package.

Files of its own host have the first digits of their hash in their names; what they reach is what the
metafiles of its configs say. The UPerNets are those that the team of transformers put onto the Hub. None
of these is pinned by a commit here: the commit and the hashes of the files are recorded when they are first
loaded, and kept to. What their repositories say of network and images decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.specs import Preprocessing, Resize, WeightsSpec, known_labels
from segzoo_mmseg.sizes import CONVNEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADE = "ADE20K scene parsing, 150 classes"
#: ConvNeXt: pixels of a crop, mIoU, bytes.
_CONVNEXTS = {
    "tiny": (512, 46.11, 241_000_000),
    "small": (512, 48.56, 328_000_000),
    "base": (512, 48.71, 489_000_000),
    "large": (640, 53.16, 940_000_000),
    "xlarge": (640, 53.58, 1_560_000_000),
}
#: Swin: depths, width, heads, window, mIoU, bytes.
_SWINS = {
    "tiny": ([2, 2, 6, 2], 96, [3, 6, 12, 24], 7, 44.41, 240_000_000),
    "small": ([2, 2, 18, 2], 96, [3, 6, 12, 24], 7, 47.72, 326_000_000),
    "base": ([2, 2, 18, 2], 128, [4, 8, 16, 32], 12, 50.76, 484_000_000),
    "large": ([2, 2, 18, 2], 192, [6, 12, 24, 48], 12, 52.25, 940_000_000),
}


def catalogue() -> list[WeightsSpec]:
    """Return all entries."""
    return [*_streets(), *_upernets()]


def _streets() -> Iterator[WeightsSpec]:
    encoder = {"depth": 50, "deep_stem": True, "stage_strides": [1, 2, 1, 1], "dilations": [1, 1, 2, 4]}
    encoder["contract_dilation"] = True
    yield _own("PSPNet", "20200606_112131-2376f12b", 78.55, {**encoder, "out_indices": [3]}, {"width": 512})
    aspp = {"width": 512, "rates": [12, 24, 36], "project": [3], "pool_first": True, "skip_width": 48}
    yield _own("DeepLabV3plus", "20200606_114049-f9fb496d", 80.09, {**encoder, "out_indices": [0, 3]}, aspp)


def _own(
    family: str, stamp: str, score: float, encoder: dict[str, Any], decoder: dict[str, Any]
) -> WeightsSpec:
    labels, kind = known_labels("cityscapes"), family.lower()
    file = f"{kind}_r50-d8_512x1024_80k_cityscapes"
    shown = family.replace("plus", "+")
    return WeightsSpec(
        name=f"{kind}-r50-cityscapes",
        summary=f"{shown} with a ResNet-50 encoder, trained on Cityscapes",
        url=f"https://download.openmmlab.com/mmsegmentation/v0.5/{kind}/{file}/{file}_{stamp}.pth",
        sha256=stamp.rpartition("-")[2],
        layout="segzoo-mmseg:mmsegmentation",
        model=f"segzoo-decoders:{kind}/segzoo-mmseg:mmseg-resnet",
        encoder=encoder,
        decoder=decoder,
        classes=labels.classes,
        labels=labels,
        preprocessing=Preprocessing(
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            resize=Resize(mode="bounds", short=1024, long=2048, interpolation="bilinear", antialias=False),
        ),
        data="Cityscapes, fine annotations, 19 classes",
        licence="Apache-2.0",
        claimed=f"mIoU {score} % on the validation part, single scale, whole images of 1024x2048: "
        f"MMSegmentation's (its configs/{kind})",
        homepage=f"https://github.com/open-mmlab/mmsegmentation/tree/main/configs/{kind}",
    )


def _upernets() -> Iterator[WeightsSpec]:
    for name, (crop, score, size) in _CONVNEXTS.items():
        depths, widths = CONVNEXTS[name]
        options = {"depths": [*depths], "widths": [*widths]}
        yield _upernet(f"convnext-{name}", f"ConvNeXt-{name.capitalize()}", options, crop, score, size)
    for name, (depths, width, heads, window, score, size) in _SWINS.items():
        options = {"depths": depths, "embed_dims": width, "num_heads": heads, "window_size": window}
        yield _upernet(f"swin-{name}", f"Swin-{name.capitalize()}", options, 512, score, size)


def _upernet(
    name: str, backbone: str, encoder: dict[str, Any], crop: int, score: float, size: int
) -> WeightsSpec:
    labels, repository = known_labels("ade20k"), f"openmmlab/upernet-{name}"
    family = name.partition("-")[0]
    return WeightsSpec(
        name=f"upernet-{name}-ade20k",
        summary=f"UPerNet with a {backbone} encoder, trained on {_ADE}",
        hub=repository,
        bytes=size,
        model=f"segzoo-decoders:upernet/segzoo-mmseg:mmseg-{family}",
        encoder=encoder,
        decoder={"width": 512},
        classes=labels.classes,
        labels=labels,
        data=_ADE,
        licence="MIT",
        claimed=f"mIoU {score} % on the validation part, single scale, trained on crops of {crop}x{crop}: "
        f"MMSegmentation's of the checkpoint that it was made of (its configs/{family})",
        homepage=f"https://huggingface.co/{repository}",
    )
