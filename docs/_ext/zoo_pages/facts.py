"""The data of the zoo's pages, from the same source as ``segzoo info`` and ``segzoo list``.

Exceptions in the code of a plug-in are stored as ``trouble``: the row then shows them, and the page is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import segzoo
from segzoo import zoo
from segzoo.cli import facts
from segzoo.errors import SegzooError
from zoo_pages.measuring import SIZE, Measured, measure
from zoo_pages.remembered import keep, remembered

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.config import ModelConfig
    from segzoo.plugins import PluginRecord
    from segzoo.registry import Entry
    from segzoo.specs import ModelSpec, WeightsSpec

#: Encoders that the page of models shows with every decoder; other timm encoders work too.
ENCODERS = ("resnet18", "resnet50", "efficientnet_b0", "convnext_tiny")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part in a registry.

    Attributes:
        name: shortest unambiguous name.
        entry: spec and owner.
        known: output of ``segzoo info --json``.
        trouble: why something is not known, in one line; empty if everything is known.
    """

    name: str
    entry: Entry[Any]
    known: dict[str, Any]
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Model(Part):
    """A model; ``weights`` are the names of weights for it."""

    measured: Measured
    weights: tuple[str, ...] = ()
    drawing: segzoo.Drawing | None = None


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """A decoder on an encoder; ``from_timm`` says whether only timm knows the encoder."""

    name: str
    decoder: str
    encoder: str
    owner: str
    measured: Measured
    from_timm: bool = True
    weights: tuple[str, ...] = ()
    drawing: segzoo.Drawing | None = None


@dataclass(frozen=True, kw_only=True)
class Weights(Part):
    """Weights; ``config`` describes them, and is ``None`` for weights of an encoder only."""

    config: ModelConfig | None
    measured: Measured
    bytes: int
    network: str
    scores: dict[str, Any] = field(default_factory=dict)
    drawing: segzoo.Drawing | None = None

    @property
    def of_encoder(self) -> bool:
        """Whether they are weights of an encoder only."""
        return not self.entry.spec.classes

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of their classes."""
        return self.config.labels.classes if self.config else self.entry.spec.classes

    @property
    def shipped(self) -> bool:
        """Whether they are bundled with a package, so that nothing is downloaded."""
        return bool(self.entry.spec.folder)


def one_line(error: BaseException) -> str:
    """Return an exception in one line."""
    # Further lines list other problems, such as plug-ins that did not load.
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, SegzooError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def guarded(do: Callable[[], Any], default: Any) -> tuple[Any, str]:
    """Return the result of ``do``, or the default and the error; plug-ins may raise anything."""
    try:
        return do(), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is not an Exception
        return default, one_line(error)


def failed_plugins() -> list[PluginRecord]:
    """Return the records of plug-ins that should have loaded and did not."""
    return [record for record in zoo.plugins if record.status in ("broken", "incompatible")]


def parts(kind: str) -> list[Part]:
    """Return all parts in the registry of a kind, sorted by name."""
    found = sorted(zoo.registry(kind).items())
    return [Part(name=name, entry=entry, **_known(entry)) for name, entry in found]


@cache
def models() -> list[Model]:
    """Return every registered model."""
    found = [_model(name, entry) for name, entry in sorted(zoo.registry("models").items())]
    keep()
    return found


@cache
def pairings() -> list[Pairing]:
    """Return every decoder on each of `ENCODERS`."""
    found = sorted(zoo.registry("decoders").items())
    pairs = [_pairing(name, entry.owner, encoder) for name, entry in found for encoder in ENCODERS]
    keep()
    return pairs


@cache
def weights() -> list[Weights]:
    """Return all registered weights: bundled weights first, weights of encoders last."""
    found = [_weights_or_trouble(name, entry) for name, entry in sorted(zoo.registry("weights").items())]
    keep()
    return sorted(found, key=lambda one: (not one.shipped, not one.entry.spec.classes))


def forget() -> None:
    """Clear the cached measurements, because the plug-ins changed."""
    for one in (models, pairings, weights):
        one.cache_clear()


def _known(entry: Entry[Any]) -> dict[str, Any]:
    said, trouble = guarded(
        lambda: remembered(entry.owner, ("facts", repr(entry)), lambda: facts.facts(entry)), {}
    )
    known = dict(said)
    return {"known": known, "trouble": trouble or known.get("trouble", "").partition("\n")[0]}


def _model(name: str, entry: Entry[ModelSpec]) -> Model:
    known = _known(entry)
    measured, trouble = guarded(lambda: _measured(entry.full_name, entry.owner), Measured())
    known["trouble"] = known["trouble"] or trouble
    return Model(
        name=name,
        entry=entry,
        measured=measured,
        weights=_weights_for(networks_of(entry)),
        drawing=_drawing(name, entry.owner),
        **known,
    )


def networks_of(entry: Entry[ModelSpec]) -> set[str]:
    """Return the names of a model in configs: its own, and that of its decoder on its encoder."""
    pair = "" if entry.spec.factory else guarded(lambda: zoo.pair_of(entry).full_name, "")[0]
    return {entry.full_name, pair or entry.full_name}


def _pairing(decoder: str, owner: str, encoder: str) -> Pairing:
    name = f"{decoder}/{encoder}"
    measured, trouble = guarded(lambda: _measured(name, owner), Measured())
    full, _ = guarded(lambda: zoo.find_model(name).full_name, name)
    measured = Measured(trouble=trouble) if trouble else measured
    return Pairing(
        name=name,
        decoder=decoder,
        encoder=encoder,
        owner=owner,
        measured=measured,
        from_timm=encoder not in zoo.registry("encoders"),
        weights=_weights_for({full}),
        drawing=_drawing(name, owner),
    )


def _measured(name: str, owner: str) -> Measured:
    def make() -> Measured:
        return measure(lambda: segzoo.create(name, num_classes=facts.CLASSES, in_channels=3, weights=None))

    return remembered(owner, ("measured", name), make)


def _drawing(name: str, owner: str) -> segzoo.Drawing | None:
    """Return the drawing of a model, or nothing if it cannot be drawn."""

    def make() -> segzoo.Drawing:
        return segzoo.draw(name, size=(SIZE, SIZE))

    return guarded(lambda: remembered(owner, ("drawing", name), make), None)[0]


def _weights_for(networks: set[str]) -> tuple[str, ...]:
    return tuple(one.name for one in weights() if one.network in networks)


def _weights_or_trouble(name: str, entry: Entry[WeightsSpec]) -> Weights:
    """Return weights; if their config cannot be understood, weights with that error."""
    nothing = {"known": {}, "config": None, "measured": Measured(), "bytes": entry.spec.bytes, "network": ""}
    found, trouble = guarded(lambda: _weights(name, entry), None)
    return found or Weights(name=name, entry=entry, trouble=trouble, **nothing)


def _weights(name: str, entry: Entry[WeightsSpec]) -> Weights:
    from segzoo.weights.sources import in_package

    spec = entry.spec
    known = _known(entry)
    config, _ = guarded(lambda: facts.config_of(spec), None)
    size = spec.bytes
    if spec.folder:
        size, _ = guarded(lambda: (in_package(spec) / "model.safetensors").stat().st_size, 0)
    measured, trouble = guarded(
        lambda: remembered(
            entry.owner, ("weights", entry.full_name), lambda: _measured_weights(entry, config)
        ),
        Measured(),
    )
    known["trouble"] = known["trouble"] or trouble
    network = config.architecture.name if config else ""
    return Weights(
        name=name,
        entry=entry,
        config=config,
        measured=measured,
        bytes=size,
        network=network,
        scores=measured_scores(config),
        # Other weights have the network of a model or a pairing, whose drawing is shown there.
        drawing=_drawing(entry.full_name, entry.owner) if spec.folder else None,
        **known,
    )


def _measured_weights(entry: Entry[WeightsSpec], config: ModelConfig | None) -> Measured:
    if config is None and entry.spec.classes:
        return Measured()
    if config is None:
        encoder = zoo.find_encoder(zoo.registry("encoders").meant(entry.spec.model, entry.owner)).spec
        return measure(lambda: segzoo.plugins.resolve(encoder.factory)(in_channels=3, **encoder.options))
    channels = config.architecture.in_channels
    return measure(lambda: segzoo.create(entry.full_name, weights=None), input_size(config), channels)


def input_size(config: ModelConfig) -> tuple[int, int]:
    """Return the height and width of the network's input: the resized image, or the crops in training."""
    resize = config.preprocessing.resize
    if resize is not None and resize.mode != "scale":
        # If the aspect ratio is kept, assume a square image.
        return resize.height or resize.short, resize.width or resize.short
    recipe = config.provenance.get("recipe") or {}
    augment = recipe.get("augment") or {}
    crop = augment.get("crop", {}).get("size") or recipe.get("crop") or SIZE
    return (crop, crop) if isinstance(crop, int) else tuple(crop)


def measured_scores(config: ModelConfig | None) -> dict[str, Any]:
    """Return the scores on the scored part of the data: ``{"images": 60, "iou": {...}}``."""
    if config is None:
        return {}
    said = config.provenance
    found = said.get(said.get("scored", ""), {})
    return dict(found) if isinstance(found, dict) else {}
