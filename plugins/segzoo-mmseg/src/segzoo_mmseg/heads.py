"""Heads of MMSegmentation: from what a configuration says to a decoder and its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from segzoo_mmseg.backbones import batch_norm, plain

if TYPE_CHECKING:
    from segzoo.weights.layouts import Transfer
    from segzoo_mmseg.configuration import Said

#: The share of probability above which one logit means foreground, where a head does not say.
_THRESHOLD = 0.3


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a head becomes.

    Attributes:
        decoder: name of the decoder.
        options: options of the decoder.
        takes: which maps it takes, in its order; negative ones count from the last.
        move: moves its tensors, but those of the last convolution.
        num_classes: that it tells apart.
        logits: that it gives.
        threshold: above which probability one logit means foreground.
    """

    decoder: str
    options: dict[str, Any]
    takes: list[int]
    move: Callable[[Transfer], None]
    num_classes: int
    logits: int
    threshold: float


def read_head(said: Said, prefix: str = "decode_head.") -> Head:
    """Return what a decode head becomes.

    Args:
        said: ``model.decode_head``.
        prefix: beginning of its tensors' names.

    Raises:
        WeightsError: it is of a kind, or has an option, that is not read.
    """
    reader = _READERS.get(said.type)
    if reader is None:
        said.refuse(f"the head {said.type}: not read; read are {', '.join(_READERS)}")
    plain(said)
    eps = batch_norm(said, required=True)
    said.ignore("loss_decode", "sampler", "ignore_index", "in_channels")
    drop = said.number("dropout_ratio", 0.1)
    channels, align = said.whole("channels"), said.flag("align_corners", False)
    num_classes = said.whole("num_classes")
    out = said.given("out_channels")
    logits = num_classes if out is None else said.whole("out_channels")
    threshold = said.given("threshold")
    decoder, options, move = reader(said, prefix, channels, eps)
    takes = said.wholes("in_index", [-1])
    if said.type == "DepthwiseSeparableASPPHead":
        takes = [0, *takes]
    made = Head(
        decoder=decoder,
        options={"dropout": max(float(drop), 0.0), "align_corners": align, **options},
        takes=takes,
        move=move,
        num_classes=num_classes,
        logits=logits,
        threshold=(_THRESHOLD if threshold is None else said.number("threshold")) if logits == 1 else 0.5,
    )
    said.finish()
    return made


#: Name of the decoder, its options, and what moves its tensors.
_Made = tuple[str, dict[str, Any], Callable[["Transfer"], None]]
#: How a convolution with its norm is called in the decoders.
_UNITS = {r"\bbn\.": "norm."}
_SEPARABLE = {r"\bdepthwise_conv\.": "depthwise.", r"\bpointwise_conv\.": "pointwise.", **_UNITS}


def _fcn(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    gather = said.only("input_transform", None, "resize_concat") is not None
    separable = said.type == "DepthwiseSeparableFCNHead"
    options: dict[str, Any] = {
        "width": channels,
        "num_convs": said.whole("num_convs", 2),
        "kernel": said.whole("kernel_size", 3),
        "concat_input": said.flag("concat_input", True),
    }
    if separable:
        said.only("dw_act_cfg", None)
        said.only("dilation", 1)
        if gather:
            said.refuse(f"the head {said.type} of several maps: not read")
        name = "segzoo-mmseg:mmseg-separable-fcn"
        renamed = {}
    else:
        options |= {"dilation": said.whole("dilation", 1), "gather": gather}
        name, renamed = "segzoo-decoders:fcn", {r"^conv_cat\.": "join.", **_UNITS}
    if options["num_convs"] < 1:
        said.refuse(f"{said.path}.num_convs is 0: heads without convolutions are not read")
    return name, options, lambda moves: moves.copy(prefix, "decoder.", renamed=renamed, eps=eps)


def _psp(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    said.only("input_transform", None)
    options = {"width": channels, "pool_scales": said.wholes("pool_scales", [1, 2, 3, 6])}
    renamed = {r"^psp_modules\.(\d+)\.1\.": r"pooling.grids.\1.", r"^bottleneck\.": "pooling.join.", **_UNITS}
    return (
        "segzoo-decoders:pspnet",
        options,
        lambda moves: moves.copy(prefix, "decoder.", renamed=renamed, eps=eps),
    )


def _atrous(said: Said) -> list[int]:
    """Return the rates of the 3x3 convolutions; before them stands a 1x1 convolution."""
    rates = said.wholes("dilations", [1, 6, 12, 18])
    if rates[0] != 1 or 1 in rates[1:]:
        said.refuse(f"{said.path}.dilations are {rates}; read are 1 and larger ones after it")
    return rates[1:]


def _aspp_names(rates: list[int]) -> dict[str, str]:
    return {
        r"^image_pool\.1\.": "aspp.pool.",
        r"^aspp_modules\.0\.": "aspp.pixel.",
        **{rf"^aspp_modules\.{index}\.": f"aspp.atrous.{index - 1}." for index in range(1, len(rates) + 1)},
        r"^bottleneck\.": "project.0.",
        **_SEPARABLE,
    }


def _aspp(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    said.only("input_transform", None)
    rates = _atrous(said)
    options = {"width": channels, "rates": rates, "project": [3], "pool_first": True}
    return (
        "segzoo-decoders:deeplabv3",
        options,
        lambda moves: moves.copy(prefix, "decoder.", renamed=_aspp_names(rates), eps=eps),
    )


def _aspp_plus(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    said.only("input_transform", None)
    rates = _atrous(said)
    if not said.whole("c1_in_channels"):
        said.refuse(f"the head {said.type} without a finer map (c1_in_channels=0): not read")
    options = {
        "width": channels,
        "rates": rates,
        "project": [3],
        "pool_first": True,
        "skip_width": said.whole("c1_channels"),
    }
    renamed = {r"^c1_bottleneck\.": "skip.", r"^sep_bottleneck\.": "convs.", **_aspp_names(rates)}
    return (
        "segzoo-decoders:deeplabv3plus",
        options,
        lambda moves: moves.copy(prefix, "decoder.", renamed=renamed, eps=eps),
    )


def _uper(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    said.only("input_transform", None, "multiple_select")
    options = {"width": channels, "pool_scales": said.wholes("pool_scales", [1, 2, 3, 6])}
    renamed = {
        r"^psp_modules\.(\d+)\.1\.": r"pooling.grids.\1.",
        r"^bottleneck\.": "pooling.join.",
        r"^lateral_convs\.": "laterals.",
        r"^fpn_convs\.": "outputs.",
        r"^fpn_bottleneck\.": "join.",
        **_UNITS,
    }
    return (
        "segzoo-decoders:upernet",
        options,
        lambda moves: moves.copy(prefix, "decoder.", renamed=renamed, eps=eps),
    )


def _fpn(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    said.only("input_transform", None, "multiple_select")
    said.only("feature_strides", [4, 8, 16, 32])
    options = {"width": channels, "norm": "batch"}

    def move(moves: Transfer) -> None:
        # Convolutions and steps of doubling take turns.
        twice = {rf"^(\d+)\.{2 * index}\.": rf"\1.{index}." for index in range(1, 4)}
        moves.copy(f"{prefix}scale_heads.", "decoder.levels.", renamed={**twice, **_UNITS}, eps=eps)

    return "segzoo-decoders:fpn", options, move


def read_neck(said: Said, head: Head) -> Head:
    """Return the head with the neck before it, both of which become one decoder.

    Args:
        said: ``model.neck``.
        head: that takes the neck's maps.

    Raises:
        WeightsError: they are not a feature pyramid and its head.
    """
    if said.type != "FPN" or head.decoder != "segzoo-decoders:fpn":
        said.refuse(f"the neck {said.type}: not read; read is FPN before FPNHead")
    levels = len(said.wholes("in_channels"))
    if said.whole("num_outs") != levels or head.takes != list(range(levels)):
        said.refuse(f"{said.path}: the head takes not the {levels} levels of its pyramid: not read")
    for key, value in (("start_level", 0), ("end_level", -1), ("add_extra_convs", False)):
        said.only(key, value)
    for key in ("conv_cfg", "norm_cfg", "act_cfg"):
        said.only(key, None)
    said.ignore("extra_convs_on_inputs", "relu_before_extra_convs", "no_norm_on_lateral")
    upsample = said.within("upsample_cfg")
    upsample.only("mode", "nearest")
    upsample.finish()
    pyramid = said.whole("out_channels")
    said.finish()

    def move(moves: Transfer) -> None:
        moves.copy(
            "neck.",
            "decoder.",
            renamed={r"^lateral_convs\.": "laterals.", r"^fpn_convs\.": "outputs.", r"\bconv\.": ""},
        )
        head.move(moves)

    return replace(head, options={**head.options, "pyramid_width": pyramid}, move=move)


def _ocr(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    gather = said.only("input_transform", None, "resize_concat") is not None
    said.only("scale", 1)
    options = {"width": channels, "key_width": said.whole("ocr_channels"), "gather": gather}
    block = r"^object_context_block\."
    renamed = {
        r"^bottleneck\.": "pixels.",
        rf"{block}query_project\.": "attention.queries.",
        rf"{block}key_project\.": "attention.keys.",
        rf"{block}value_project\.": "attention.values.",
        rf"{block}out_project\.": "attention.output.",
        rf"{block}bottleneck\.": "join.",
        **_UNITS,
    }
    return (
        "segzoo-decoders:ocr",
        options,
        lambda moves: moves.copy(prefix, "decoder.", renamed=renamed, eps=eps),
    )


def read_cascade(stages: list[Said]) -> Head:
    """Return two heads, of which the second takes what the first gives, as one decoder.

    Args:
        stages: ``model.decode_head``: an FCNHead and an OCRHead behind it.

    Raises:
        WeightsError: they are others, or do not fit to each other.
    """
    first, second = stages
    if (first.type, second.type) != ("FCNHead", "OCRHead"):
        second.refuse(f"the head {second.type} behind {first.type}: not read; read is OCRHead behind FCNHead")
    coarse, fine = read_head(first, "decode_head.0."), read_head(second, "decode_head.1.")
    gather = fine.options["gather"]
    if (
        coarse.options["num_convs"] != 1
        or coarse.options["concat_input"]
        or coarse.options["dilation"] != 1
        or coarse.options["gather"] != gather
        or coarse.options["align_corners"] != fine.options["align_corners"]
        or coarse.logits != fine.logits
        or (gather and coarse.takes != fine.takes)
    ):
        first.refuse(f"{first.path}: read is one convolution, of the classes and maps of the head behind it")
    options = {
        **fine.options,
        "coarse_width": coarse.options["width"],
        "coarse_kernel": coarse.options["kernel"],
    }
    eps = batch_norm(first)

    def move(moves: Transfer) -> None:
        moves.conv("decode_head.0.conv_seg", "decoder.regions")
        moves.copy("decode_head.0.convs.0.", "decoder.coarse.", renamed=_UNITS, eps=eps)
        fine.move(moves)

    takes = fine.takes if gather else [*coarse.takes, *fine.takes]
    return replace(fine, options=options, takes=takes, move=move)


def _segformer(said: Said, prefix: str, channels: int, eps: float) -> _Made:
    said.only("interpolate_mode", "bilinear")
    levels = len(said.wholes("in_index"))
    options = {"width": channels, "level_norm": True}

    def move(moves: Transfer) -> None:
        # It joins the finest level first.
        fusions = [f"decoder.fusions.{level}.weight" for level in range(levels)]
        moves.split(f"{prefix}fusion_conv.conv.weight", fusions, dim=1)
        moves.copy(f"{prefix}fusion_conv.bn.", "decoder.norm.", eps=eps)
        moves.copy(f"{prefix}convs.", "decoder.levels.", renamed=_UNITS, eps=eps)

    return "segzoo-decoders:segformer", options, move


_READERS: dict[str, Callable[[Said, str, int, float], _Made]] = {
    "FCNHead": _fcn,
    "DepthwiseSeparableFCNHead": _fcn,
    "PSPHead": _psp,
    "ASPPHead": _aspp,
    "DepthwiseSeparableASPPHead": _aspp_plus,
    "UPerHead": _uper,
    "FPNHead": _fpn,
    "SegformerHead": _segformer,
    "OCRHead": _ocr,
}
