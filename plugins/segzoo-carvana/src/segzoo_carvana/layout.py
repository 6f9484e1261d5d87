"""milesial/Pytorch-UNet: the plain U-Net, nearly as segzoo has it.

Versions 1 and 2, and all before, had biases in front of the batch norms. Bilinear upsampling halves the
deepest widths. Prediction resizes by a factor (bicubic), divides by 255, and knows no mean; newer files say
under ``mask_values`` which pixel values the classes had in the masks.

Until March 2020 a step of the decoder had a quarter of the channels that entered it, in both of its
convolutions, and transposed convolutions kept the number of channels. Until October 2019 the blocks had other
names too, a sigmoid was applied for any number of classes, and Pillow resized to the nearest pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from segzoo.errors import UsageError, WeightsError
from segzoo.specs import Labels, Resize, default_preprocessing, numbered_labels
from segzoo.weights.layouts import Conversion, Transfer, number, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.weights.layouts import Architecture, Checkpoint

_DEPTH = 5


@dataclass(frozen=True)
class _Names:
    """What a version calls its blocks; the numbers of levels and layers go into the braces."""

    inc: str
    down: str
    up: str


_NAMES = _Names("inc.double_conv", "down{}.maxpool_conv.1.double_conv", "up{}.conv.double_conv")
_NAMES_2017 = _Names("inc.conv.conv", "down{}.mpconv.1.conv", "up{}.conv.conv")


def milesial(checkpoint: Checkpoint, *, scale: float = 0.5, threshold: float = 0.5) -> Conversion:
    """Convert a checkpoint of any version since October 2019.

    Args:
        checkpoint: the file.
        scale: factor by which images are resized; files do not say it.
        threshold: threshold for a network with one logit.
    """
    return _converted(checkpoint, _NAMES, _resize(scale, "bicubic"), threshold)


def milesial_2017(checkpoint: Checkpoint, *, scale: float = 0.5, threshold: float = 0.5) -> Conversion:
    """Convert a checkpoint of August 2017 to October 2019.

    Args:
        checkpoint: the file.
        scale: what images are resized by, which files do not say.
        threshold: above which a class is there.
    """
    return replace(
        _converted(checkpoint, _NAMES_2017, _resize(scale, "nearest"), threshold),
        rule="sigmoids",
        notes=(
            "the program predicts the left and the right square of an image apart, and by default smooths "
            "masks with a conditional random field; before November 2018 it cropped skips in another way "
            "where the sides of an image are no multiples of 16",
        ),
    )


def _resize(scale: float, interpolation: Literal["nearest", "bicubic"]) -> Resize:
    return Resize(mode="scale", scale=number("scale", scale), interpolation=interpolation, restore="logits")


def _converted(checkpoint: Checkpoint, names: _Names, resize: Resize, threshold: float) -> Conversion:
    moves = Transfer(checkpoint)
    width, in_channels = moves.shape(f"{names.inc}.0.weight")[:2]
    num_classes = moves.shape("outc.conv.weight")[0]
    transposed = "up1.up.weight" in moves
    leaving, entering = moves.shape(f"{names.up.format(1)}.0.weight")[:2]
    if 4 * leaving == entering:
        architecture = _before_april_2020(num_classes, in_channels, width, transposed=transposed)
    else:
        architecture = plan(
            "segzoo:unet",
            num_classes=num_classes,
            in_channels=in_channels,
            options={"width": width, "upsample": "transpose" if transposed else "bilinear"},
        )
    _double(moves, names.inc, "encoder.stages.0")
    for level in range(1, _DEPTH):
        _double(moves, names.down.format(level), f"encoder.stages.{level}")
        _double(moves, names.up.format(level), f"decoder.steps.{level - 1}.convs")
        if transposed:
            moves.conv(f"up{level}.up", f"decoder.steps.{level - 1}.upsample.conv", transposed=True)
    moves.conv("outc.conv", "head")
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=replace(default_preprocessing(in_channels), resize=resize),
        labels=_labels(checkpoint, num_classes),
        threshold=number("threshold", threshold),
        notes=("the program divides by 255 only where a value of the image exceeds 1",),
    )


def _before_april_2020(num_classes: int, in_channels: int, width: int, *, transposed: bool) -> Architecture:
    """Return the network whose decoder narrows by four in each step, but in the last by two."""
    return plan(
        "segzoo:unet/segzoo:plain",
        num_classes=num_classes,
        in_channels=in_channels,
        encoder={"widths": tuple(width * factor for factor in (1, 2, 4, 8, 8))},
        decoder={
            "widths": tuple(width * factor for factor in (4, 2, 1, 1)),
            "upsample": "transpose-keep" if transposed else "bilinear",
        },
        options={},
    )


def _double(moves: Transfer, source: str, target: str) -> None:
    moves.unit(f"{source}.0", f"{source}.1", f"{target}.first")
    moves.unit(f"{source}.3", f"{source}.4", f"{target}.second")


def _labels(checkpoint: Checkpoint, num_classes: int) -> Labels | None:
    """Return the labels that ``mask_values`` means: one number, or one colour, for each class."""
    mask_values = checkpoint.extras.get("mask_values")
    if mask_values is None:
        return None
    values: Sequence[Any] = mask_values if isinstance(mask_values, list | tuple) else ()
    names = numbered_labels(num_classes).classes
    try:
        if len(values) == len(names) and all(isinstance(value, int) for value in values):
            # [0, 1] is what files say whose masks were never looked at.
            numbered = list(values) == list(range(len(values)))
            return Labels(classes=names, values=() if numbered else tuple(values))
        if len(values) == len(names) and all(_is_colour(value) for value in values):
            return Labels(classes=names, palette=tuple(tuple(value[:3]) for value in values))
    except UsageError as error:
        raise WeightsError(f"{checkpoint.file}: its mask_values are no labels: {error}") from error
    raise WeightsError(
        f"{checkpoint.file}: mask_values must hold {len(names)} numbers or colours, one for each class, got "
        f"{repr(mask_values)[:100]}"
    )


def _is_colour(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) in (3, 4) and all(isinstance(v, int) for v in value)
