"""Well-known weights on the Hugging Face Hub that become networks of this package: SegFormer and DPT.

None is pinned by a commit here: the commit and the hashes of the files are recorded when they are first
loaded, and kept to. What their repositories say of network and images decides.
"""

from __future__ import annotations

from segzoo.specs import WeightsSpec, known_labels

_NVIDIA = (
    "NVIDIA Source Code License for SegFormer: non-commercial, for research or evaluation only; "
    "https://github.com/NVlabs/SegFormer/blob/master/LICENSE"
)
#: What the data are called, how far the authors tested, and which size of images is in the repository's name.
_DATA = {
    "ade20k": ("ADE20K scene parsing, 150 classes", "shorter side at the training's size"),
    "cityscapes": ("Cityscapes, fine annotations, 19 classes", "windows of 1024x1024"),
}
#: SegFormer B0 to B5: mIoU on ADE20K and Cityscapes (Xie et al., 2021, table 1), bytes.
_SEGFORMERS = (
    (37.4, 76.2, 15_000_000),
    (42.2, 78.5, 55_000_000),
    (46.5, 81.0, 110_000_000),
    (49.4, 81.7, 189_000_000),
    (50.3, 82.3, 257_000_000),
    (51.0, 82.4, 339_000_000),
)


def catalogue() -> list[WeightsSpec]:
    """Return all entries."""
    return [
        *(
            _segformer(level, data, score, size)
            for level, (ade, streets, size) in enumerate(_SEGFORMERS)
            for data, score in (("ade20k", ade), ("cityscapes", streets))
        ),
        _dpt(),
    ]


def _segformer(level: int, data: str, score: float, size: int) -> WeightsSpec:
    labels, (told, contract) = known_labels(data), _DATA[data]
    side = 640 if level == 5 else 512
    place = f"ade-{side}-{side}" if data == "ade20k" else "cityscapes-1024-1024"
    repository = f"nvidia/segformer-b{level}-finetuned-{place}"
    return WeightsSpec(
        name=f"segformer-b{level}-{data}",
        summary=f"SegFormer-B{level}, trained on {told}; not for commercial use",
        hub=repository,
        bytes=size,
        model=f"segzoo-decoders:segformer-b{level}",
        classes=labels.classes,
        labels=labels,
        data=told,
        licence=_NVIDIA,
        claimed=f"mIoU {score} % on the validation part, single scale, {contract}: by the authors with their "
        "own program (Xie et al., 2021, arXiv:2105.15203, table 1)",
        homepage=f"https://huggingface.co/{repository}",
    )


def _dpt() -> WeightsSpec:
    labels, (told, _) = known_labels("ade20k"), _DATA["ade20k"]
    return WeightsSpec(
        name="dpt-large-ade20k",
        summary=f"DPT-Large, trained on {told}",
        hub="Intel/dpt-large-ade",
        bytes=1_370_000_000,
        model="segzoo-decoders:dpt/segzoo-decoders:plain-vit",
        encoder={
            "width": 1024,
            "depth": 24,
            "heads": 16,
            "hidden": 4096,
            "grid": [24, 24],
            "layers": [5, 11, 17, 23],
            "class_token": "concat",
            "eps": 1e-12,
        },
        decoder={"widths": [256, 512, 1024, 1024], "readout": "project", "norm": "batch"},
        classes=labels.classes,
        labels=labels,
        data=told,
        licence="Apache-2.0",
        claimed="nothing for these weights: the mIoU of 49.02 % that their page quotes is of DPT-Hybrid "
        "(Ranftl et al., 2021, arXiv:2103.13413)",
        homepage="https://huggingface.co/Intel/dpt-large-ade",
    )
