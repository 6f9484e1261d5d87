"""Any timm backbone that returns a pyramid of features, including VGG.

timm adapts pretrained stems to any number of input channels, and fetches pretrained weights from
the Hugging Face Hub. Library: Wightman, https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import timm
import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from segzoo.encoders.pretrained import advice_without_hub, find_weights, is_packaged, preprocessing_of
from segzoo.errors import OptionError, WeightsError
from segzoo.http import is_unknown_host, offline, refuse_offline, refusing_offline
from segzoo.options import check_flags, check_positive, shown
from segzoo.specs import Pretraining

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_log = logging.getLogger(__name__)

#: Exceptions that timm raises if a backbone does not support a request.
NOT_MADE = (
    RuntimeError,
    AttributeError,
    AssertionError,
    TypeError,
    NotImplementedError,
    ValueError,
    KeyError,
)


class TimmEncoder(nn.Module):
    """The first ``depth`` features of a timm backbone.

    Args:
        in_channels: number of channels of the images; a pretrained stem is adapted.
        backbone: its name in timm, with or without the tag of a set of weights.
        depth: number of features, finest first; all that the backbone has if ``None``.
        pretrained: whether to fetch its pretrained weights.
        output_stride: 8, 16 or 32: no feature is coarser, because deeper stages dilate their convolutions
            instead of halving their maps (Chen et al., 2017, arXiv:1706.05587). Strides then repeat, such as
            (2, 4, 8, 8, 8). ``None`` keeps the backbone's strides.
        any_size: whether it accepts sizes that its coarsest stride does not divide; most convolutional
            backbones do, with various kinds of rounding. Otherwise the image is padded.

    Raises:
        OptionError: the backbone has fewer features, cannot dilate, or has no pretrained weights.
        WeightsError: pretrained weights could not be fetched or read.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        backbone: str,
        depth: int | None = None,
        pretrained: bool = False,
        output_stride: int | None = None,
        any_size: bool = False,
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, **({} if depth is None else {"depth": depth}))
        check_flags(pretrained=pretrained, any_size=any_size)
        self.any_size = any_size
        options = _options(backbone, depth, output_stride)
        model = made(backbone, {**options, "in_chans": in_channels}, pretrained=pretrained)
        if not any_size:
            _pad_alike(model)
        self.backbone = model
        info = cast("Any", model).feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.strides: tuple[int, ...] = tuple(info.reduction())
        self.multiple = self.strides[-1] if any_size else _multiple(backbone, depth, output_stride)
        # Swin and related backbones keep channels last.
        self._channels_last = _is_channels_last(model)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first."""
        features = self.backbone(images)
        if self._channels_last:
            return [feature.permute(0, 3, 1, 2).contiguous() for feature in features]
        return list(features)

    @classmethod
    def granted(cls, wishes: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Return the decoder's requests that the backbone supports: ``output_stride`` if it can dilate.

        Args:
            wishes: options that the decoder requests, by name.
            **options: options of the encoder, including ``backbone``.
        """
        stride = wishes.get("output_stride")
        return (
            {} if stride is None or not _dilates(options["backbone"], stride) else {"output_stride": stride}
        )


class SamePadded(nn.Conv2d):
    """A convolution with TensorFlow's padding (``SAME``), for sides that its stride divides.

    The padding is then the same for every size. timm computes it from the size, which makes programs exported
    for all sizes so long that exporting takes minutes.

    Args:
        conv: timm's convolution, whose weights are used.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # pyright: ignore[reportArgumentType]  # a pair of two
            conv.stride,  # pyright: ignore[reportArgumentType]
            dilation=conv.dilation,  # pyright: ignore[reportArgumentType]
            groups=conv.groups,
            bias=False,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.pads: list[int] = []
        for size, stride, dilation in zip(conv.kernel_size, conv.stride, conv.dilation, strict=True):
            total = max((size - 1) * dilation + 1 - stride, 0)
            self.pads = [total // 2, total - total // 2, *self.pads]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name that nn.Conv2d gives it)
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``."""
        padded = F.pad(input, self.pads)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _pad_alike(model: nn.Module) -> None:
    """Make convolutions with TensorFlow's padding use the same padding at every size."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and isinstance(child, Conv2dSame):
                setattr(module, name, SamePadded(child))


class VGGEncoder(TimmEncoder):
    """VGG's features before each pooling, strides 1 to 16; sizes are rounded down as it pools.

    Paper: Simonyan and Zisserman, 2015, arXiv:1409.1556.
    """

    def __init__(
        self, in_channels: int = 3, *, backbone: str, depth: int = 5, pretrained: bool = False
    ) -> None:
        super().__init__(in_channels, backbone=backbone, depth=depth, pretrained=pretrained, any_size=True)

    @classmethod
    def granted(cls, wishes: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Return nothing: a VGG pools instead of using strides, and cannot dilate.

        Args:
            wishes: options that the decoder requests, by name.
            **options: options of the encoder.
        """
        return {}


def _options(backbone: str, depth: int | None, output_stride: int | None) -> dict[str, Any]:
    """Return timm's options for the first features of a backbone, none coarser than requested.

    Raises:
        OptionError: the backbone has fewer features, or cannot dilate.
    """
    if output_stride is not None and not (type(output_stride) is int and output_stride in (8, 16, 32)):
        raise OptionError(f"output_stride must be 8, 16, 32 or None, got {shown(output_stride)}")
    options: dict[str, Any] = {"features_only": True}
    if depth is None and output_stride is None:
        return options
    strides = features_of(backbone).strides
    if depth is not None:
        if depth > len(strides):
            raise OptionError(f"timm's {backbone!r} has {len(strides)} features, not depth={depth}")
        options["out_indices"] = tuple(range(depth))
    if output_stride is not None and max(strides[:depth]) > output_stride:
        if not _dilates(backbone, output_stride):
            raise OptionError(
                f"timm's {backbone!r} cannot be dilated to output_stride={output_stride}: leave it "
                "out, or use a backbone that can, such as resnet50, convnext_tiny or mobilenetv3_large_100"
            )
        options["output_stride"] = output_stride
    return options


@lru_cache(maxsize=256)
def _dilates(backbone: str, output_stride: int) -> bool:
    """Return whether timm's backbone gives features no coarser than a stride."""
    if max(features_of(backbone).strides) <= output_stride:
        return True
    try:
        with torch.device("meta"):
            model = _create(backbone, {"features_only": True, "output_stride": output_stride}).eval()
    except NOT_MADE:
        return False
    strides = tuple(cast("Any", model).feature_info.reduction())
    sides = 2 * output_stride, 4 * output_stride
    return max(strides) == output_stride and lies_at_strides(model, strides, *sides)


def made(backbone: str, options: dict[str, Any], *, pretrained: bool) -> nn.Module:
    """Return a backbone made by timm, with pretrained weights if requested.

    Args:
        backbone: its name in timm.
        options: arguments of `timm.create_model`.
        pretrained: whether to fetch its weights.

    Raises:
        OptionError: there are no pretrained weights for it.
        WeightsError: the weights could not be fetched or read.
    """
    if pretrained:
        return _pretrained(backbone, {**options, "pretrained": True})
    return _create(backbone, options)


def _create(backbone: str, options: dict[str, Any]) -> nn.Module:
    options = {"pretrained": False, **options}
    config = timm.get_pretrained_cfg(backbone)
    if config is None or not config.fixed_input_size:
        return timm.create_model(backbone, **options)
    try:
        # Swin and related backbones accept other sizes than in their training only with an option.
        return timm.create_model(backbone, **options, strict_img_size=False)
    except TypeError:
        return timm.create_model(backbone, **options)


def _pretrained(backbone: str, options: dict[str, Any]) -> nn.Module:
    config = timm.get_pretrained_cfg(backbone)
    if config is None or not (config.has_weights or is_packaged(backbone)):
        raise OptionError(f"timm has no pretrained weights for {backbone!r}: leave pretrained out")
    weights = f"pretrained weights of timm's {backbone!r}"
    source = find_weights(backbone, config)
    try:
        with refusing_offline(f"{weights} were not fetched"):
            if source.url and not offline() and is_unknown_host(source.url):
                raise ConnectionError(f"the name of the host in {source.url} cannot be resolved")
            model: Any = _create(backbone, {**options, "pretrained_cfg_overlay": dict(source.overlay)})
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = advice_without_hub(backbone)
        refuse_offline(
            f"{weights} could not be read from the caches of the Hugging Face Hub and of torch.hub "
            f"({advice})",
            WeightsError,
        )
        raise WeightsError(
            f"{weights} could not be fetched or read ({reason}); check the connection or the cache, "
            f"set HF_ENDPOINT=https://... to a mirror of the Hub, or leave pretrained out; {advice}"
        ) from error
    # Its config must not contain the tensors a second time.
    model.pretrained_cfg = model.default_cfg = config.to_dict()
    told = f"{weights} come from {source.told}"
    _log.info(told)
    model.pretraining = Pretraining(
        told=told, preprocessing=preprocessing_of(config, cast("int", options["in_chans"]))
    )
    return model


@lru_cache(maxsize=64)
def _multiple(backbone: str, depth: int | None, output_stride: int | None = None) -> int:
    """Return the number whose multiples image sides must be, for each feature to be exactly at its stride.

    Usually that is the coarsest stride; backbones that compute deeper features than requested need the
    stride of those, and backbones with fixed windows (MaxViT) the size of their training. It is found on the
    meta device, where running a network costs only Python time.

    Raises:
        OptionError: there is no such number.
    """
    with torch.device("meta"):
        model = _create(backbone, _options(backbone, depth, output_stride)).eval()
    config, info = timm.get_pretrained_cfg(backbone), cast("Any", model).feature_info
    trained = config.input_size[-1] if config is not None else 1
    strides = tuple(info.reduction())
    for multiple in dict.fromkeys((max(strides), max(features_of(backbone).strides), trained)):
        if multiple % max(strides) == 0 and all(
            lies_at_strides(model, strides, multiple * rows, multiple * columns)
            for rows, columns in ((1, 1), (2, 3))
        ):
            return multiple
    raise OptionError(
        f"timm's {backbone!r} does not accept images of every size, or its features do not have the "
        f"strides {strides}: use another backbone"
    )


def lies_at_strides(model: nn.Module, strides: tuple[int, ...], height: int, width: int) -> bool:
    """Return whether a network's features have these strides; tried on the meta device."""
    try:
        with torch.no_grad(), torch.device("meta"):
            features = model(torch.empty(1, 3, height, width))
    except NOT_MADE:
        return False
    last = _is_channels_last(model)
    sizes = [tuple(feature.shape[1:3] if last else feature.shape[2:]) for feature in features]
    return sizes == [(height // stride, width // stride) for stride in strides]


def _is_channels_last(model: nn.Module) -> bool:
    return str(getattr(model, "output_fmt", "")).endswith("NHWC")


class Features(NamedTuple):
    """Channels and strides of a backbone's features.

    Attributes:
        channels: number of channels of each feature, finest first.
        strides: stride of each feature.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]


@lru_cache(maxsize=256)
def features_of(name: str) -> Features:
    """Return channels and strides of a timm backbone; strides repeat if it is not a pyramid.

    Raises:
        OptionError: it returns no features.
    """
    try:
        with torch.device("meta"):
            info = cast("Any", _create(name, {"features_only": True})).feature_info
    except NOT_MADE as error:
        raise OptionError(f"timm's {name!r} returns no features: {error}") from error
    return Features(tuple(info.channels()), tuple(info.reduction()))
