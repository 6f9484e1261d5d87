"""What the tensors of segmentation_models.pytorch show about their network."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import WeightsError
from segzoo.weights.layouts import UnsaidError
from segzoo_smp.networks import Schedules, library

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from segzoo.weights.layouts import Checkpoint
    from segzoo_smp.networks import Factory

#: A tensor that only networks of a class have; the first class of which there is one is meant.
_MARKS = (
    ("UnetPlusPlus", "decoder.blocks.x_0_0.conv1.0.weight"),
    ("MAnet", "decoder.center.top_conv.weight"),
    ("Linknet", "decoder.blocks.0.block.0.0.weight"),
    ("Unet", "decoder.blocks.0.conv1.0.weight"),
    ("FPN", "decoder.p5.weight"),
    ("PSPNet", "decoder.psp.blocks.0.pool.1.0.weight"),
    ("UPerNet", "decoder.psp.blocks.0.1.0.weight"),
    ("DeepLabV3Plus", "decoder.aspp.0.convs.0.0.weight"),
    ("DeepLabV3", "decoder.aspp.convs.0.0.weight"),
    ("DeepLabV3", "decoder.0.convs.0.0.weight"),
    ("PAN", "decoder.fpa.mid.0.conv.weight"),
    ("Segformer", "decoder.mlp_stage.0.linear.weight"),
    ("DPT", "decoder.reassemble_blocks.0.project_to_out_channel.weight"),
)


def class_of(checkpoint: Checkpoint) -> str:
    """Return the name of the library's class whose tensors a checkpoint has.

    Raises:
        WeightsError: none of them is known.
    """
    for name, mark in _MARKS:
        if mark in checkpoint.tensors:
            return name
    raise WeightsError(
        f"{checkpoint.file} is of another network: it has the head of segmentation_models.pytorch, and no "
        "decoder of it"
    )


def sizes_of(tensors: Mapping[str, Tensor], class_name: str) -> dict[str, Any]:
    """Return the arguments of a class that the shapes of its decoder's tensors show."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    match class_name:
        case "Unet" | "MAnet" | "UnetPlusPlus":
            return _blocks(shapes, class_name)
        case "Linknet":
            depth = _count(shapes, "decoder.blocks.{}.block.0.0.weight")
            return {"encoder_depth": depth, **_norm(shapes, "decoder.blocks.0.block.0.1")}
        case "FPN":
            width = _out(shapes, "decoder.seg_blocks.0.block.0.block.0.weight")
            head = shapes.get("segmentation_head.0.weight", (0, 0))[1]
            return {
                "decoder_pyramid_channels": _out(shapes, "decoder.p5.weight"),
                "decoder_segmentation_channels": width,
                "decoder_merge_policy": "add" if head == width else "cat",
            }
        case "PSPNet":
            width = _out(shapes, "decoder.conv.0.weight")
            return {"psp_out_channels": width, **_norm(shapes, "decoder.conv.1")}
        case "UPerNet":
            laterals = _count(shapes, "decoder.fpn_lateral_blocks.{}.conv_norm_relu.0.weight")
            width = _out(shapes, "decoder.psp.out_conv.0.weight")
            norm = _norm(shapes, "decoder.fusion_block.1")
            return {"encoder_depth": laterals + 2, "decoder_channels": width, **norm}
        case "DeepLabV3" | "DeepLabV3Plus":
            starts = ("decoder.aspp.0.", "decoder.aspp.", "decoder.0.")
            start = next((one for one in starts if f"{one}convs.0.0.weight" in shapes), "")
            return {
                "decoder_channels": _out(shapes, f"{start}convs.0.0.weight"),
                "decoder_aspp_separable": f"{start}convs.1.0.0.weight" in shapes,
            }
        case "PAN":
            depth = 2 + _count(shapes, "decoder.gau{}.conv2.conv.weight", start=1)
            return {"encoder_depth": depth, "decoder_channels": _out(shapes, "decoder.fpa.mid.0.conv.weight")}
        case "Segformer":
            stages = _count(shapes, "decoder.mlp_stage.{}.linear.weight")
            # Networks whose first map is of stride 4 have a stage less.
            depth = stages + ("encoder.patch_embed1.proj.weight" in shapes)
            return {
                "encoder_depth": depth,
                "decoder_segmentation_channels": _out(shapes, "decoder.mlp_stage.0.linear.weight"),
            }
        case _:
            return _dpt(shapes)


def _blocks(shapes: Mapping[str, tuple[int, ...]], class_name: str) -> dict[str, Any]:
    if class_name == "UnetPlusPlus":
        depth = 1 + _count(shapes, "decoder.blocks.x_0_{}.conv1.0.weight", start=1)
        names = [f"decoder.blocks.x_0_{step}" for step in range(depth)]
    else:
        depth = _count(shapes, "decoder.blocks.{}.conv1.0.weight")
        names = [f"decoder.blocks.{step}" for step in range(depth)]
    told: dict[str, Any] = {
        "encoder_depth": depth,
        "decoder_channels": [_out(shapes, f"{name}.conv1.0.weight") for name in names],
        **_norm(shapes, f"{names[0]}.conv1.1" if names else ""),
    }
    if class_name == "MAnet":
        return {**told, "decoder_pab_channels": _out(shapes, "decoder.center.top_conv.weight")}
    scse = any(".attention.cSE." in name for name in shapes)
    return {**told, "decoder_attention_type": "scse" if scse else None}


def _dpt(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    project = "decoder.reassemble_blocks.{}.project_to_out_channel.weight"
    depth = _count(shapes, project)
    told = {
        "encoder_depth": depth,
        "decoder_intermediate_channels": [_out(shapes, project.format(step)) for step in range(depth)],
        "decoder_fusion_channels": _out(shapes, "decoder.reassemble_blocks.0.project_to_feature_dim.weight"),
    }
    return (
        {**told, "decoder_readout": "cat"}
        if "decoder.projection_blocks.0.project.0.weight" in shapes
        else told
    )


def _count(shapes: Mapping[str, object], pattern: str, start: int = 0) -> int:
    """Return how many names of a numbered pattern there are without a gap."""
    found = start
    while pattern.format(found) in shapes:
        found += 1
    return found - start


def _out(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    """Return the outputs of a convolution or linear layer; 1 where there is none, which shows later."""
    return next(iter(shapes.get(name, ())), 0) or 1


def _norm(shapes: Mapping[str, object], name: str) -> dict[str, Any]:
    return {"decoder_use_norm": "batchnorm" if f"{name}.running_mean" in shapes else False}


def encoder_of(checkpoint: Checkpoint, factory: Factory, given: Mapping[str, Any]) -> tuple[str, str]:
    """Return the one encoder whose tensors a checkpoint has, and a note that it was found in this way.

    Raises:
        UnsaidError: there is none, or several, or it is timm's, whose tensors do not show its name.
    """
    shapes = {
        name.removeprefix("encoder."): tuple(tensor.shape)
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("encoder.")
    }
    ask = f"{checkpoint.file} does not say which encoder it has: pass encoder='resnet34'"
    if any(name.startswith("model.") for name in shapes):
        raise UnsaidError(f"{ask}; its names are those of timm's, which begin with 'tu-'")
    depth = given.get("encoder_depth", factory.arguments["encoder_depth"].default)
    found: list[str] = []
    for names in _families():
        if not found and _first(shapes) <= _first(_shapes(names[0], depth)):
            found = [name for name in names if _shapes(name, depth) == _at_three(shapes, name, depth)]
    if len(found) != 1:
        raise UnsaidError(f"{ask} (it may be {' or '.join(found)})" if found else ask)
    return found[0], f"the encoder is {found[0]}, by the shapes of its tensors"


def _at_three(shapes: Mapping[str, tuple[int, ...]], name: str, depth: int) -> dict[str, tuple[int, ...]]:
    """Return shapes with the first convolution as if it took three channels."""
    wanted = _shapes(name, depth)
    told = dict(shapes)
    for one, shape in wanted.items():
        if len(shape) == 4 and shape[1] == 3:
            if one in told and len(told[one]) == 4:
                told[one] = (told[one][0], 3, *told[one][2:])
            break
    return told


def _first(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in names)


def _families() -> list[list[str]]:
    """Return the names of the library's encoders, those of a class together: they have the same modules."""
    families: dict[object, list[str]] = {}
    for name, encoder in library().encoders.encoders.items():
        families.setdefault(encoder["encoder"], []).append(name)
    return list(families.values())


@lru_cache(maxsize=256)
def _shapes(name: str, depth: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"), Schedules(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = library().encoders.get_encoder(name, depth=depth, weights=None)
    return {one: tuple(tensor.shape) for one, tensor in encoder.state_dict().items()}
