"""The weights that segmentation_models.pytorch publishes on the Hugging Face Hub, as ``smp-hub/...``.

All were converted from others' weights: SegFormer's from the authors', UPerNet's from those of
``openmmlab/upernet-...`` on the Hub, DPT's from the authors'. Their pages claim no scores. Their repositories
keep the preprocessing in a file of albumentations, which no config names, so it is repeated here. None is
pinned by a commit: the commit and the hashes of the files are recorded when they are first loaded, and
kept to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.specs import Preprocessing, Resize, WeightsSpec, known_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

_NVIDIA = (
    "NVIDIA Source Code License for SegFormer: non-commercial, for research or evaluation only; "
    "https://github.com/NVlabs/SegFormer/blob/master/LICENSE"
)
_DATA = {
    "ade20k": "ADE20K scene parsing, 150 classes",
    "cityscapes": "Cityscapes, fine annotations, 19 classes",
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Bytes of SegFormer B0 to B5.
_SEGFORMERS = (15_000_000, 54_700_000, 109_000_000, 189_000_000, 257_000_000, 339_000_000)
#: Encoders of UPerNet in the library's words; bytes.
_UPERNETS = {
    "convnext-tiny": ("convnext_tiny", 237_000_000),
    "convnext-small": ("convnext_small", 324_000_000),
    "convnext-base": ("convnext_base", 484_000_000),
    "convnext-large": ("convnext_large", 934_000_000),
    "convnext-xlarge": ("convnext_xlarge", 1_550_000_000),
    "swin-tiny": ("swin_tiny_patch4_window7_224", 236_000_000),
    "swin-small": ("swin_small_patch4_window7_224", 322_000_000),
    "swin-large": ("swin_large_patch4_window12_384", 934_000_000),
}


def catalogue() -> list[WeightsSpec]:
    """Return all entries."""
    return [*_segformers(), *_upernets(), _dpt()]


def _segformers() -> Iterator[WeightsSpec]:
    for level, size in enumerate(_SEGFORMERS):
        options = {
            "encoder_name": f"mit_b{level}",
            "decoder_segmentation_channels": 768 if level > 1 else 256,
        }
        small = 640 if level == 5 else 512
        for data, side, place in (("ade20k", small, "ade"), ("cityscapes", 1024, "city")):
            yield _entry(
                f"segformer-b{level}",
                f"segformer-b{level}-{side}x{side}-{place}-160k",
                options,
                Preprocessing(mean=_MEAN, std=_STD, resize=_stretch(side)),
                data=data,
                licence=_NVIDIA,
                made=f"the authors' own weights, of which segformer-b{level}-{data} says what they reached",
                size=size,
            )


def _upernets() -> Iterator[WeightsSpec]:
    for name, (encoder, size) in _UPERNETS.items():
        options: dict[str, Any] = {"encoder_name": f"tu-{encoder}", "decoder_channels": 512}
        if name.startswith("swin"):
            options["encoder_options"] = {"img_size": 512}
        yield _entry(
            f"upernet-{name}",
            f"upernet-{name}",
            options,
            Preprocessing(mean=_MEAN, std=_STD, resize=_stretch(512)),
            licence=f"none stated; those that they were made of, openmmlab/upernet-{name}, are MIT",
            made=f"openmmlab/upernet-{name}, of which upernet-{name}-ade20k says what it reached",
            size=size,
        )


def _dpt() -> WeightsSpec:
    half = (0.5, 0.5, 0.5)
    resize = Resize(mode="bounds", short=480, long=480, interpolation="bicubic", antialias=False)
    return _entry(
        "dpt-large",
        "dpt-large-ade20k",
        {"encoder_name": "tu-vit_large_patch16_384", "encoder_options": {"dynamic_img_size": True}},
        Preprocessing(mean=half, std=half, resize=resize),
        licence="not known here, see the page of the weights; the authors' program is MIT",
        made="the authors' own weights (Ranftl et al., 2021, arXiv:2103.13413)",
        size=1_370_000_000,
    )


def _stretch(side: int) -> Resize:
    return Resize(mode="stretch", height=side, width=side, interpolation="bilinear", antialias=False)


def _entry(
    name: str,
    repository: str,
    options: dict[str, Any],
    preprocessing: Preprocessing,
    *,
    licence: str,
    made: str,
    size: int,
    data: str = "ade20k",
) -> WeightsSpec:
    labels, free = known_labels(data), licence != _NVIDIA
    return WeightsSpec(
        name=f"smp-{name}-{data}",
        summary=f"{name} in segmentation_models.pytorch, trained on {_DATA[data]}"
        f"{'' if free else '; not for commercial use'}",
        hub=f"smp-hub/{repository}",
        bytes=size,
        model=f"segzoo-smp:smp-{name.partition('-')[0]}",
        options=options,
        classes=labels.classes,
        labels=labels,
        preprocessing=preprocessing,
        data=_DATA[data],
        licence=licence,
        claimed=f"nothing; made of {made}",
        homepage=f"https://huggingface.co/smp-hub/{repository}",
    )
