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

from segzoo.blocks.convolution import check_positive
from segzoo.errors import OptionError
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
        self.any_size = any_size
        model = _features(backbone, in_channels=in_channels, depth=depth, pretrained=pretrained)
        self.backbone = model
        info = cast("Any", model).feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.strides: tuple[int, ...] = tuple(info.reduction())
        # Swin and its kin keep channels last.
        self._channels_last = str(getattr(model, "output_fmt", "")).endswith("NHWC")

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
    return timm.create_model(backbone, **options, **_any_image_size(backbone))


def _any_image_size(backbone: str) -> dict[str, Any]:
    """Return what tells a backbone of windows (Swin) that images need not be as large as in its training."""
    config = timm.get_pretrained_cfg(backbone)
    fixed = config is not None and config.fixed_input_size
    return {"strict_img_size": False} if fixed else {}


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
