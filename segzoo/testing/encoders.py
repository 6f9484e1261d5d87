"""The contract of encoders: `segzoo.interfaces.Encoder`, checked by running them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from segzoo import zoo
from segzoo.interfaces import Encoder
from segzoo.plugins import resolve
from segzoo.segmenter import border_of
from segzoo.specs import EncoderSpec
from segzoo.testing.promises import (
    Checked,
    promise,
    promise_copies,
    promise_determinism,
    promise_gradients,
    promise_one_like_many,
    seeded,
)

if TYPE_CHECKING:
    from torch import Tensor


def check_encoder(encoder: str | EncoderSpec, **options: Any) -> None:
    """Check an encoder.

    Its channels and strides match its features, for images with 1, 3 and 4 channels, and its spec (with
    default options). The features of an image do not depend on its batch. It accepts odd sizes if it declares
    them. It is deterministic in evaluation mode, and gradients reach every parameter. A copy and a pickle
    compute the same.

    Args:
        encoder: its name, or its spec if no plug-in registers it yet.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    spec = encoder if isinstance(encoder, EncoderSpec) else zoo.find_encoder(encoder).spec
    _Subject(spec, **options).keep()


class _Subject(Checked[EncoderSpec], of="encoder"):
    """An encoder under check, built once for images of three channels."""

    @cached_property
    def module(self) -> nn.Module:
        return self._built(3)

    def features(self) -> None:
        for in_channels in (1, 4):
            self._check_features(self._built(in_channels), in_channels)
        self._check_features(self.module, 3)

    def batch_of_one(self) -> None:
        module, images = self.module.eval(), self._images(self.module, 3)
        with torch.no_grad():
            for both, alone in zip(module(images), module(images[:1]), strict=True):
                promise_one_like_many(both[:1], alone, self.what)

    def odd_sizes(self) -> None:
        module = self.module
        if getattr(module, "any_size", False) and not border_of(module):
            side = self._multiple(module)
            _check_shapes(module.eval(), seeded(1, 3, side + 1, 2 * side - 1), self.what)

    def determinism(self) -> None:
        images = self._images(self.module, 3)
        promise_determinism(self.module, lambda: self.module(images), self.what)

    def gradients(self) -> None:
        images = self._images(self.module, 3)
        promise_gradients(self.module, lambda: self.module(images), self.what)

    def copies(self) -> None:
        images = self._images(self.module, 3)
        promise_copies(self.module, lambda module: module(images), self.what)

    def _built(self, in_channels: int) -> nn.Module:
        module = resolve(self.spec.factory)(**self.spec.options, in_channels=in_channels, **self.options)
        promise(
            isinstance(module, nn.Module),
            f"{self.what} must be an nn.Module; {self.spec.factory} returned {type(module).__name__}",
        )
        promise(
            isinstance(module, Encoder),
            f"{self.what} must have `channels` and `strides`, tuples of what its features have",
        )
        if not self.options:
            declared, real = (self.spec.channels, self.spec.strides), (module.channels, module.strides)
            promise(
                declared == real,
                f"{self.what}: its spec declares {declared}, the module has {real}; make them agree",
            )
        return module

    def _multiple(self, module: nn.Module) -> int:
        return int(getattr(module, "multiple", cast("Any", module).strides[-1]))

    def _images(self, module: nn.Module, in_channels: int) -> Tensor:
        multiple, border = self._multiple(module), border_of(module)
        return seeded(2, in_channels, multiple + border, 2 * multiple + border)

    def _check_features(self, module: nn.Module, in_channels: int) -> None:
        if not border_of(module):
            _check_shapes(module.eval(), self._images(module, in_channels), self.what)


@torch.no_grad()
def _check_shapes(module: nn.Module, images: Tensor, what: str) -> None:
    typed, features = cast("Any", module), module(images)
    promise(
        len(features) == len(typed.strides),
        f"{what} declares {len(typed.strides)} features and gives {len(features)}",
    )
    for feature, channels, stride in zip(features, typed.channels, typed.strides, strict=True):
        promise(
            tuple(feature.shape[:2]) == (images.shape[0], channels),
            f"{what}: at stride {stride} it declares {channels} channels, "
            f"the feature of images {tuple(images.shape)} is {tuple(feature.shape)}",
        )
        exact = all(
            size // stride <= real <= -(-size // stride)
            for size, real in zip(images.shape[2:], feature.shape[2:], strict=True)
        )
        promise(
            exact,
            f"{what}: at stride {stride} images {tuple(images.shape)} give {tuple(feature.shape)}; declare "
            "the strides that its features have",
        )
