"""Well-known weights on the Hugging Face Hub that run as the library's own networks: BEiT.

None is pinned by a commit here: the commit and the hashes of the files are recorded when they are first
loaded, and kept to. What their repositories say of network and images decides.
"""

from __future__ import annotations

from segzoo.specs import WeightsSpec, known_labels

_DATA = "ADE20K scene parsing, 150 classes"
#: Widths, what the maps are taken after, mIoU with one scale, and with several and mirrored; bytes.
_BEITS = {
    "base": ((768, 12, 12, 3072), [3, 5, 7, 11], 53.6, 54.2, 900_000_000),
    "large": ((1024, 24, 16, 4096), [7, 11, 15, 23], 56.7, 57.0, 2_260_000_000),
}


def catalogue() -> list[WeightsSpec]:
    """Return all entries."""
    return [_beit(name) for name in _BEITS]


def _beit(name: str) -> WeightsSpec:
    (width, layers, heads, hidden), taps, single, several, size = _BEITS[name]
    labels, repository = known_labels("ade20k"), f"microsoft/beit-{name}-finetuned-ade-640-640"
    config = {
        "model_type": "beit",
        "image_size": 640,
        "use_relative_position_bias": True,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": hidden,
        "out_indices": taps,
    }
    return WeightsSpec(
        name=f"beit-{name}-ade20k",
        summary=f"BEiT-{name.capitalize()} with a pyramid and UPerNet, trained on {_DATA}",
        hub=repository,
        bytes=size,
        model="segzoo-transformers:transformers",
        options={"config": config},
        classes=labels.classes,
        labels=labels,
        data=_DATA,
        licence="Apache-2.0",
        claimed=f"mIoU {single} % on the validation part, single scale, windows of 640x640; {several} % with "
        "several scales and mirrored: by the authors with their own program (microsoft/unilm, beit)",
        homepage=f"https://huggingface.co/{repository}",
    )
