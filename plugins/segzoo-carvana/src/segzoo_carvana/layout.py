"""milesial/Pytorch-UNet: the plain U-Net, nearly as segzoo has it.

Versions 1 and 2 had biases in front of the batch norms. Bilinear upsampling halves the deepest widths.
Prediction resizes by a factor (bicubic), divides by 255, and knows no mean; newer files say under
``mask_values`` which pixel values the classes had in the masks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segzoo.errors import UsageError, WeightsError
from segzoo.specs import Labels, Resize, default_preprocessing, numbered_labels
from segzoo.weights.layouts import Conversion, Transfer, number, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.weights.layouts import Checkpoint

_DEPTH = 5


def milesial(checkpoint: Checkpoint, *, scale: float = 0.5, threshold: float = 0.5) -> Conversion:
    """Convert a checkpoint of any version.

    Args:
        checkpoint: the file.
        scale: what images are resized by, which files do not say.
        threshold: of a network with one logit.
    """
    moves = Transfer(checkpoint)
    width, in_channels = moves.shape("inc.double_conv.0.weight")[:2]
    num_classes = moves.shape("outc.conv.weight")[0]
    upsample = "transpose" if "up1.up.weight" in moves else "bilinear"
    architecture = plan(
        "segzoo:unet",
        num_classes=num_classes,
        in_channels=in_channels,
        options={"width": width, "upsample": upsample},
    )
    _double(moves, "inc.double_conv", "encoder.stages.0")
    for level in range(1, _DEPTH):
        _double(moves, f"down{level}.maxpool_conv.1.double_conv", f"encoder.stages.{level}")
        _double(moves, f"up{level}.conv.double_conv", f"decoder.steps.{level - 1}.convs")
        if upsample == "transpose":
            moves.conv(f"up{level}.up", f"decoder.steps.{level - 1}.upsample.conv", transposed=True)
    moves.conv("outc.conv", "head")
    scale, threshold = number("scale", scale), number("threshold", threshold)
    resize = Resize(mode="scale", scale=scale, interpolation="bicubic", restore="logits")
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=replace(default_preprocessing(in_channels), resize=resize),
        labels=_labels(checkpoint, num_classes),
        threshold=threshold,
        notes=("the program divides by 255 only where a value of the image exceeds 1",),
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
