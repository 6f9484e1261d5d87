"""A layout: where each tensor of another program's checkpoint goes in segzoo's network.

The program trains a plain U-Net whose parts are named backbone, neck and classifier.
"""

from segzoo.weights.layouts import Checkpoint, Conversion, Transfer, plan


def convert(checkpoint: Checkpoint) -> Conversion:
    """Convert a checkpoint; the shapes of its tensors determine the network.

    Raises:
        WeightsError: the checkpoint belongs to another network.
    """
    moves = Transfer(checkpoint)
    width, in_channels, *_ = moves.shape("backbone.stages.0.first.conv.weight")
    num_classes, *_ = moves.shape("classifier.weight")
    depth = sum(f"backbone.stages.{level}.first.conv.weight" in moves for level in range(12))
    for theirs, ours in (("backbone.", "encoder."), ("neck.", "decoder."), ("classifier.", "head.")):
        moves.copy(theirs, ours)
    return Conversion(
        architecture=plan(
            "unet",
            num_classes=num_classes,
            in_channels=in_channels,
            options={"width": width, "depth": depth},
        ),
        transfer=moves,
    )
