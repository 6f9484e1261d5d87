"""The contract of decoders: `segzoo.interfaces.Decoder`, checked by running them on made-up features."""

from __future__ import annotations

import inspect
from copy import deepcopy
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from segzoo.interfaces import Decoder
from segzoo.plugins import resolve
from segzoo.prediction.engines.joining import join, offers
from segzoo.prediction.engines.probing import deviation
from segzoo.prediction.engines.recording import Chain
from segzoo.segmenter import border_of
from segzoo.specs import DecoderSpec
from segzoo.testing.promises import (
    Checked,
    described,
    promise,
    promise_copies,
    promise_determinism,
    promise_gradients,
    promise_one_like_many,
    seeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from segzoo.testing.promises import Promises

#: Of the network around a decoder that wants to know.
_CLASSES = 3


def check_decoder(decoder: str | DecoderSpec, **options: Any) -> None:
    """Check a decoder, on features of a few channels at strides 1 and 2 upwards.

    Its ``out_channels``, ``stride`` and ``side_channels`` match its outputs. It accepts a batch of one, and
    odd sizes if it declares them. It is deterministic in evaluation mode, and gradients reach every
    parameter. A copy, a pickle and the fused form, if there is one, compute the same.

    Args:
        decoder: its name, or its spec if no plug-in registers it yet.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(decoder, DecoderSpec), **options).keep()


class _Subject(Checked[DecoderSpec], of="decoder"):
    """A decoder under check, for features from one stride on; its promises are for two strides."""

    def __init__(self, spec: DecoderSpec, *, finest: int = 1, **options: Any) -> None:
        super().__init__(spec, **options)
        self.finest = finest
        count = max(spec.min_features, 3)
        self.strides = tuple(finest << level for level in range(count))
        self.channels = tuple(range(4, 4 + count))

    def promises(self) -> Promises:
        """Return the checks, each of them for features from stride 1 and from stride 2 on."""
        if self.finest > 1:
            return super().promises()
        coarser = _Subject(self.spec, finest=2, **self.options).promises()
        return {name: partial(_both, check, coarser[name]) for name, check in super().promises().items()}

    @cached_property
    def module(self) -> nn.Module:
        given: dict[str, Any] = {"channels": self.channels, "strides": self.strides}
        factory = resolve(self.spec.factory)
        if "num_classes" in inspect.signature(factory).parameters:
            given["num_classes"] = _CLASSES
        module = factory(**self.spec.options, **given, **self.options)
        promise(
            isinstance(module, nn.Module),
            f"{self.what} must be an nn.Module; {self.spec.factory} returned {type(module).__name__}",
        )
        promise(
            isinstance(module, Decoder),
            f"{self.what} must have `out_channels` and `stride`, whole numbers that its map has",
        )
        return module

    def maps(self) -> None:
        if not border_of(self.module):
            self._check_maps((4 * self.strides[-1], 6 * self.strides[-1]))

    def batch_of_one(self) -> None:
        module, features = self.module.eval(), self._features()
        with torch.no_grad():
            alone = module([feature[:1] for feature in features])
            promise_one_like_many(module(features)[:1], alone, self.what)

    def odd_sizes(self) -> None:
        if getattr(self.module, "any_size", False) and not border_of(self.module):
            self._check_maps((4 * self.strides[-1] - 1, 2 * self.strides[-1] + 1))

    def determinism(self) -> None:
        features = self._features()
        promise_determinism(self.module, lambda: [self.module(features)], self.what)

    def gradients(self) -> None:
        features = self._features()
        promise_gradients(self.module, lambda: _all_maps(self.module, features), self.what)

    def copies(self) -> None:
        features = self._features()
        promise_copies(self.module, lambda module: [module(features)], self.what)

    def fused_form(self) -> None:
        network, features = nn.ModuleDict({"decoder": deepcopy(self.module).eval()}), self._features()
        if not offers(network):
            return
        plain = [Chain(name) for name, module in network.named_modules() if type(module) is nn.Conv2d]
        join(network, plain)
        with torch.no_grad():
            expected, found = self.module.eval()(features), network["decoder"]([*features])
        off = deviation(found, expected)
        promise(
            off < 1e-4, f"{self.what}: its fused form gives a map that differs by {off:.1e} of the largest"
        )

    def _features(self) -> list[Tensor]:
        # Valid convolutions eat much of it.
        side = (32 if border_of(self.module) else 6) * self.strides[-1]
        return self._pyramid(2, (side, side))

    def _pyramid(self, batch: int, size: tuple[int, int]) -> list[Tensor]:
        height, width = size
        return [
            seeded(batch, channel, height // stride, width // stride, seed=stride)
            for channel, stride in zip(self.channels, self.strides, strict=True)
        ]

    @torch.no_grad()
    def _check_maps(self, size: tuple[int, int]) -> None:
        module, features = self.module.eval(), self._pyramid(1, size)
        typed, result = cast("Any", module), module(features)
        low = tuple(side // typed.stride for side in size)
        promise(
            result.shape[1] == typed.out_channels and all(map(_within_one, result.shape[2:], low)),
            f"{self.what} declares {typed.out_channels} channels at stride {typed.stride}; "
            f"of an image of {size} it gives {tuple(result.shape)}",
        )
        maps, declared = _all_maps(module, features), getattr(module, "side_channels", ())
        if declared:
            channels = tuple(one.shape[1] for one in maps)
            wanted = (*(width or _CLASSES for width in declared), typed.out_channels)
            promise(
                channels == wanted and maps[-1].equal(result),
                f"{self.what}: side_features must give maps of {declared} channels and, last, what calling "
                f"it returns; they have {channels}",
            )


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()


def _all_maps(module: nn.Module, features: list[Tensor]) -> Sequence[Tensor]:
    if not getattr(module, "side_channels", ()):
        return [module(features)]
    return cast("Any", module).side_features(features)


def _within_one(real: int, wanted: int) -> bool:
    return abs(real - wanted) <= 1
