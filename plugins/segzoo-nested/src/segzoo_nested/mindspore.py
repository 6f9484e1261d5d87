"""MindSpore models' ``unet_nested``: UNet++ with transposed convolutions, batch norm in the encoder alone.

A node joins (upsampled, nodes before), and no convolution has a bias. Grey images, ``value / 127.5 - 1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.specs import Preprocessing
from segzoo.weights.layouts import Conversion, Transfer, plan
from segzoo_nested.layout import heads

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint

_DEPTH = 4


def unet_nested(checkpoint: Checkpoint) -> Conversion:
    """Convert a checkpoint of any ``feature_scale``, with batch norm or without."""
    moves = Transfer(checkpoint, norms="mindspore")
    width, in_channels = moves.shape("conv00.convs.0.0.weight")[:2]
    normed = "conv00.convs.0.1.gamma" in moves
    for level in range(_DEPTH + 1):
        for half, name in enumerate(("first", "second")):
            source, target = f"conv{level}0.convs.{half}", f"encoder.stages.{level}.{name}"
            if normed:
                moves.unit(f"{source}.0", f"{source}.1", target)
            else:
                moves.conv(f"{source}.0", f"{target}.conv")
    for j in range(1, _DEPTH + 1):
        for i in range(_DEPTH - j + 1):
            source, target = f"up_concat{i}{j}", f"decoder.nodes.{i}_{j}"
            moves.conv(f"{source}.up_conv", f"{target}.upsample.conv", transposed=True)
            moves.conv(f"{source}.conv.convs.0.0", f"{target}.convs.first.conv", up_first=width << i)
            moves.conv(f"{source}.conv.convs.1.0", f"{target}.convs.second.conv")
    num_classes, deep = heads(moves)
    return Conversion(
        architecture=plan(
            "segzoo-nested:nested/segzoo:plain",
            num_classes=num_classes,
            in_channels=in_channels,
            encoder={"width": width, "norm": "batch" if normed else None},
            decoder={
                "widths": [width << level for level in range(_DEPTH)],
                "upsample": "transpose",
                "norm": None,
                "deep_supervision": deep,
            },
            options={},
        ),
        transfer=moves,
        preprocessing=Preprocessing(
            channels="grey" if in_channels == 1 else "any",
            mean=(0.5,),
            std=(0.5,),
        ),
    )
