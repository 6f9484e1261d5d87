"""4uiiurz1/pytorch-nested-unet: UNet++ and the plain U-Net that it was compared with.

Node ``x[i][j]`` is called ``conv{i}_{j}``; its convolutions have biases in front of batch norms. Images are
read as BGR, normalised with ImageNet's mean and standard deviation in that order, and then divided by
255 once more. Each class has a sigmoid of its own, and there is no background. The Ascend port's files
differ in their container alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segzoo.specs import IMAGENET, Preprocessing, Resize
from segzoo.weights.layouts import Conversion, Transfer, number, plan

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint

_DEPTH = 4


def pytorch_nested_unet(checkpoint: Checkpoint, *, size: int = 96, threshold: float = 0.5) -> Conversion:
    """Convert a checkpoint of either network, with or without deep supervision.

    Args:
        checkpoint: the file.
        size: side of the square that images are stretched to, which files do not say.
        threshold: above which probability a pixel belongs to a class.
    """
    number("size", size, whole=True)
    number("threshold", threshold)
    moves = Transfer(checkpoint)
    width, in_channels = moves.shape("conv0_0.conv1.weight")[:2]
    nested = "conv0_1.conv1.weight" in moves
    for level in range(_DEPTH + 1):
        _node(moves, f"conv{level}_0", f"encoder.stages.{level}")
    if nested:
        for j in range(1, _DEPTH + 1):
            for i in range(_DEPTH - j + 1):
                _node(moves, f"conv{i}_{j}", f"decoder.nodes.{i}_{j}.convs")
    else:
        for step in range(_DEPTH):
            _node(moves, f"conv{_DEPTH - 1 - step}_{step + 1}", f"decoder.steps.{step}.convs")
    num_classes, deep = heads(moves)
    widths = [width << level for level in range(_DEPTH)]
    decoder = {"widths": widths, "deep_supervision": deep} if nested else {"widths": widths[::-1]}
    return Conversion(
        architecture=plan(
            "segzoo-nested:nested/segzoo:plain" if nested else "segzoo:unet/segzoo:plain",
            num_classes=num_classes,
            in_channels=in_channels,
            encoder={"width": width},
            decoder=decoder,
            options={},
        ),
        transfer=moves,
        preprocessing=preprocessing(in_channels, size),
        threshold=threshold,
        rule="sigmoids",
    )


def heads(moves: Transfer) -> tuple[int, bool]:
    """Move the one head, or all that deep supervision has; return its classes and whether it does."""
    deep = "final1.weight" in moves
    last = f"final{_DEPTH}" if deep else "final"
    moves.conv(last, "head")
    for side in range(1, _DEPTH if deep else 0):
        moves.conv(f"final{side}", f"side_heads.{side - 1}")
    return moves.shape(f"{last}.weight")[0], deep


def preprocessing(in_channels: int, size: int) -> Preprocessing:
    """Return what the program does: ``(value / 255 - mean) / std / 255``, blue first."""
    resize = Resize(mode="stretch", height=size, width=size, interpolation="bilinear", antialias=False)
    if in_channels != 3:
        return Preprocessing(channels="grey" if in_channels == 1 else "any", resize=resize)
    return replace(IMAGENET, channels="bgr", std=tuple(255 * std for std in IMAGENET.std), resize=resize)


def _node(moves: Transfer, source: str, target: str) -> None:
    moves.unit(f"{source}.conv1", f"{source}.bn1", f"{target}.first")
    moves.unit(f"{source}.conv2", f"{source}.bn2", f"{target}.second")
