"""Any timm backbone that yields a pyramid of features, VGG among them.

timm adapts pretrained stems to any number of input channels, and fetches pretrained weights from
the Hugging Face Hub. Library: Wightman, https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import timm
import torch
from torch import nn

from segzoo.errors import OptionError, WeightsError
from segzoo.http import refuse_offline, refusing_offline
from segzoo.options import check_flags, check_positive
from segzoo.specs import EncoderSpec

if TYPE_CHECKING:
    from torch import Tensor


class TimmEncoder(nn.Module):
    """The first ``depth`` features of a timm backbone.

    Args:
        in_channels: channels of the images; a pretrained stem is adapted.
        backbone: its name in timm, with or without the tag of a set of weights.
        depth: how many features, finest first; all that the backbone has where ``None``.
        pretrained: whether to fetch its pretrained weights.
        any_size: whether it takes sizes that its coarsest stride does not divide; most convolutional
            backbones do, and then round as they please. Otherwise the image is padded.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        backbone: str,
        depth: int | None = None,
        pretrained: bool = False,
        any_size: bool = False,
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, **({} if depth is None else {"depth": depth}))
        check_flags(pretrained=pretrained, any_size=any_size)
        self.any_size = any_size
        model = _features(backbone, in_channels=in_channels, depth=depth, pretrained=pretrained)
        self.backbone = model
        info = cast("Any", model).feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.strides: tuple[int, ...] = tuple(info.reduction())
        self.multiple = self.strides[-1] if any_size else _multiple(backbone, depth)
        # Swin and its kin keep channels last.
        self._channels_last = _is_channels_last(model)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to features, finest first."""
        features = self.backbone(images)
        if self._channels_last:
            return [feature.permute(0, 3, 1, 2).contiguous() for feature in features]
        return list(features)


class VGGEncoder(TimmEncoder):
    """VGG's features before each pooling, strides 1 to 16; sizes are rounded down as it pools.

    Paper: Simonyan and Zisserman, 2015, arXiv:1409.1556.
    """

    def __init__(
        self, in_channels: int = 3, *, backbone: str, depth: int = 5, pretrained: bool = False
    ) -> None:
        super().__init__(in_channels, backbone=backbone, depth=depth, pretrained=pretrained, any_size=True)


def _features(backbone: str, *, in_channels: int, depth: int | None, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {"features_only": True, "in_chans": in_channels, "pretrained": pretrained}
    if depth is not None:
        known = len(_describe(backbone).strides)
        if depth > known:
            raise OptionError(f"timm's {backbone!r} has {known} features, not depth={depth}")
        options["out_indices"] = tuple(range(depth))
    if pretrained:
        return _pretrained(backbone, options)
    return _create(backbone, options)


def _create(backbone: str, options: dict[str, Any]) -> nn.Module:
    config = timm.get_pretrained_cfg(backbone)
    if config is None or not config.fixed_input_size:
        return timm.create_model(backbone, **options)
    try:
        # Swin and its kin take other sizes than that of their training if they are told so.
        return timm.create_model(backbone, **options, strict_img_size=False)
    except TypeError:
        return timm.create_model(backbone, **options)


def _pretrained(backbone: str, options: dict[str, Any]) -> nn.Module:
    config = timm.get_pretrained_cfg(backbone)
    if config is None or not config.has_weights:
        raise OptionError(f"timm has no pretrained weights for {backbone!r}: leave pretrained out")
    weights = f"the pretrained weights of timm's {backbone!r}"
    try:
        with refusing_offline(f"{weights} were not fetched"):
            return _create(backbone, options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        refuse_offline(
            f"{weights} could not be read from the caches of the Hugging Face Hub and of torch.hub",
            WeightsError,
        )
        raise WeightsError(
            f"{weights} could not be fetched or read ({reason}); "
            "check the connection or the cache, or leave pretrained out"
        ) from error


@lru_cache(maxsize=64)
def _multiple(backbone: str, depth: int | None) -> int:
    """Return what image sides must be multiples of for each feature to lie exactly at its stride.

    Mostly that is the coarsest stride; backbones that compute deeper features than asked need the
    stride of those, backbones of fixed windows (MaxViT) the size of their training. Found out on the
    meta device, where running a network costs nothing but its Python.

    Raises:
        OptionError: there is no such number.
    """
    with torch.device("meta"):
        model = _features(backbone, in_channels=3, depth=depth, pretrained=False).eval()
    config, info = timm.get_pretrained_cfg(backbone), cast("Any", model).feature_info
    trained = config.input_size[-1] if config is not None else 1
    strides = tuple(info.reduction())
    for multiple in dict.fromkeys((strides[-1], _describe(backbone).strides[-1], trained)):
        if multiple % strides[-1] == 0 and all(
            _lies_at_strides(model, strides, multiple * rows, multiple * columns)
            for rows, columns in ((1, 1), (2, 3))
        ):
            return multiple
    raise OptionError(
        f"timm's {backbone!r} does not take images of every size, or its features are not where its "
        f"strides {strides} say: use another backbone"
    )


def _lies_at_strides(model: nn.Module, strides: tuple[int, ...], height: int, width: int) -> bool:
    try:
        with torch.no_grad(), torch.device("meta"):
            features = model(torch.empty(1, 3, height, width))
    except (AssertionError, RuntimeError):
        return False
    last = _is_channels_last(model)
    sizes = [tuple(feature.shape[1:3] if last else feature.shape[2:]) for feature in features]
    return sizes == [(height // stride, width // stride) for stride in strides]


def _is_channels_last(model: nn.Module) -> bool:
    return str(getattr(model, "output_fmt", "")).endswith("NHWC")


def describe(name: str) -> EncoderSpec | None:
    """Return a spec for a backbone that timm knows, or ``None`` if it knows none of that name.

    Raises:
        OptionError: timm knows it, but it yields no pyramid of features.
    """
    if not timm.is_model(name):
        return None
    return _describe(name)


@lru_cache(maxsize=64)
def _describe(name: str) -> EncoderSpec:
    try:
        with torch.device("meta"):
            info = cast("Any", _features(name, in_channels=3, depth=None, pretrained=False)).feature_info
        channels, strides = tuple(info.channels()), tuple(info.reduction())
    except (RuntimeError, AttributeError, AssertionError, TypeError, NotImplementedError) as error:
        raise OptionError(f"timm's {name!r} gives no features: {error}") from error
    if len(set(strides)) < len(strides) or len(strides) < 2:
        raise OptionError(f"timm's {name!r} gives features at strides {strides}, which are no pyramid")
    return EncoderSpec(
        name=name,
        factory="segzoo.encoders.timm:TimmEncoder",
        options={"backbone": name},
        channels=channels,
        strides=strides,
        pretrained=True,
        summary="a timm backbone",
    )
