"""MindSpore models' ``unet_medical`` and ``unet_simple``, trained on ISBI 2012.

``unet_medical`` is the paper's network of valid convolutions, 572 in and 388 out, with a ReLU after each
transposed convolution; ``unet_simple`` pads, and has batch norm in its encoder alone. Both join (upsampled,
skip) and transpose without a bias. Grey images, ``value / 127.5 - 1``; the medical ones are resized to
388 and mirrored to 572.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.specs import Preprocessing, Resize
from segzoo.weights.layouts import Conversion, Transfer, number, plan

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint

_DEPTH = 5


def unet_medical(checkpoint: Checkpoint, *, size: int = 388) -> Conversion:
    """Convert a checkpoint of the network of valid convolutions.

    Args:
        checkpoint: the file.
        size: side of the square that images are stretched to; 388 is what 572 pixels lead to.
    """
    number("size", size, whole=True)
    moves = Transfer(checkpoint)
    width, in_channels = moves.shape("inc.double_conv.0.weight")[:2]
    _plain(moves, "inc.double_conv", "encoder.stages.0")
    for level in range(1, _DEPTH):
        _plain(moves, f"down{level}.maxpool_conv.1.double_conv", f"encoder.stages.{level}")
        source, target = f"up{level}", f"decoder.steps.{level - 1}"
        moves.conv(f"{source}.up", f"{target}.upsample.conv", transposed=True)
        _plain(moves, f"{source}.conv.double_conv", f"{target}.convs", up_first=width << (_DEPTH - 1 - level))
    moves.conv("outc.conv", "head")
    architecture = plan(
        "segzoo:unet",
        num_classes=moves.shape("outc.conv.weight")[0],
        in_channels=in_channels,
        options={
            "width": width,
            "upsample": "transpose",
            "upsample_relu": True,
            "norm": None,
            "padding": "valid",
        },
    )
    resize = Resize(mode="stretch", height=size, width=size, interpolation="bilinear", antialias=False)
    return Conversion(
        architecture=architecture, transfer=moves, preprocessing=_preprocessing(in_channels, resize)
    )


def unet_simple(checkpoint: Checkpoint) -> Conversion:
    """Convert a checkpoint of any ``feature_scale``, with batch norm or without."""
    moves = Transfer(checkpoint, norms="mindspore")
    width, in_channels = moves.shape("conv0.convs.0.0.weight")[:2]
    normed = "conv0.convs.0.1.gamma" in moves
    for level in range(_DEPTH):
        for half, name in enumerate(("first", "second")):
            source, target = f"conv{level}.convs.{half}", f"encoder.stages.{level}.{name}"
            if normed:
                moves.unit(f"{source}.0", f"{source}.1", target)
            else:
                moves.conv(f"{source}.0", f"{target}.conv")
    for level in range(1, _DEPTH):  # 1 is the finest
        source, target = f"up_concat{level}", f"decoder.steps.{_DEPTH - 1 - level}"
        moves.conv(f"{source}.up_conv", f"{target}.upsample.conv", transposed=True)
        up = width << (level - 1)
        moves.conv(f"{source}.conv.convs.0.0", f"{target}.convs.first.conv", up_first=up)
        moves.conv(f"{source}.conv.convs.1.0", f"{target}.convs.second.conv")
    moves.conv("final", "head")
    architecture = plan(
        "segzoo:unet/segzoo:plain",
        num_classes=moves.shape("final.weight")[0],
        in_channels=in_channels,
        encoder={"width": width, "norm": "batch" if normed else None},
        decoder={
            "widths": [width << level for level in reversed(range(_DEPTH - 1))],
            "upsample": "transpose",
            "norm": None,
        },
        options={},
    )
    return Conversion(
        architecture=architecture, transfer=moves, preprocessing=_preprocessing(in_channels, None)
    )


def _preprocessing(in_channels: int, resize: Resize | None) -> Preprocessing:
    half = (0.5,)
    return Preprocessing(channels="grey" if in_channels == 1 else "any", mean=half, std=half, resize=resize)


def _plain(moves: Transfer, source: str, target: str, *, up_first: int = 0) -> None:
    moves.conv(f"{source}.0", f"{target}.first.conv", up_first=up_first)
    moves.conv(f"{source}.2", f"{target}.second.conv")
