"""torchvision's ImageNet classifiers, as encoders: their features are kept, their classifiers left out.

The result fits the timm backbones of the same networks. torchvision's MobileNetV3 has batch norms with
epsilon 1e-3, timm's with 1e-5; the running variances compensate for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.config import Architecture
from segzoo.specs import IMAGENET
from segzoo.weights.layouts import Conversion, Transfer

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint

_EPS = 1e-3
#: timm's stages of MobileNetV3-Large: (first block in torchvision, blocks).
_STAGES = ((1, 1), (2, 2), (4, 3), (7, 4), (11, 2), (13, 3))


def vgg16(checkpoint: Checkpoint) -> Conversion:
    """Convert VGG16 without batch norm."""
    return _vgg(checkpoint, "segzoo:vgg16")


def vgg16_bn(checkpoint: Checkpoint) -> Conversion:
    """Convert VGG16 with batch norm."""
    return _vgg(checkpoint, "segzoo:vgg16_bn")


def resnet50(checkpoint: Checkpoint) -> Conversion:
    """Convert ResNet-50."""
    moves = Transfer(checkpoint)
    moves.leave_out("fc.")
    moves.copy("", "backbone.")
    return _encoder(moves, "timm:resnet50", moves.shape("conv1.weight")[1])


def mobilenet_v3_large(checkpoint: Checkpoint) -> Conversion:
    """Convert MobileNetV3-Large."""
    moves = Transfer(checkpoint)
    moves.leave_out("classifier.")
    _unit(moves, "features.0", "backbone.conv_stem", "backbone.bn1")
    for stage, (first, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            _block(moves, f"features.{first + block}.block", f"backbone.blocks.{stage}.{block}")
    _unit(moves, "features.16", "backbone.blocks.6.0.conv", "backbone.blocks.6.0.bn1")
    return _encoder(moves, "timm:mobilenetv3_large_100", moves.shape("features.0.0.weight")[1])


def _vgg(checkpoint: Checkpoint, encoder: str) -> Conversion:
    moves = Transfer(checkpoint)
    moves.leave_out("classifier.")
    moves.copy("features.", "backbone.features_")
    return _encoder(moves, encoder, moves.shape("features.0.weight")[1])


def _block(moves: Transfer, source: str, target: str) -> None:
    """Move an inverted residual; the first one does not expand, some have squeeze-and-excite."""
    squeezes = [part for part in range(4) if f"{source}.{part}.fc1.weight" in moves]
    units = [part for part in range(4) if f"{source}.{part}.0.weight" in moves]
    names = {2: ("conv_dw", "conv_pw"), 3: ("conv_pw", "conv_dw", "conv_pwl")}.get(len(units), ())
    for norm, (part, name) in enumerate(zip(units, names, strict=False), start=1):
        _unit(moves, f"{source}.{part}", f"{target}.{name}", f"{target}.bn{norm}")
    for part in squeezes:
        moves.conv(f"{source}.{part}.fc1", f"{target}.se.conv_reduce")
        moves.conv(f"{source}.{part}.fc2", f"{target}.se.conv_expand")


def _unit(moves: Transfer, source: str, conv: str, norm: str) -> None:
    moves.move(f"{source}.0.weight", f"{conv}.weight")
    moves.norm(f"{source}.1", norm, eps=_EPS)


def _encoder(moves: Transfer, encoder: str, in_channels: int) -> Conversion:
    return Conversion(
        architecture=Architecture(name=encoder, num_classes=1, in_channels=in_channels),
        transfer=moves,
        part="encoder",
        preprocessing=IMAGENET,
    )
