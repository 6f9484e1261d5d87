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

#: What every network can do, unless its spec says why not; with what that means.
CAPABILITIES: Mapping[str, str] = {
    "odd-sizes": "images of any height and width",
    "one-pixel": "images of a single pixel",
    "bands": "any number of bands",
    "one-image": "training on a batch of one image",
    "export": "torch.export with free height and width",
    "compile": "torch.compile",
    "onnx": "export to ONNX with free height and width, run by ONNX Runtime",
    "engines": "segzoo's engines, exact and fast",
    "pickle": "pickle, copy and folder of weights",
}


def check_limits(spec: Any) -> None:
    """Raise `UsageError` unless each limit is of a capability that there is, and says why."""
    for name, why in spec.limits.items():
        if name not in CAPABILITIES:
            close = did_you_mean(name, CAPABILITIES)
            raise UsageError(f"{spec.kind} {spec.name!r}: no capability is named {name!r}{close}")
        if not isinstance(why, str) or not why.strip():
            raise UsageError(
                f"{spec.kind} {spec.name!r}: limits[{name!r}] must say why not, and what to use instead"
            )


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """What an encoder has learnt before: the attribute ``pretraining`` of a module that holds the weights.

    Attributes:
        told: where the weights come from, as a sentence.
        preprocessing: how their training images were prepared, for as many bands as the encoder takes.
            A model that begins with them has it by default.
    """

    told: str
    preprocessing: Preprocessing


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(PartSpec):
    """An encoder: images in, a pyramid of features out.

    The factory is called as ``factory(in_channels=..., **options)`` and returns a module as
    `segzoo.interfaces.Encoder` describes.

    Attributes:
        channels: channels of each feature with default options, finest first.
        strides: stride of each feature, finest first; strictly increasing.
        pretrained: whether the factory takes ``pretrained=True``.
        limits: what a network with it cannot do, of `CAPABILITIES`: why, and what to use instead.
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
                f"{len(self.strides)} strides; it needs as many of one as of the other"
            )
        if list(self.strides) != sorted(set(self.strides)):
            raise UsageError(f"encoder {self.name!r}: strides {self.strides} must increase")


@dataclass(frozen=True, kw_only=True)
class DecoderSpec(PartSpec):
    """A decoder: a pyramid of features in, one feature map out.

    The factory is called as ``factory(channels=..., strides=..., **options)`` with what the encoder
    yields, and returns a module as `segzoo.interfaces.Decoder` describes. Where it takes ``num_classes``,
    it is told these, too.

    Attributes:
        encoder: the encoder of a model that names this decoder alone.
        min_features: how many features it needs at least.
        halving: whether each stride must be twice the one before.
        encoder_options: what it wants of its encoder, such as ``{"output_stride": 8}`` or
            ``{"features": "layers"}``. Encoders whose factory has a method ``granted`` are asked which of
            these they can do; others are built as they are. What a person says comes on top.
        limits: what a network with it cannot do, of `CAPABILITIES`: why, and what to use instead.
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
    """A whole network: a factory of its own, or a named pair of decoder and encoder.

    The factory is called as ``factory(num_classes=..., in_channels=..., **options)`` and may return
    any ``nn.Module`` that maps images ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``.

    Attributes:
        factory: of a network of its own, as ``"package.module:callable"``; imported only when it is built.
        encoder: of a pair, by name: the plug-in's own, else segzoo's, else whoever has it.
        decoder: of a pair, likewise.
        encoder_options: of the pair's encoder; those that people give come on top.
        decoder_options: of the pair's decoder, likewise.
        limits: what it cannot do, of `CAPABILITIES`: why, and what to use instead.
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
    """How another program names and orders the tensors of its checkpoints.

    The factory is called as ``factory(checkpoint, **options)`` with a
    `segzoo.weights.layouts.Checkpoint` and returns a `segzoo.weights.layouts.Conversion`.

    Attributes:
        signature: names of tensors that every file of this layout has and, together, no other.
        beside: what lies beside the tensors in every file of this layout: keys joined by dots, with or
            without a value, such as ``"config.model_type"`` or ``"config._model_class=Unet"``.
        fallback: whether it is for what no other layout converts: one that runs another library's own
            network is asked after those that convert to networks of segzoo.
        homepage: of the program.
        licence: of the program; that of weights is their owner's to say.
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
                f"layout {self.name!r} needs a tuple of at least one tensor's name as its signature, or of a "
                "key beside the tensors"
            )
