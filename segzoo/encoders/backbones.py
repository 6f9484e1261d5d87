"""Turns a timm backbone into an encoder: one with its own feature pyramid, or a vision transformer."""

from __future__ import annotations

from functools import lru_cache

import timm

from segzoo.encoders.timm import features_of
from segzoo.encoders.vit import facts_of, pyramid_strides
from segzoo.errors import OptionError
from segzoo.specs import EncoderSpec

#: Backbones whose code in timm turns sizes into Python numbers, or guards strides.
_EXPORTED_FOR_ONE_SIZE = ("samvit_", "xcit_", "naflexvit_")
_ONE_SIZE = (
    "timm's code computes with the image size in Python, so that torch.export keeps one size: export "
    "it for the size that you need, or use another transformer, such as vit_base_patch16_224"
)


def describe(name: str) -> EncoderSpec | None:
    """Return a spec for a timm backbone, or ``None`` if timm knows none with that name.

    Raises:
        OptionError: timm knows it, but it cannot be an encoder; the message says why.
    """
    return _describe(name) if timm.is_model(name) else None


@lru_cache(maxsize=256)
def _describe(name: str) -> EncoderSpec:
    features = features_of(name)
    if len(set(features.strides)) == len(features.strides) > 1:
        return EncoderSpec(
            name=name,
            factory="segzoo.encoders.timm:TimmEncoder",
            options={"backbone": name},
            channels=features.channels,
            strides=features.strides,
            pretrained=True,
            summary="a timm backbone",
        )
    strides = pyramid_strides(facts_of(name).stride)
    if strides[0] < 1:
        raise OptionError(
            f"timm's {name!r} has patches of {facts_of(name).stride} pixels, too small for a pyramid"
        )
    return EncoderSpec(
        name=name,
        factory="segzoo.encoders.vit:ViTEncoder",
        options={"backbone": name},
        channels=(256,) * len(strides),
        strides=strides,
        pretrained=True,
        summary="a timm vision transformer",
        limits={"export": _ONE_SIZE} if name.startswith(_EXPORTED_FOR_ONE_SIZE) else {},
    )
