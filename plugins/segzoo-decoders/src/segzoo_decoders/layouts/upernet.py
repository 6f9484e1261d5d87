"""transformers' UPerNet on ConvNeXt and Swin: folders of ``save_pretrained``.

Facts: transformers 5.24. Each stage's map is normed before it leaves (``hidden_states_norms``). Swin has a
last norm that nothing uses, and joins the squares of four pixels column by column, all channels of one before
those of the next. The auxiliary head is of the training alone. Both encoders are those of segzoo-mmseg, as
the published checkpoints were trained there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.errors import UnknownNameError, WeightsError
from segzoo.weights.layouts import Conversion, Transfer, plan
from segzoo.weights.layouts.processors import labels, processor
from segzoo_decoders.layouts import check_class, config_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.weights.layouts import Checkpoint

#: Epsilon of Swin's layer norms.
_EPS = 1e-5
_HEAD = {
    r"^psp_modules\.(\d+)\.1\.": r"pooling.grids.\1.",
    r"^bottleneck\.": "pooling.join.",
    r"^lateral_convs\.": "laterals.",
    r"^fpn_convs\.": "outputs.",
    r"^fpn_bottleneck\.": "join.",
    r"\.batch_norm\.": ".norm.",
}
_CONVNEXT_BLOCK = {
    r"^dwconv\.": "depthwise_conv.",
    r"^pwconv": "pointwise_conv",
    r"^layernorm\.": "norm.",
    r"^layer_scale_parameter$": "gamma",
}
_SWIN_BLOCK = {
    r"^layernorm_before\.": "norm1.",
    r"^layernorm_after\.": "norm2.",
    r"^attention\.self\.": "attn.",
    r"^attention\.output\.dense\.": "attn.proj.",
    r"^intermediate\.dense\.": "ffn.0.",
    r"^output\.dense\.": "ffn.2.",
}


def upernet(checkpoint: Checkpoint) -> Conversion:
    """Convert ``UperNetForSemanticSegmentation``.

    Args:
        checkpoint: the folder.
    """
    check_class(checkpoint, "UperNetForSemanticSegmentation")
    moves = Transfer(checkpoint)
    config = config_of(checkpoint)
    backbone = config.get("backbone_config")
    kind = backbone.get("model_type") if isinstance(backbone, dict) else None
    if not isinstance(backbone, dict) or kind not in _BACKBONES:
        raise WeightsError(
            f"{checkpoint.file}: its backbone is {kind!r}; segzoo has networks of its own for "
            f"{' and '.join(_BACKBONES)}"
        )
    if backbone.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"{checkpoint.file}: hidden_act is {backbone['hidden_act']!r}; 'gelu' is known")
    backbone = {**backbone, "depths": _depths(backbone, checkpoint.file, _DEPTHS[kind])}
    stages = _stages(backbone, checkpoint.file)
    encoder, options = _BACKBONES[kind](moves, backbone, stages)
    for stage in stages:
        moves.copy(f"backbone.hidden_states_norms.stage{stage + 1}.", f"encoder.norms.{stage}.")
    moves.move("decode_head.classifier.weight", "head.weight")
    moves.move("decode_head.classifier.bias", "head.bias")
    moves.copy("decode_head.", "decoder.", renamed=_HEAD)
    moves.leave_out("auxiliary_head.")
    num_classes, width = moves.shape("decode_head.classifier.weight")[:2]
    in_channels = backbone.get("num_channels", 3)
    told = checkpoint.extras.get("preprocessor_config")
    named = labels(config, num_classes, preprocessor=told)
    prepared = processor(told, model_type="upernet", in_channels=in_channels)
    try:
        architecture = plan(
            f"segzoo-decoders:upernet/{encoder}",
            num_classes=num_classes,
            in_channels=in_channels,
            encoder={**options, "out_indices": stages},
            decoder={"width": width, "pool_scales": config.get("pool_scales", [1, 2, 3, 6])},
            options={},
        )
    except UnknownNameError as error:
        raise WeightsError(f"{checkpoint.file} becomes a network of segzoo-mmseg: {error}") from error
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=prepared.preprocessing,
        labels=named.labels,
        notes=(*prepared.notes, *named.notes),
    )


def _depths(backbone: Mapping[str, Any], file: str, default: list[int]) -> list[int]:
    depths = backbone.get("depths", default)
    if not isinstance(depths, list) or not depths or not all(type(one) is int and one > 0 for one in depths):
        raise WeightsError(f"{file}: depths of its backbone must be a list of whole numbers, got {depths!r}")
    return depths


def _stages(backbone: Mapping[str, Any], file: str) -> list[int]:
    """Return the stages whose maps are features, from 0."""
    depths = backbone["depths"]
    names = backbone.get("out_features") or [f"stage{number}" for number in range(1, len(depths) + 1)]
    known = {f"stage{number + 1}": number for number in range(len(depths))}
    if not isinstance(names, list) or any(name not in known for name in names):
        raise WeightsError(
            f"{file}: out_features of its backbone are {names!r}; known are {', '.join(known)}"
        )
    return [known[name] for name in names]


def _convnext(moves: Transfer, said: Mapping[str, Any], stages: list[int]) -> tuple[str, dict[str, Any]]:
    depths = said["depths"]
    for stage in range(stages[-1] + 1, len(depths)):
        moves.leave_out(f"backbone.encoder.stages.{stage}.")
    # The step to a stage is the first layer of it here.
    moves.copy("backbone.embeddings.patch_embeddings.", "encoder.stages.0.0.conv.")
    moves.copy("backbone.embeddings.layernorm.", "encoder.stages.0.0.norm.")
    for stage in range(stages[-1] + 1):
        source, target = f"backbone.encoder.stages.{stage}", f"encoder.stages.{stage}"
        moves.copy(f"{source}.downsampling_layer.0.", f"{target}.0.norm.")
        moves.copy(f"{source}.downsampling_layer.1.", f"{target}.0.conv.")
        for block in range(depths[stage]):
            moves.copy(f"{source}.layers.{block}.", f"{target}.{block + 1}.", renamed=_CONVNEXT_BLOCK)
    options = {
        "depths": depths,
        "widths": said.get("hidden_sizes", [96, 192, 384, 768]),
        "stem": said.get("patch_size", 4),
        "layer_scale": said.get("layer_scale_init_value", 1e-6) > 0,
    }
    return "segzoo-mmseg:mmseg-convnext", options


def _swin(moves: Transfer, said: Mapping[str, Any], stages: list[int]) -> tuple[str, dict[str, Any]]:
    if said.get("use_absolute_embeddings", False):
        raise WeightsError(f"{moves.file}: a Swin with absolute position embeddings is not known")
    if said.get("layer_norm_eps", _EPS) != _EPS:
        # In the library it is the epsilon of some layer norms, and the others have 1e-5.
        raise WeightsError(
            f"{moves.file}: layer_norm_eps is {said['layer_norm_eps']!r}; {_EPS} alone is known of Swin"
        )
    depths, width = said["depths"], said.get("embed_dim", 96)
    moves.leave_out("backbone.swin.layernorm.", "backbone.layernorm.")
    moves.copy("backbone.embeddings.patch_embeddings.projection.", "encoder.patch_embed.")
    moves.copy("backbone.embeddings.norm.", "encoder.patch_norm.")
    for stage, depth in enumerate(depths):
        layer = f"backbone.encoder.layers.{stage}"
        if stage > stages[-1]:
            moves.leave_out(f"{layer}.")
            continue
        # A stage's step to the next one is the first layer of that here.
        first = 1 if stage else 0
        for block in range(depth):
            source, target = f"{layer}.blocks.{block}", f"encoder.stages.{stage}.{block + first}"
            moves.leave_out(f"{source}.attention.self.relative_position_index")
            for part in ("weight", "bias")[: 2 if said.get("qkv_bias", True) else 1]:
                three = [f"{source}.attention.self.{name}.{part}" for name in ("query", "key", "value")]
                moves.join(three, f"{target}.attn.qkv.{part}")
            moves.copy(f"{source}.", f"{target}.", renamed=_SWIN_BLOCK)
        if stage == stages[-1]:
            moves.leave_out(f"{layer}.downsample.")
        else:
            order = _squares(width << stage)
            for name in ("norm.weight", "norm.bias", "reduction.weight"):
                moves.reorder(f"{layer}.downsample.{name}", f"encoder.stages.{stage + 1}.0.{name}", order)
    options = {
        "embed_dims": width,
        "depths": depths,
        "num_heads": said.get("num_heads", [3, 6, 12, 24]),
        "window_size": said.get("window_size", 7),
        "mlp_ratio": said.get("mlp_ratio", 4.0),
        "patch_size": said.get("patch_size", 4),
        "qkv_bias": said.get("qkv_bias", True),
        "eps": _EPS,
    }
    return "segzoo-mmseg:mmseg-swin", options


def _squares(width: int) -> list[int]:
    """Return where the file has each channel of a square of four pixels that are joined.

    Here each channel's pixels follow each other, row by row; in the file, pixels do, column by column.
    """
    places = (0, 2, 1, 3)
    return [place * width + channel for channel in range(width) for place in places]


#: What a config means that does not say how many blocks its stages have.
_DEPTHS = {"convnext": [3, 3, 9, 3], "swin": [2, 2, 6, 2]}
_BACKBONES = {"convnext": _convnext, "swin": _swin}
