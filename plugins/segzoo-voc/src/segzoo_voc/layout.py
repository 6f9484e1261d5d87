"""bubbliiiing/unet-pytorch: a U-Net decoder without norms on VGG16 or ResNet-50.

Prediction fits the image into a square of 512 on grey bars (bicubic), divides by 255, cuts the bars off the
probabilities and resizes those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.specs import Preprocessing, Resize
from segzoo.weights.layouts import Conversion, Transfer, number, one_of, plan
from segzoo_voc.catalogue import VOC

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint


def bubbliiiing(checkpoint: Checkpoint, *, activation: str = "relu", size: int = 512) -> Conversion:
    """Convert a checkpoint on either backbone.

    Args:
        checkpoint: the file.
        activation: ``none`` for the program's older decoder; files do not show which decoder they have.
        size: side of the square that images are fitted into.
    """
    one_of("activation", activation, ("relu", "none"))
    number("size", size, whole=True)
    moves = Transfer(checkpoint)
    num_classes = moves.shape("final.weight")[0]
    resnet = "resnet.conv1.weight" in moves
    if resnet and activation == "none":
        raise OptionError(
            "only files on VGG16 have the older decoder without ReLUs; this one is on ResNet-50"
        )
    first = "resnet.conv1.weight" if resnet else "vgg.features.0.weight"
    in_channels = moves.shape(first)[1]
    widths = [moves.shape(f"up_concat{level}.conv2.weight")[0] for level in (4, 3, 2, 1)]
    if resnet:
        # It ends with a step that joins no feature, since ResNet has none at stride 1.
        widths.append(moves.shape("up_conv.3.weight")[0])
        moves.copy("resnet.", "encoder.backbone.")
        moves.conv("up_conv.1", "decoder.steps.4.convs.first.conv")
        moves.conv("up_conv.3", "decoder.steps.4.convs.second.conv")
    else:
        moves.copy("vgg.features.", "encoder.backbone.features_")
    for step, level in enumerate((4, 3, 2, 1)):
        moves.conv(f"up_concat{level}.conv1", f"decoder.steps.{step}.convs.first.conv")
        moves.conv(f"up_concat{level}.conv2", f"decoder.steps.{step}.convs.second.conv")
    moves.conv("final", "head")
    architecture = plan(
        "segzoo:unet/segzoo-voc:resnet50-ceil" if resnet else "segzoo:unet/segzoo:vgg16",
        num_classes=num_classes,
        in_channels=in_channels,
        decoder={"widths": widths, "norm": None, "activation": activation},
        options={},
    )
    resize = Resize(
        mode="letterbox", height=size, width=size, interpolation="bicubic", restore="probabilities", fill=128
    )
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=Preprocessing(channels="rgb", resize=resize),
        labels=VOC if num_classes == 21 else None,
    )
