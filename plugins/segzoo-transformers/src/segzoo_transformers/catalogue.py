"""Well-known weights on the Hugging Face Hub, by name.

None is pinned by a commit here: the commit and the hashes of the files are recorded when they are first
loaded, and kept to. What their repositories say of network and images decides; this says what they do not:
colours, licence and what their authors claim. Networks of segzoo are made of them where a plug-in has the
layout for that, and the library's own where not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.specs import WeightsSpec, known_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.specs import Labels

ADE20K, CITYSCAPES = known_labels("ade20k"), known_labels("cityscapes")
_ADE, _STREETS = "ADE20K scene parsing, 150 classes", "Cityscapes, fine annotations, 19 classes"
_NVIDIA = (
    "NVIDIA Source Code License for SegFormer: non-commercial use, for research and evaluation alone; "
    "https://github.com/NVlabs/SegFormer/blob/master/LICENSE"
)
_SEGFORMER_CLAIM = (
    "mIoU {score} % on the validation part of {data}, single scale, as measured by the authors (Xie et al., "
    "2021, arXiv:2105.15203); there with the authors' own code and sizes"
)
#: Of SegFormer B0 to B5: depths, widths of the stages, width of the decoder, mIoU on ADE20K and Cityscapes.
_NARROW, _WIDE = (32, 64, 160, 256), (64, 128, 320, 512)
_SEGFORMERS = (
    ((2, 2, 2, 2), _NARROW, 256, 37.4, 76.2, 15_000_000),
    ((2, 2, 2, 2), _WIDE, 256, 42.2, 78.5, 55_000_000),
    ((3, 4, 6, 3), _WIDE, 768, 46.5, 81.0, 110_000_000),
    ((3, 4, 18, 3), _WIDE, 768, 49.4, 81.7, 189_000_000),
    ((3, 8, 27, 3), _WIDE, 768, 50.3, 82.3, 256_000_000),
    ((3, 6, 40, 3), _WIDE, 768, 51.0, 82.4, 339_000_000),
)
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
#: Of ConvNeXt: depths, widths, bytes.
_CONVNEXTS = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768), 240_000_000),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768), 328_000_000),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024), 488_000_000),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536), 940_000_000),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048), 1_560_000_000),
}
#: Of Swin: depths, width, heads, window, bytes.
_SWINS = {
    "tiny": ((2, 2, 6, 2), 96, (3, 6, 12, 24), 7, 240_000_000),
    "small": ((2, 2, 18, 2), 96, (3, 6, 12, 24), 7, 326_000_000),
    "base": ((2, 2, 18, 2), 128, (4, 8, 16, 32), 12, 484_000_000),
    "large": ((2, 2, 18, 2), 192, (6, 12, 24, 48), 12, 936_000_000),
}
_NO_CLAIM = "nothing is stated here: see the page of the weights"


def catalogue() -> list[WeightsSpec]:
    """Return all entries."""
    return [*_segformers(), *_upernets(), *_vision_transformers()]


def _segformers() -> Iterator[WeightsSpec]:
    for index, (depths, widths, decoder, ade, streets, size) in enumerate(_SEGFORMERS):
        side = 640 if index == 5 else 512
        for data, labels, score, repository in (
            ("ade20k", ADE20K, ade, f"nvidia/segformer-b{index}-finetuned-ade-{side}-{side}"),
            ("cityscapes", CITYSCAPES, streets, f"nvidia/segformer-b{index}-finetuned-cityscapes-1024-1024"),
        ):
            told = _ADE if labels is ADE20K else _STREETS
            yield _entry(
                f"segformer-b{index}-{data}",
                f"SegFormer-B{index}, trained on {told}; not for commercial use",
                repository,
                labels,
                told,
                {
                    "model_type": "segformer",
                    "depths": list(depths),
                    "hidden_sizes": list(widths),
                    "decoder_hidden_size": decoder,
                },
                licence=_NVIDIA,
                claimed=_SEGFORMER_CLAIM.format(score=score, data=told.split(",")[0]),
                size=size,
            )


def _upernets() -> Iterator[WeightsSpec]:
    for name, (depths, widths, size) in _CONVNEXTS.items():
        backbone = {"model_type": "convnext", "depths": list(depths), "hidden_sizes": list(widths)}
        yield _upernet(f"convnext-{name}", "ConvNeXt", backbone, widths[2], size)
    for name, (depths, width, heads, window, size) in _SWINS.items():
        backbone = {
            "model_type": "swin",
            "depths": list(depths),
            "embed_dim": width,
            "num_heads": list(heads),
            "window_size": window,
        }
        yield _upernet(f"swin-{name}", "Swin", backbone, 4 * width, size)


def _upernet(name: str, family: str, backbone: dict[str, Any], middle: int, size: int) -> WeightsSpec:
    return _entry(
        f"upernet-{name}-ade20k",
        f"UPerNet on {family} {name.rpartition('-')[2]}, trained on {_ADE}",
        f"openmmlab/upernet-{name}",
        ADE20K,
        _ADE,
        {
            "model_type": "upernet",
            "backbone_config": {**backbone, "out_features": _STAGES},
            "auxiliary_in_channels": middle,
        },
        licence="MIT",
        claimed=_NO_CLAIM,
        size=size,
    )


def _vision_transformers() -> Iterator[WeightsSpec]:
    base = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    large["intermediate_size"] = 4096
    yield _entry(
        "dpt-large-ade20k",
        f"DPT-Large, trained on {_ADE}",
        "Intel/dpt-large-ade",
        ADE20K,
        _ADE,
        {"model_type": "dpt", "image_size": 480, "use_batch_norm_in_fusion_residual": True, **large},
        licence="Apache-2.0",
        claimed="mIoU 47.63 % on the validation part of ADE20K, as measured by the authors (Ranftl et al., "
        "2021, arXiv:2103.13413); there with the authors' own code and sizes",
        size=1_370_000_000,
    )
    for name, sizes, taps, claimed, size in (
        ("base", base, [3, 5, 7, 11], "53.6", 655_000_000),
        ("large", large, [7, 11, 15, 23], "57.0", 1_765_000_000),
    ):
        yield _entry(
            f"beit-{name}-ade20k",
            f"BEiT-{name.capitalize()} with a pyramid and UPerNet, trained on {_ADE}",
            f"microsoft/beit-{name}-finetuned-ade-640-640",
            ADE20K,
            _ADE,
            {
                "model_type": "beit",
                "image_size": 640,
                "use_relative_position_bias": True,
                "out_indices": taps,
                **sizes,
            },
            licence="Apache-2.0",
            claimed=f"mIoU {claimed} % on the validation part of ADE20K, several scales and mirrored, as "
            "measured by the authors (Bao et al., 2021, arXiv:2106.08254)",
            size=size,
        )


def _entry(
    name: str,
    summary: str,
    repository: str,
    labels: Labels,
    data: str,
    config: dict[str, Any],
    *,
    licence: str,
    claimed: str,
    size: int,
) -> WeightsSpec:
    return WeightsSpec(
        name=name,
        summary=summary,
        hub=repository,
        bytes=size,
        model="transformers",
        options={"config": config},
        classes=labels.classes,
        labels=labels,
        data=data,
        licence=licence,
        claimed=claimed,
        homepage=f"https://huggingface.co/{repository}",
    )
