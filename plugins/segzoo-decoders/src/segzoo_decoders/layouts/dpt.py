"""transformers' dense prediction transformer: folders of ``save_pretrained``.

Facts: transformers 5.24. The deepest fusion has no skip, so that its first residual unit is stored and
unused, as are the last layer norm and, in prediction, the auxiliary head. Images are square in the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.errors import WeightsError
from segzoo.weights.layouts import Conversion, Transfer, plan
from segzoo.weights.layouts.processors import labels, processor
from segzoo_decoders.layouts import check_class, config_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.weights.layouts import Checkpoint

#: What a config may say, and the only values that segzoo's network has; the first where it says nothing.
_KNOWN: Mapping[str, tuple[Any, ...]] = {
    "is_hybrid": (False,),
    "backbone_config": (None,),
    "neck_ignore_stages": ([],),
    "head_in_index": (-1,),
    "hidden_act": ("gelu",),
    "readout_type": ("project", "ignore"),
}
_BLOCK = {
    r"^layernorm_before\.": "norm1.",
    r"^layernorm_after\.": "norm2.",
    r"^attention\.attention\.": "",
    r"^attention\.output\.dense\.": "out.",
    r"^intermediate\.dense\.": "expand.",
    r"^output\.dense\.": "project.",
}
_FUSION = {
    r"^projection\.": "project.",
    r"^residual_layer1\.": "skip.",
    r"^residual_layer2\.": "unit.",
    r"\.convolution(\d)\.": r".conv\1.",
    r"\.batch_norm(\d)\.": r".norm\1.",
}


def segmentation(checkpoint: Checkpoint) -> Conversion:
    """Convert ``DPTForSemanticSegmentation``.

    Args:
        checkpoint: the folder.
    """
    check_class(checkpoint, "DPTForSemanticSegmentation")
    moves = Transfer(checkpoint)
    config = config_of(checkpoint)
    for key, values in _KNOWN.items():
        if config.get(key, values[0]) not in values:
            raise WeightsError(
                f"{checkpoint.file}: config.json says {key} {config[key]!r}; this layout has "
                f"{' or '.join(map(repr, values))} alone"
            )
    taps = config.get("backbone_out_indices", [2, 5, 8, 11])
    if not isinstance(taps, list) or not taps or not all(type(one) is int for one in taps):
        raise WeightsError(f"{checkpoint.file}: backbone_out_indices must be numbers, got {taps!r}")
    readout = config.get("readout_type", "project")
    encoder = _encoder(moves, config, sorted(taps), readout)
    decoder = _decoder(moves, config, len(taps), readout)
    num_classes, in_channels = moves.shape("head.head.4.weight")[0], encoder.pop("in_channels")
    told = checkpoint.extras.get("preprocessor_config")
    named = labels(config, num_classes, preprocessor=told)
    prepared = processor(told, model_type="dpt", in_channels=in_channels)
    return Conversion(
        architecture=plan(
            "segzoo-decoders:dpt/segzoo-decoders:plain-vit",
            num_classes=num_classes,
            in_channels=in_channels,
            encoder=encoder,
            decoder=decoder,
            options={},
        ),
        transfer=moves,
        preprocessing=prepared.preprocessing,
        labels=named.labels,
        notes=(*prepared.notes, *named.notes),
    )


def _encoder(moves: Transfer, config: Mapping[str, Any], taps: list[int], readout: str) -> dict[str, Any]:
    """Move the transformer; return its options, with the bands of the images."""
    width, in_channels, patch, _ = moves.shape("dpt.embeddings.patch_embeddings.projection.weight")
    size = config.get("image_size", 384)
    rows, columns = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if type(rows) is not int or type(columns) is not int:
        raise WeightsError(f"{moves.file}: image_size must be a number of pixels, got {size!r}")
    moves.move("dpt.embeddings.cls_token", "encoder.class_token")
    moves.move("dpt.embeddings.position_embeddings", "encoder.position")
    moves.copy("dpt.embeddings.patch_embeddings.projection.", "encoder.patches.")
    for block in range(taps[-1] + 1):
        moves.copy(f"dpt.encoder.layer.{block}.", f"encoder.blocks.{block}.", renamed=_BLOCK)
    # Nothing reads the blocks behind the last one that is tapped, nor the norm after all.
    moves.leave_out("dpt.encoder.layer.", "dpt.layernorm.", "dpt.pooler.")
    return {
        "in_channels": in_channels,
        "width": width,
        "depth": taps[-1] + 1,
        "heads": config.get("num_attention_heads", 12),
        "hidden": moves.shape("dpt.encoder.layer.0.intermediate.dense.weight", 2)[0],
        "patch": patch,
        "grid": [rows // patch, columns // patch],
        "layers": taps,
        "class_token": "concat" if readout == "project" else "drop",
        "qkv_bias": config.get("qkv_bias", True),
        "eps": config.get("layer_norm_eps", 1e-12),
    }


def _decoder(moves: Transfer, config: Mapping[str, Any], count: int, readout: str) -> dict[str, Any]:
    """Move neck and head; return the decoder's options."""
    normed = "neck.fusion_stage.layers.1.residual_layer1.batch_norm1.weight" in moves
    stage, target = "neck.reassemble_stage", "decoder.reassemble"
    for level in range(count):
        if readout == "project":
            moves.pointwise(f"{stage}.readout_projects.{level}.0", f"{target}.{level}.readout.0", rank=4)
        moves.copy(f"{stage}.layers.{level}.projection.", f"{target}.{level}.project.")
        moves.copy(f"{stage}.layers.{level}.resize.", f"{target}.{level}.resample.")
        moves.move(f"neck.convs.{level}.weight", f"{target}.{level}.conv.weight")
    moves.leave_out("neck.fusion_stage.layers.0.residual_layer1.")
    for level in range(count):
        moves.copy(f"neck.fusion_stage.layers.{level}.", f"decoder.fusions.{level}.", renamed=_FUSION)
    moves.move("head.head.0.weight", "decoder.last.conv.weight")
    moves.norm("head.head.1", "decoder.last.norm")
    moves.conv("head.head.4", "head")
    moves.leave_out("auxiliary_head.")
    patch = moves.shape("dpt.embeddings.patch_embeddings.projection.weight")[2]
    # Then the maps have strides 4, 8, 16 ..., and the logits the image's size.
    wanted = [patch / 2 ** (2 + level) for level in range(count)]
    factors = config.get("reassemble_factors", [4, 2, 1, 0.5])
    if factors != wanted:
        raise WeightsError(
            f"{moves.file}: reassemble_factors are {factors!r}; this layout has {wanted} alone, with patches "
            f"of {patch} pixels"
        )
    return {
        "width": moves.shape("neck.convs.0.weight")[0],
        "widths": [moves.shape(f"neck.convs.{level}.weight")[1] for level in range(count)],
        "factors": factors,
        "readout": readout,
        "norm": "batch" if normed else None,
    }
