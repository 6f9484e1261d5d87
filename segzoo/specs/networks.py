"""Encoders, decoders, whole models, and the layouts of other programs' checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from segzoo.deprecation import renamed_fields
from segzoo.errors import UsageError, did_you_mean
from segzoo.specs.base import PartSpec, Spec, check_factory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.specs.pictures import Preprocessing

#: Abilities of every network, unless its spec gives a reason against one; with descriptions.
CAPABILITIES: Mapping[str, str] = {
    "odd-sizes": "images of any height and width",
    "one-pixel": "images of a single pixel",
    "bands": "any number of bands",
    "one-image": "training on a batch of one image",
    "export": "torch.export with free height and width",
    "compile": "torch.compile",
    "onnx": "export to ONNX with free height and width, run by ONNX Runtime",
    "engines": "segzoo's inference engines, exact and fast",
    "pickle": "pickle, copy and folder of weights",
}


def check_limits(spec: Any) -> None:
    """Raise `UsageError` unless each limit names a known capability and gives a reason."""
    for name, why in spec.limits.items():
        if name not in CAPABILITIES:
            close = did_you_mean(name, CAPABILITIES)
            raise UsageError(f"{spec.kind} {spec.name!r}: no capability is named {name!r}{close}")
        if not isinstance(why, str) or not why.strip():
            raise UsageError(
                f"{spec.kind} {spec.name!r}: limits[{name!r}] must give a reason, and what to use instead"
            )


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """The pretraining of an encoder: the attribute ``pretraining`` of a module that holds the weights.

    Attributes:
        told: name of the weights and of their data, for people.
        preprocessing: preprocessing of their training images, for as many bands as the encoder takes.
            A model that starts with them uses it by default.
    """

    told: str
    preprocessing: Preprocessing


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(PartSpec):
    """An encoder: computes a pyramid of features from images.

    The factory is called as ``factory(in_channels=..., **options)`` and returns a module that implements
    `segzoo.interfaces.Encoder`.

    Attributes:
        channels: channels of each feature with default options, finest first.
        strides: stride of each feature, finest first; strictly increasing.
        pretrained: whether the factory takes ``pretrained=True``.
        limits: `CAPABILITIES` that a network with it does not have: the reason, and what to use instead.
    """

    kind: ClassVar[str] = "encoder"

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pretrained: bool = False
    limits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self)
        if len(self.channels) != len(self.strides) or not self.strides:
            raise UsageError(
                f"encoder {self.name!r} declares {len(self.channels)} channels and "
                f"{len(self.strides)} strides; both numbers must be equal"
            )
        if list(self.strides) != sorted(set(self.strides)):
            raise UsageError(f"encoder {self.name!r}: strides {self.strides} must increase")


@dataclass(frozen=True, kw_only=True)
class DecoderSpec(PartSpec):
    """A decoder: computes one feature map from a pyramid of features.

    The factory is called as ``factory(channels=..., strides=..., **options)`` with the values of the
    encoder, and returns a module that implements `segzoo.interfaces.Decoder`. If it takes ``num_classes``,
    it gets these too.

    Attributes:
        encoder: the encoder of a model if only this decoder is named.
        min_features: the minimum number of features.
        halving: whether each stride must be twice the one before.
        encoder_options: requests to its encoder, such as ``{"output_stride": 8}`` or
            ``{"features": "layers"}``. Encoders whose factory has a method ``granted`` are asked which of
            them they support; others are built without them. The user's options override them.
        limits: `CAPABILITIES` that a network with it does not have: the reason, and what to use instead.
    """

    kind: ClassVar[str] = "decoder"

    encoder: str = "plain"
    min_features: int = 2
    halving: bool = True
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A whole network: with its own factory, or a named pair of decoder and encoder.

    The factory is called as ``factory(num_classes=..., in_channels=..., **options)`` and may return
    any ``nn.Module`` that maps images ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``.

    Attributes:
        factory: location of the network's own factory, ``"package.module:callable"``; imported only when
            built.
        encoder: encoder of a pair, by name: the plug-in's own, else segzoo's, else any plug-in's.
        decoder: decoder of a pair, found in the same way.
        encoder_options: options of the pair's encoder; the user's options override them.
        decoder_options: options of the pair's decoder; the user's options override them.
        limits: `CAPABILITIES` that it does not have: the reason, and what to use instead.
    """

    kind: ClassVar[str] = "model"

    factory: str = ""
    encoder: str = ""
    decoder: str = ""
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    decoder_options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self)
        if bool(self.factory) == bool(self.encoder and self.decoder):
            raise UsageError(f"model {self.name!r} needs either a factory or an encoder and a decoder")
        if self.factory:
            check_factory(self)


@renamed_fields(marks="signature")
@dataclass(frozen=True, kw_only=True)
class LayoutSpec(PartSpec):
    """The names and the order of the tensors in another program's checkpoints.

    The factory is called as ``factory(checkpoint, **options)`` with a
    `segzoo.weights.layouts.Checkpoint` and returns a `segzoo.weights.layouts.Conversion`.

    Attributes:
        signature: names of tensors that every file of this layout has and, together, no other file.
        beside: entries that every file of this layout has next to the tensors: keys joined by dots, with
            or without a value, such as ``"config.model_type"`` or ``"config._model_class=Unet"``.
        fallback: whether it is tried only after other layouts: one that runs another library's own
            network comes after those that convert to networks of segzoo.
        homepage: web page of the program.
        licence: licence of the program; the owner of weights defines theirs.
    """

    kind: ClassVar[str] = "layout"

    signature: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    fallback: bool = False
    homepage: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.signature and not self.beside:
            raise UsageError(
                f"layout {self.name!r} needs a tuple with the name of at least one tensor as its signature, "
                "or a key in beside"
            )
