"""torchvision's segmentation checkpoints, as networks of segzoo.

Files are bare state dicts, or what the reference training saves around one. What torchvision does beside
the tensors is the same in all of them: stride 8 by dilation on a ResNet, 16 on MobileNetV3, and rates 12,
24 and 36.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.errors import WeightsError
from segzoo.specs import IMAGENET
from segzoo.weights.layouts import Conversion, Transfer, plan

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint

#: Blocks of the third stage of a ResNet.
_RESNETS = {6: "resnet50", 23: "resnet101"}


def fcn(checkpoint: Checkpoint) -> Conversion:
    """Convert FCN on ResNet-50 or ResNet-101."""
    moves = Transfer(checkpoint)
    backbone = _backbone(moves)
    moves.unit("classifier.0", "classifier.1", "decoder.convs.0")
    moves.conv("classifier.4", "head")
    return _conversion(moves, f"fcn_{backbone}", moves.shape("classifier.4.weight")[0])


def deeplabv3(checkpoint: Checkpoint) -> Conversion:
    """Convert DeepLabV3 on ResNet-50, ResNet-101 or MobileNetV3-Large."""
    moves = Transfer(checkpoint)
    backbone = _backbone(moves)
    branches = ("pixel", "atrous.0", "atrous.1", "atrous.2")
    for index, name in enumerate(branches):
        source = f"classifier.0.convs.{index}"
        moves.unit(f"{source}.0", f"{source}.1", f"decoder.aspp.{name}")
    moves.unit("classifier.0.convs.4.1", "classifier.0.convs.4.2", "decoder.aspp.pool")
    moves.unit("classifier.0.project.0", "classifier.0.project.1", "decoder.project.0")
    moves.unit("classifier.1", "classifier.2", "decoder.project.1")
    moves.conv("classifier.4", "head")
    return _conversion(moves, f"deeplabv3_{backbone}", moves.shape("classifier.4.weight")[0])


def lraspp(checkpoint: Checkpoint) -> Conversion:
    """Convert LR-ASPP on MobileNetV3-Large."""
    moves = Transfer(checkpoint)
    backbone = _backbone(moves)
    moves.unit("classifier.cbr.0", "classifier.cbr.1", "decoder.values")
    moves.move("classifier.scale.1.weight", "decoder.weights.weight")
    parts = [f"classifier.{part}_classifier" for part in ("low", "high")]
    # The sum of two 1x1 convolutions is one of both maps side by side.
    moves.join([f"{part}.weight" for part in parts], "head.weight", dim=1)
    moves.add([f"{part}.bias" for part in parts], "head.bias")
    return _conversion(moves, f"lraspp_{backbone}", moves.shape(f"{parts[0]}.weight")[0])


def _backbone(moves: Transfer) -> str:
    """Move the encoder, and return its name."""
    stem = "backbone.conv1.weight"
    if stem in moves:
        blocks = next(count for count in range(99) if f"backbone.layer3.{count}.conv1.weight" not in moves)
        if blocks not in _RESNETS:
            raise WeightsError(
                f"{moves.file} has a ResNet with {blocks} blocks in its third stage; torchvision's networks "
                "have ResNet-50 (6) or ResNet-101 (23)"
            )
        moves.copy("backbone.", "encoder.backbone.")
        return _RESNETS[blocks]
    moves.shape("backbone.0.0.weight")
    moves.copy("backbone.", "encoder.backbone.")
    return "mobilenet_v3_large"


def _conversion(moves: Transfer, name: str, num_classes: int) -> Conversion:
    moves.leave_out("aux_classifier.")
    stem = next(s for s in ("backbone.conv1.weight", "backbone.0.0.weight") if s in moves)
    notes = ("the auxiliary head, which only training uses, is left out",) if moves.left_out else ()
    return Conversion(
        architecture=plan(
            f"segzoo-torchvision:{name}",
            num_classes=num_classes,
            in_channels=moves.shape(stem)[1],
            options={},
        ),
        transfer=moves,
        preprocessing=IMAGENET,
        notes=notes,
    )
