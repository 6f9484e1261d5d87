"""The contracts of encoders and decoders: `segzoo.interfaces`, checked by running them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import nn

from segzoo import zoo
from segzoo.interfaces import Decoder, Encoder
from segzoo.plugins import resolve
from segzoo.specs import DecoderSpec, EncoderSpec
from segzoo.testing.promises import promise, promise_determinism, promise_gradients, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def check_encoder(encoder: str | EncoderSpec, **options: Any) -> None:
    """Check an encoder.

    It takes 1, 3 and 4 channels; has the channels and strides that its spec declares (with default
    options) and that its features have in truth; takes odd sizes if it says so; is deterministic in
    evaluation mode; and gradients reach every parameter.

    Args:
        encoder: its name, or its spec where no plug-in registers it yet.
        **options: of its factory.

    Raises:
        PluginError: it breaks a promise; the text says which.
    """
    spec = encoder if isinstance(encoder, EncoderSpec) else zoo.find_encoder(encoder).spec
    what = f"encoder {spec.name!r}"
    for in_channels in (1, 4, 3):
        module = _built(spec, options, in_channels=in_channels)
        typed = cast("Any", module)
        promise(isinstance(module, Encoder), f"{what} must have `channels` and `strides`")
        if not options:
            declared, real = (spec.channels, spec.strides), (typed.channels, typed.strides)
            promise(declared == real, f"{what}: its spec declares {declared}, the module has {real}")
        multiple, eaten = int(getattr(module, "multiple", typed.strides[-1])), getattr(module, "eats", 0)
        # Fixed windows make for large images; two of them in a row are enough.
        rows, columns = (2, 3) if multiple == typed.strides[-1] else (1, 2)
        images = seeded(2, in_channels, rows * multiple + eaten, columns * multiple + eaten)
        if not eaten:
            _check_features(module.eval(), images, what)
    promise_determinism(module, lambda: module(images), what)
    promise_gradients(module, lambda: module(images), what)
    if getattr(module, "any_size", False) and not eaten:
        _check_features(module.eval(), seeded(1, 3, 2 * multiple + 1, 4 * multiple - 1), what)


def check_decoder(decoder: str | DecoderSpec, **options: Any) -> None:
    """Check a decoder, on features of a few channels at strides 1 and 2 upwards.

    Its ``out_channels``, ``stride`` and ``side_channels`` are those of its maps; it takes odd sizes if
    it says so, and a batch of one; it is deterministic in evaluation mode; and gradients reach every
    parameter.

    Args:
        decoder: its name, or its spec where no plug-in registers it yet.
        **options: of its factory.

    Raises:
        PluginError: it breaks a promise; the text says which.
    """
    spec = decoder if isinstance(decoder, DecoderSpec) else zoo.registry("decoders").get(decoder)
    what = f"decoder {spec.name!r}"
    count = max(spec.min_features, 3)
    for first in (1, 2):
        strides = tuple(first << level for level in range(count))
        channels = tuple(range(4, 4 + count))
        module = _built(spec, options, channels=channels, strides=strides)
        promise(isinstance(module, Decoder), f"{what} must have `out_channels` and `stride`")
        sizes = [(4 * strides[-1], 6 * strides[-1])]
        if getattr(module, "any_size", False):
            sizes.append((4 * strides[-1] - 1, 2 * strides[-1] + 1))
        for size in sizes if not getattr(module, "eats", 0) else ():
            _check_maps(module.eval(), _pyramid(channels, strides, 1, size), size, what)
        features = _pyramid(channels, strides, 2, (32 * strides[-1], 32 * strides[-1]))
        promise_determinism(module, lambda m=module, f=features: [m(f)], what)
        promise_gradients(module, lambda m=module, f=features: _all_maps(m, f), what)


def _built(spec: EncoderSpec | DecoderSpec, options: dict[str, Any], **given: Any) -> nn.Module:
    module = resolve(spec.factory)(**spec.options, **given, **options)
    promise(isinstance(module, nn.Module), f"{spec.kind} {spec.name!r} must be an nn.Module")
    return module


def _pyramid(
    channels: Sequence[int], strides: Sequence[int], batch: int, size: tuple[int, int]
) -> list[Tensor]:
    height, width = size
    return [
        seeded(batch, channel, height // stride, width // stride, seed=stride)
        for channel, stride in zip(channels, strides, strict=True)
    ]


def _check_features(module: nn.Module, images: Tensor, what: str) -> None:
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
        promise(exact, f"{what}: at stride {stride} images {tuple(images.shape)} give {tuple(feature.shape)}")


def _all_maps(module: nn.Module, features: list[Tensor]) -> list[Tensor]:
    if not getattr(module, "side_channels", ()):
        return [module(features)]
    return cast("Any", module).side_features(features)


def _check_maps(module: nn.Module, features: list[Tensor], size: tuple[int, int], what: str) -> None:
    typed, result = cast("Any", module), module(features)
    low = tuple(side // typed.stride for side in size)
    promise(
        result.shape[1] == typed.out_channels and all(map(_within_one, result.shape[2:], low)),
        f"{what} declares {typed.out_channels} channels at stride {typed.stride}; "
        f"of an image of {size} it gives {tuple(result.shape)}",
    )
    maps, declared = _all_maps(module, features), getattr(module, "side_channels", ())
    if declared:
        channels = tuple(one.shape[1] for one in maps)
        promise(
            channels == (*declared, typed.out_channels) and maps[-1].equal(result),
            f"{what}: side_features must give maps of {declared} channels and, last, what calling it "
            f"returns; they have {channels}",
        )


def _within_one(real: int, wanted: int) -> bool:
    return abs(real - wanted) <= 1
