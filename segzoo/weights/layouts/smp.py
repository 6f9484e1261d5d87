"""segmentation_models.pytorch's U-Net, as its ``save_pretrained`` writes a folder, or Lightning around it.

``config.json``, or the module's hyper-parameters, name the encoder, because no tensor's name does. Supported
encoders are the ResNets and ResNeXts, the VGGs, and timm's (``tu-...``) with features at strides 2 to 32.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import timm

from segzoo.errors import WeightsError
from segzoo.specs import IMAGENET, Preprocessing
from segzoo.weights.layouts import (
    MODES,
    Conversion,
    Transfer,
    UnsaidError,
    plan,
    rule_of,
    wrapper_preprocessing,
)
from segzoo.weights.layouts.transforms import transforms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.weights.layouts import Checkpoint

_TORCHVISION = re.compile(r"(resnet|resnext|vgg)\d\w*")
#: What a config may state in addition to what the tensors show, and the only supported values.
_KNOWN = {
    "_model_class": ("Unet",),
    "arch": ("Unet", "unet"),
    "decoder_attention_type": (None,),
    "decoder_interpolation": ("nearest",),
    "aux_params": (None,),
    # A dictionary may set another epsilon, and InPlaceABN takes its weights' absolute values.
    "decoder_use_norm": (True, False, None, "batchnorm", "identity"),
    "decoder_use_batchnorm": (True, False, None),
}

#: All keys that a folder's config may have; further keys go to a timm encoder, and may change it.
_ARGUMENTS = {
    *_KNOWN,
    *("encoder_name", "encoder_depth", "encoder_weights", "decoder_channels", "add_center_block"),
    *("in_channels", "classes", "activation", "_commit_hash"),
    *MODES,
}


def smp_unet(
    checkpoint: Checkpoint, *, encoder: str | None = None, input_range: float | None = None
) -> Conversion:
    """Convert a folder, a Lightning checkpoint, or a bare file whose encoder is given.

    Args:
        checkpoint: the folder or file.
        encoder: name of the encoder, such as ``resnet34`` or ``tu-resnet50``; if ``None``, the config's.
        input_range: largest value of the images, 1 or 255, if a Lightning module subtracts a mean.
    """
    config = _config(checkpoint)
    for key, values in _KNOWN.items():
        if key in config and config[key] not in values:
            raise WeightsError(
                f"{checkpoint.file}: {key} is {config[key]!r}; supported: {' or '.join(map(repr, values))}"
            )
    if "config" in checkpoint.extras and (further := sorted(set(config) - _ARGUMENTS)):
        raise WeightsError(
            f"{checkpoint.file}: config.json says {', '.join(further)}, which is not supported"
        )
    name = encoder or config.get("encoder_name")
    if not isinstance(name, str):
        raise UnsaidError(f"{checkpoint.file} does not name its encoder: pass encoder='resnet34'")
    backbone = _backbone(name, checkpoint.file)
    moves = Transfer(checkpoint)
    steps = sum(f"decoder.blocks.{step}.conv1.0.weight" in moves for step in range(8))
    stem = _encoder(moves, name, steps)
    in_channels = moves.shape(stem)[1] if stem else config.get("in_channels", 3)
    normed = "decoder.blocks.0.conv1.1.running_mean" in moves
    widths = _decoder(moves, steps, normed=normed)
    moves.conv("segmentation_head.0", "head")
    architecture = plan(
        "segzoo:smp-unet",
        num_classes=moves.shape("segmentation_head.0.weight")[0],
        in_channels=in_channels,
        options={"backbone": backbone, "widths": widths, **({} if normed else {"norm": None})},
    )
    activation = config.get("activation")
    pipeline = checkpoint.extras.get("albumentations_config")
    prepared = transforms(pipeline, in_channels=in_channels) if isinstance(pipeline, dict) else None
    told = prepared.preprocessing if prepared else _preprocessing(in_channels, config.get("encoder_weights"))
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=wrapper_preprocessing(checkpoint, in_channels, input_range) or told,
        rule=rule_of(checkpoint, activation),
        notes=(
            *((f"the program applies {activation!r} to the logits",) if activation else ()),
            *(prepared.notes if prepared else ()),
        ),
    )


def _config(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the arguments of the library's class, if the folder or the Lightning module has them."""
    said = (checkpoint.extras.get(key) for key in ("config", "hyper_parameters"))
    return next((one for one in said if isinstance(one, dict)), {})


def _backbone(name: str, file: str) -> str:
    backbone = name.removeprefix("tu-")
    if not (name.startswith("tu-") or _TORCHVISION.fullmatch(name)) or not timm.is_model(backbone):
        raise WeightsError(
            f"{file} has the encoder {name!r}; supported are resnet..., resnext..., vgg... and timm's tu-..."
        )
    config = timm.get_pretrained_cfg(backbone)
    if config is not None and config.fixed_input_size:
        raise WeightsError(
            f"{file} has the encoder {name!r}, which does not take images of any size; "
            "segzoo-smp has such a network"
        )
    return backbone


def _encoder(moves: Transfer, name: str, steps: int) -> str:
    """Move the encoder; return the name of its first convolution if all encoders of the kind share it."""
    target = "encoder.encoder.backbone."
    if name.startswith("tu-"):
        moves.copy("encoder.model.", target)
        return ""
    if name.startswith("vgg"):
        moves.copy("encoder.features.", f"{target}features_")
        return "encoder.features.0.weight"
    # Stages below the deepest feature that the decoder uses are unused tensors in the file.
    moves.leave_out(*(f"encoder.layer{layer}." for layer in range(max(steps, 1), 5)))
    moves.copy("encoder.", target)
    return "encoder.conv1.weight"


def _decoder(moves: Transfer, steps: int, *, normed: bool) -> list[int]:
    """Move the decoder, and the layers between it and a VGG; return its widths."""
    if "decoder.center.0.0.weight" in moves:
        for half, name in enumerate(("first", "second")):
            _unit(moves, f"decoder.center.{half}", f"encoder.centre.{name}", normed=normed)
    for step in range(steps):
        for half, name in ((1, "first"), (2, "second")):
            _unit(moves, f"decoder.blocks.{step}.conv{half}", f"decoder.steps.{step}.{name}", normed=normed)
    return [moves.shape(f"decoder.blocks.{step}.conv1.0.weight")[0] for step in range(steps)]


def _unit(moves: Transfer, source: str, target: str, *, normed: bool) -> None:
    if normed:
        moves.unit(f"{source}.0", f"{source}.1", target)
    else:
        moves.conv(f"{source}.0", f"{target}.conv")


def _preprocessing(in_channels: int, encoder_weights: object) -> Preprocessing:
    if in_channels != 3:
        return Preprocessing(channels="grey" if in_channels == 1 else "any")
    return IMAGENET if encoder_weights == "imagenet" else Preprocessing()
