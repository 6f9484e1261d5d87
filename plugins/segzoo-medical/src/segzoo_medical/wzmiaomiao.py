"""WZMIAOMIAO/deep-learning-for-image-processing: U-Nets for the vessels of DRIVE, on three encoders.

Their own (any base width), VGG16 with batch norm, and MobileNetV3-Large. Files hold the training's state and
arguments too. Prediction keeps the image's size, normalises with DRIVE's mean and standard deviation,
and sets what is outside the field of view to background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.specs import Labels, Preprocessing, default_preprocessing
from segzoo.weights.layouts import Conversion, Transfer, plan

if TYPE_CHECKING:
    from segzoo.weights.layouts import Architecture, Checkpoint

_STEPS = (1, 2, 3, 4)
_MEAN, _STD = (0.709, 0.381, 0.224), (0.127, 0.079, 0.043)


def unet(checkpoint: Checkpoint) -> Conversion:
    """Convert a checkpoint of the U-Net with its own encoder."""
    moves = Transfer(checkpoint)
    width, in_channels = moves.shape("in_conv.0.weight")[:2]
    upsample = "transpose" if "up1.up.weight" in moves else "bilinear"
    _double(moves, "in_conv", "encoder.stages.0")
    for level in _STEPS:
        _double(moves, f"down{level}.1", f"encoder.stages.{level}")
        if upsample == "transpose":
            moves.conv(f"up{level}.up", f"decoder.steps.{level - 1}.upsample.conv", transposed=True)
    num_classes = _decoder(moves, "out_conv.0")
    architecture = plan(
        "segzoo:unet",
        num_classes=num_classes,
        in_channels=in_channels,
        options={"width": width, "upsample": upsample},
    )
    return _conversion(moves, architecture)


def vgg16(checkpoint: Checkpoint) -> Conversion:
    """Convert a checkpoint of the U-Net on VGG16 with batch norm."""
    moves = Transfer(checkpoint)
    moves.copy("backbone.", "encoder.backbone.features_")
    in_channels = moves.shape("backbone.0.weight")[1]
    return _on_backbone(moves, "segzoo:vgg16_bn", in_channels)


def mobilenet(checkpoint: Checkpoint) -> Conversion:
    """Convert a checkpoint of the U-Net on MobileNetV3-Large."""
    moves = Transfer(checkpoint)
    moves.copy("backbone.", "encoder.backbone.")
    in_channels = moves.shape("backbone.0.0.weight")[1]
    return _on_backbone(moves, "segzoo-medical:mobilenet-v3-large", in_channels)


def _on_backbone(moves: Transfer, encoder: str, in_channels: int) -> Conversion:
    widths = [moves.shape(f"up{step}.conv.3.weight")[0] for step in _STEPS]
    architecture = plan(
        f"segzoo:unet/{encoder}",
        num_classes=_decoder(moves, "conv.0"),
        in_channels=in_channels,
        decoder={"widths": widths, "middle": "half"},
        options={},
    )
    return _conversion(moves, architecture)


def _decoder(moves: Transfer, head: str) -> int:
    """Move the decoder and its head; return the number of classes."""
    for step in _STEPS:
        _double(moves, f"up{step}.conv", f"decoder.steps.{step - 1}.convs")
    moves.conv(head, "head")
    return moves.shape(f"{head}.weight")[0]


def _double(moves: Transfer, source: str, target: str) -> None:
    moves.unit(f"{source}.0", f"{source}.1", f"{target}.first")
    moves.unit(f"{source}.3", f"{source}.4", f"{target}.second")


def _conversion(moves: Transfer, architecture: Architecture) -> Conversion:
    colour = architecture.in_channels == 3
    vessels = Labels(classes=("background", "vessel"), palette=((0, 0, 0), (255, 255, 255)), values=(0, 255))
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=Preprocessing(mean=_MEAN, std=_STD)
        if colour
        else default_preprocessing(architecture.in_channels),
        labels=vessels if architecture.num_classes == 2 else None,
        notes=("the program sets pixels outside DRIVE's field of view to background",),
    )
