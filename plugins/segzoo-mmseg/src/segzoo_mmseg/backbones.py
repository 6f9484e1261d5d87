"""Backbones of MMSegmentation: from what a configuration says to an encoder and its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segzoo_mmseg.resnet import DEPTHS
from segzoo_mmseg.sizes import CONVNEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segzoo.weights.layouts import Transfer
    from segzoo_mmseg.configuration import Said

#: Entries of any backbone that do not change a trained network, or that its tensors show.
_TRAINING = (
    "pretrained",
    "with_cp",
    "norm_eval",
    "frozen_stages",
    "drop_rate",
    "attn_drop_rate",
    "in_channels",
)
_BATCH_NORMS = ("BN", "SyncBN", "BN2d", "BatchNorm2d", "SyncBatchNorm")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The encoder that a backbone is converted to.

    Attributes:
        encoder: name of the encoder.
        options: options of the encoder.
        move: moves its tensors.
    """

    encoder: str
    options: dict[str, Any]
    move: Callable[[Transfer], None]


def read_backbone(said: Said, taken: Sequence[int]) -> Backbone:
    """Return what a backbone becomes.

    Args:
        said: ``model.backbone``.
        taken: which of its maps the head takes, in the head's order; negative ones count from the last.

    Raises:
        WeightsError: it is of a kind, or has an option, that is not read.
    """
    readers = _ELSEWHERE if said.library else _READERS
    reader = readers.get(said.type)
    if reader is None:
        of = {"": "", "mmpretrain": " of MMPretrain", "mmcls": " of MMPretrain"}.get(said.library)
        known = ", ".join((*_READERS, *(f"{name} of MMPretrain" for name in _ELSEWHERE)))
        named = said.type + (f" of {said.library}" if of is None else of)
        said.refuse(f"the backbone {named}: not read; read are {known}")
    said.ignore(*_TRAINING)
    backbone = reader(said, lambda count: _within(said, taken, count))
    said.finish()
    return backbone


def _within(said: Said, taken: Sequence[int], count: int) -> list[int]:
    """Return which of ``count`` maps are taken, counted from the first."""
    if any(not -count <= index < count for index in taken):
        said.refuse(f"the head's in_index is {list(taken)}, and the {said.type} gives {count} maps")
    return [index % count for index in taken]


def batch_norm(said: Said, *, required: bool = False) -> float:
    """Return the epsilon of the batch norms that a part has.

    Args:
        said: the part; its ``norm_cfg`` is read.
        required: whether it has no norms where it does not say.

    Raises:
        WeightsError: its norms are others, or it has none.
    """
    if said.given("norm_cfg") is None:
        if required:
            said.refuse(f"{said.path} has no norm_cfg: heads without batch norm are not read")
        return 1e-5
    return _epsilon(said.within("norm_cfg"), _BATCH_NORMS)


def plain(said: Said) -> None:
    """Refuse convolutions and activations that are not plain ones and ReLU."""
    for key, known in (("conv_cfg", ("Conv", "Conv2d")), ("act_cfg", ("ReLU",))):
        value = said.given(key)
        if value is not None:
            within = said.within(key)
            within.of_type(*known)
            within.ignore("inplace")
            within.finish()


def _epsilon(norm: Said, known: Sequence[str]) -> float:
    norm.of_type(*known)
    norm.ignore("requires_grad", "momentum")
    eps = norm.number("eps", 1e-5)
    norm.finish()
    return float(eps)


def _stages(said: Said, wanted: Callable[[int], Sequence[int]], default: Sequence[int]) -> list[int]:
    """Return the stages whose maps the head takes."""
    outputs = said.wholes("out_indices", default)
    stages = [outputs[index] for index in wanted(len(outputs))]
    if stages != sorted(set(stages)):
        said.refuse(f"the head takes stages {stages} of the backbone, in this order: not read")
    return stages


def _resnet(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    kind, depth = said.type, said.whole("depth")
    if depth not in DEPTHS:
        said.refuse(f"{said.path}.depth is {depth}; read are {', '.join(map(str, DEPTHS))}")
    stages = said.whole("num_stages", 4)
    plain(said)
    eps = batch_norm(said)
    for key in ("dcn", "plugins"):
        said.only(key, None)
    said.only("stage_with_dcn", [False] * 4, [False] * stages)
    said.ignore("zero_init_residual")
    base = said.whole("base_channels", 64)
    multi_grid = said.given("multi_grid")
    options: dict[str, Any] = {
        "depth": depth,
        "base_channels": base,
        "stem_channels": said.whole("stem_channels", 64),
        "deep_stem": said.flag("deep_stem", kind != "ResNet"),
        "avg_down": said.flag("avg_down", kind == "ResNetV1d"),
        "style": said.only("style", "pytorch", "caffe"),
        "stage_strides": said.wholes("strides", [1, 2, 2, 2])[:stages],
        "dilations": said.wholes("dilations", [1, 1, 1, 1])[:stages],
        "contract_dilation": said.flag("contract_dilation", False),
        "out_indices": _stages(said, wanted, [0, 1, 2, 3]),
        **({} if multi_grid is None else {"multi_grid": said.wholes("multi_grid")}),
    }

    def move(moves: Transfer) -> None:
        for stage in range(options["out_indices"][-1] + 1, stages):
            moves.leave_out(f"backbone.layer{stage + 1}.")
        moves.copy("backbone.", "encoder.", eps=eps)

    return Backbone(encoder="segzoo-mmseg:mmseg-resnet", options=options, move=move)


def _unet(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    stages = said.whole("num_stages", 5)
    plain(said)
    eps = batch_norm(said)
    upsample = said.within("upsample_cfg")
    if upsample.entries:
        upsample.of_type("InterpConv")
    upsample.finish()
    for key in ("dcn", "plugins"):
        said.only(key, None)
    taken = wanted(stages)
    if len(taken) != 1:
        said.refuse(f"the head takes {len(taken)} maps of a UNet: not read")
    first = stages - 1 - taken[0]  # its list begins with the coarsest
    options = {
        "base_channels": said.whole("base_channels", 64),
        "stage_strides": said.wholes("strides", [1] * stages),
        "downsamples": said.flags("downsamples", [True] * (stages - 1)),
        "enc_num_convs": said.wholes("enc_num_convs", [2] * stages),
        "dec_num_convs": said.wholes("dec_num_convs", [2] * (stages - 1)),
        "enc_dilations": said.wholes("enc_dilations", [1] * stages),
        "dec_dilations": said.wholes("dec_dilations", [1] * (stages - 1)),
        "out_indices": [first],
    }

    def move(moves: Transfer) -> None:
        for level in range(first):
            moves.leave_out(f"backbone.decoder.{level}.")
        moves.copy("backbone.", "encoder.", renamed={r"interp_upsample\.1\.": ""}, eps=eps)

    return Backbone(encoder="segzoo-mmseg:mmseg-unet", options=options, move=move)


def _fast_scnn(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    plain(said)
    eps = batch_norm(said)
    outputs = said.wholes("out_indices", [0, 1, 2])
    taken = [outputs[index] for index in wanted(len(outputs))]
    if taken != [2]:
        said.refuse(f"the head takes maps {taken} of FastSCNN; read is the fused one, 2")
    said.only("dw_act_cfg", None)
    higher, lower = said.whole("higher_in_channels", 64), said.whole("lower_in_channels", 128)
    for key, same in (("global_in_channels", higher), ("global_out_channels", lower)):
        if said.whole(key, {"global_in_channels": 64, "global_out_channels": 128}[key]) != same:
            said.refuse(f"{said.path}.{key} is not {same}, which its fusion takes")
    options = {
        "downsample_channels": said.wholes("downsample_dw_channels", [32, 48]),
        "higher_channels": higher,
        "global_channels": said.wholes("global_block_channels", [64, 96, 128]),
        "global_strides": said.wholes("global_block_strides", [2, 2, 1]),
        "global_out_channels": lower,
        "out_channels": said.whole("fusion_out_channels", 128),
        "align_corners": said.flag("align_corners", False),
    }
    return Backbone(
        encoder="segzoo-mmseg:mmseg-fast-scnn",
        options=options,
        move=lambda moves: moves.copy(
            "backbone.", "encoder.", renamed={r"\.bottleneck(\d)\.": r".groups.bottleneck\1."}, eps=eps
        ),
    )


def _hrnet(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    plain(said)
    eps = batch_norm(said)
    said.ignore("zero_init_residual")
    said.only("multiscale_output", True)
    if list(wanted(4)) != [0, 1, 2, 3]:
        said.refuse(f"the head takes maps {list(wanted(4))} of HRNet; read is all four")
    extra = said.within("extra")
    stages = [extra.within(f"stage{number}") for number in (1, 2, 3, 4)]
    stem, *others = stages
    stem.only("num_modules", 1)
    stem.only("num_branches", 1)
    stem.only("block", "BOTTLENECK")
    blocks, modules, kinds = [], [], set()
    widths = others[-1].wholes("num_channels")
    for branches, stage in enumerate(others, start=2):
        stage.only("num_branches", branches)
        counts = stage.wholes("num_blocks")
        if stage.wholes("num_channels") != widths[:branches] or len(set(counts)) != 1:
            stage.refuse(f"{stage.path}: branches whose channels change, or with other numbers of blocks")
        blocks.append(counts[0])
        modules.append(stage.whole("num_modules"))
        kinds.add(stage.only("block", "BASIC", "BOTTLENECK"))
    if len(kinds) > 1:
        said.refuse(f"{said.path}.extra has blocks of two kinds: not read")
    options = {
        "widths": widths,
        "modules": modules,
        "blocks": blocks,
        "stem_blocks": stem.wholes("num_blocks")[0],
        "stem_width": stem.wholes("num_channels")[0],
        "block": kinds.pop().lower(),
    }
    for stage in stages:
        stage.finish()
    return Backbone(
        encoder="segzoo-mmseg:mmseg-hrnet",
        options=options,
        move=lambda moves: moves.copy("backbone.", "encoder.", eps=eps),
    )


def _layer_norm(said: Said, default: float) -> float:
    if said.given("norm_cfg") is None:
        return default
    return _epsilon(said.within("norm_cfg"), ("LN", "LayerNorm"))


def _gelu(said: Said) -> None:
    if said.given("act_cfg") is not None:
        said.within("act_cfg").of_type("GELU")


def _swin(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    _gelu(said)
    said.ignore("drop_path_rate", "pretrain_img_size")
    said.only("use_abs_pos_embed", False)
    said.only("qk_scale", None)
    patch = said.whole("patch_size", 4)
    said.only("strides", [patch, 2, 2, 2], (patch, 2, 2, 2))
    depths = said.wholes("depths", [2, 2, 6, 2])
    options = {
        "embed_dims": said.whole("embed_dims", 96),
        "depths": depths,
        "num_heads": said.wholes("num_heads", [3, 6, 12, 24]),
        "window_size": said.whole("window_size", 7),
        "mlp_ratio": said.number("mlp_ratio", 4),
        "patch_size": patch,
        "qkv_bias": said.flag("qkv_bias", True),
        "patch_norm": said.flag("patch_norm", True),
        "eps": _layer_norm(said, 1e-5),
        "out_indices": _stages(said, wanted, [0, 1, 2, 3]),
    }
    stages = options["out_indices"]

    def move(moves: Transfer) -> None:
        for stage in range(stages[-1] + 1, len(depths)):
            moves.leave_out(f"backbone.stages.{stage}.")
        moves.leave_out(f"backbone.stages.{stages[-1]}.downsample.")
        for stage in range(len(depths)):
            if stage not in stages:
                moves.leave_out(f"backbone.norm{stage}.")
            for block in range(depths[stage]):
                moves.leave_out(f"backbone.stages.{stage}.blocks.{block}.attn.w_msa.relative_position_index")
        moves.copy("backbone.patch_embed.projection.", "encoder.patch_embed.")
        moves.copy("backbone.patch_embed.norm.", "encoder.patch_norm.")
        for stage in range(stages[-1] + 1):
            # A stage's step to the next one is the first layer of that here.
            first = 1 if stage else 0
            for block in range(depths[stage]):
                moves.copy(
                    f"backbone.stages.{stage}.blocks.{block}.",
                    f"encoder.stages.{stage}.{block + first}.",
                    renamed={
                        r"attn\.w_msa\.": "attn.",
                        r"ffn\.layers\.0\.0\.": "ffn.0.",
                        r"ffn\.layers\.1\.": "ffn.2.",
                    },
                )
            moves.copy(f"backbone.stages.{stage}.downsample.", f"encoder.stages.{stage + 1}.0.")
        moves.copy("backbone.norm", "encoder.norms.")

    return Backbone(encoder="segzoo-mmseg:mmseg-swin", options=options, move=move)


def _mit(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    _gelu(said)
    said.ignore("drop_path_rate")
    stages = said.whole("num_stages", 4)
    said.only("patch_sizes", [7, 3, 3, 3], (7, 3, 3, 3))
    said.only("strides", [4, 2, 2, 2], (4, 2, 2, 2))
    said.only("qkv_bias", True)
    if stages != 4 or _stages(said, wanted, [0, 1, 2, 3]) != [0, 1, 2, 3]:
        said.refuse(f"the head takes not all maps of {said.type}: not read")
    heads, depths = said.wholes("num_heads", [1, 2, 4, 8]), said.wholes("num_layers", [3, 4, 6, 3])
    ratios = said.wholes("sr_ratios", [8, 4, 2, 1])
    eps, base = _layer_norm(said, 1e-6), said.whole("embed_dims", 64)
    options = {
        "widths": [base * count for count in heads],
        "depths": depths,
        "heads": heads,
        "reductions": ratios,
        "expansions": [said.whole("mlp_ratio", 4)] * 4,
        "eps": eps,
        "embed_eps": eps,
    }

    def move(moves: Transfer) -> None:
        for stage, count in enumerate(depths):
            source, target = f"backbone.layers.{stage}", f"encoder.stages.{stage}"
            moves.copy(f"{source}.0.projection.", f"{target}.embed.")
            moves.copy(f"{source}.0.norm.", f"{target}.embed_norm.")
            for block in range(count):
                _mit_block(moves, f"{source}.1.{block}", f"{target}.blocks.{block}")
            moves.copy(f"{source}.2.", f"{target}.norm.")

    return Backbone(encoder="segzoo:mit", options=options, move=move)


def _mit_block(moves: Transfer, source: str, target: str) -> None:
    for part in ("weight", "bias"):
        three = [f"{target}.attention.{name}.{part}" for name in ("query", "key", "value")]
        moves.split(f"{source}.attn.attn.in_proj_{part}", three)
    moves.copy(f"{source}.attn.attn.out_proj.", f"{target}.attention.out.")
    moves.copy(f"{source}.attn.sr.", f"{target}.attention.reduce.")
    moves.copy(f"{source}.attn.norm.", f"{target}.attention.reduce_norm.")
    moves.pointwise(f"{source}.ffn.layers.0", f"{target}.mlp.expand", rank=2)
    moves.copy(f"{source}.ffn.layers.1.", f"{target}.mlp.depthwise.")
    moves.pointwise(f"{source}.ffn.layers.4", f"{target}.mlp.project", rank=2)
    moves.copy(f"{source}.norm", f"{target}.norm")


def _convnext(said: Said, wanted: Callable[[int], Sequence[int]]) -> Backbone:
    _gelu(said)
    said.ignore("drop_path_rate")
    said.only("gap_before_final_norm", False)
    said.only("linear_pw_conv", True)
    said.only("use_grn", False)
    norm = said.given("norm_cfg")
    if norm is not None:
        within = said.within("norm_cfg")
        within.of_type("LN2d")
        within.only("eps", 1e-6)
    arch: Any = said.given("arch") or "tiny"
    if isinstance(arch, str) and arch in CONVNEXTS:
        depths, widths = map(list, CONVNEXTS[arch])
    elif isinstance(arch, dict):
        made = said.within("arch")
        depths, widths = made.wholes("depths"), made.wholes("channels")
    else:
        said.refuse(f"{said.path}.arch is {arch!r}; read are {', '.join(CONVNEXTS)}")
    stages = _stages(said, wanted, [len(depths) - 1])
    options = {
        "depths": depths,
        "widths": widths,
        "stem": said.whole("stem_patch_size", 4),
        "layer_scale": said.number("layer_scale_init_value", 1e-6) > 0,
        "out_indices": stages,
    }

    def move(moves: Transfer) -> None:
        for stage in range(len(depths)):
            if stage > stages[-1]:
                moves.leave_out(f"backbone.stages.{stage}.", f"backbone.downsample_layers.{stage}.")
            if stage not in stages:
                moves.leave_out(f"backbone.norm{stage}.")
        moves.copy("backbone.norm", "encoder.norms.")
        for stage in range(stages[-1] + 1):
            # The step to a stage is the first layer of it here.
            parts = ("norm", "conv") if stage else ("conv", "norm")
            for index, part in enumerate(parts):
                moves.copy(
                    f"backbone.downsample_layers.{stage}.{index}.", f"encoder.stages.{stage}.0.{part}."
                )
            for block in range(depths[stage]):
                moves.copy(f"backbone.stages.{stage}.{block}.", f"encoder.stages.{stage}.{block + 1}.")

    return Backbone(encoder="segzoo-mmseg:mmseg-convnext", options=options, move=move)


_READERS = {
    "ResNet": _resnet,
    "ResNetV1c": _resnet,
    "ResNetV1d": _resnet,
    "SwinTransformer": _swin,
    "MixVisionTransformer": _mit,
    "HRNet": _hrnet,
    "UNet": _unet,
    "FastSCNN": _fast_scnn,
}
#: Backbones of MMPretrain, whose networks of the same name have other layers.
_ELSEWHERE = {"ConvNeXt": _convnext}
