"""The registries, filled once on first use, and the way from a name to specs.

``zoo.encoders``, ``zoo.decoders``, ``zoo.models``, ``zoo.weights``, ``zoo.datasets``,
``zoo.metrics`` and ``zoo.losses`` are `segzoo.registry.Registry` objects; ``zoo.plugins`` lists what
became of each plug-in. Nothing here imports torch, but for an encoder that only timm may know.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from segzoo.errors import AmbiguousNameError, PluginError, UnknownNameError, did_you_mean
from segzoo.plugins import SPEC_TYPES, PluginRecord, collect
from segzoo.registry import Entry, Registry, plural

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.specs import (
        DatasetSpec,
        DecoderSpec,
        EncoderSpec,
        LossSpec,
        MetricSpec,
        ModelSpec,
        WeightsSpec,
    )

    encoders: Registry[EncoderSpec]
    decoders: Registry[DecoderSpec]
    models: Registry[ModelSpec]
    weights: Registry[WeightsSpec]
    datasets: Registry[DatasetSpec]
    metrics: Registry[MetricSpec]
    losses: Registry[LossSpec]
    plugins: list[PluginRecord]

#: The kinds of which a zoo holds a registry, in the order in which commands show them.
KINDS = tuple(plural(spec_type.kind) for spec_type in SPEC_TYPES)


@dataclass(frozen=True)
class Pair:
    """A decoder and the encoder that feeds it."""

    decoder: Entry[DecoderSpec]
    encoder: Entry[EncoderSpec]

    @property
    def full_name(self) -> str:
        """The name that means this pair whatever else is installed."""
        return f"{self.decoder.full_name}/{self.encoder.full_name}"


class _Zoo(NamedTuple):
    registries: dict[str, Registry[Any]]
    plugins: list[PluginRecord]


_lock = threading.Lock()
_filled: _Zoo | None = None
_folders: list[Path] = []


def refresh() -> None:
    """Forget what was found, so that the next use looks for plug-ins again."""
    global _filled
    with _lock:
        _filled = None


def add_folder(folder: Path) -> None:
    """Look for plug-ins in the source trees below ``folder`` too, before the installed ones."""
    if folder not in _folders:
        _folders.append(folder)
        refresh()


def registry(kind: str) -> Registry[Any]:
    """Return the registry of a kind, given in the plural: ``"encoders"``."""
    return _zoo().registries[kind]


def __getattr__(name: str) -> Any:
    if name == "plugins":
        return _zoo().plugins
    if name in KINDS:
        return registry(name)
    raise AttributeError(f"module 'segzoo.zoo' has no attribute {name!r}")


def _zoo() -> _Zoo:
    global _filled
    with _lock:
        if _filled is None:
            _filled = _fill()
        return _filled


def _fill() -> _Zoo:
    registries: dict[str, Registry[Any]] = {plural(t.kind): Registry(t) for t in SPEC_TYPES}
    records = []
    for contribution in collect(_folders):
        record = contribution.record
        try:
            for kind, target in registries.items():
                specs = [spec for spec in contribution.specs if plural(spec.kind) == kind]
                target.check(*specs, owner=record.distribution)
        except PluginError as error:
            records.append(replace(record, status="broken", error=str(error), provides={}))
            continue
        for spec in contribution.specs:
            registries[plural(spec.kind)].add(spec, owner=record.distribution)
        records.append(record)
    return _Zoo(registries, records)


def find_model(name: str) -> Entry[ModelSpec] | Entry[WeightsSpec] | Pair:
    """Return what ``name`` builds: a model, weights, ``decoder/encoder``, ``decoder-encoder``, in this order.

    Raises:
        AmbiguousNameError: the name fits two things equally well.
        UnknownNameError: it fits none; the text holds close matches and plug-ins that failed.
    """
    for kind in ("models", "weights"):
        if name in registry(kind):
            return registry(kind).entry(name)
    decoders = registry("decoders")
    if "/" in name:
        decoder, _, encoder = name.partition("/")
        return Pair(decoders.entry(decoder), find_encoder(encoder))
    pairs = _hyphen_pairs(name)
    if len(pairs) > 1:
        say = " or ".join(repr(f"{pair.decoder.spec.name}/{pair.encoder.spec.name}") for pair in pairs)
        raise AmbiguousNameError(f"{name!r} can be read in {len(pairs)} ways: say {say}")
    if pairs:
        return pairs[0]
    if name in decoders:
        found = decoders.entry(name)
        return Pair(found, find_encoder(found.spec.encoder))
    raise UnknownNameError(_unknown_model(name))


def find_encoder(name: str) -> Entry[EncoderSpec]:
    """Return the encoder ``name``: a registered one, else a timm backbone (also as ``timm:name``).

    Raises:
        AmbiguousNameError: several plug-ins claim the name.
        UnknownNameError: no plug-in registers it and timm does not know it.
    """
    encoders = registry("encoders")
    if name in encoders:
        return encoders.entry(name)
    found = _timm_encoder(name.removeprefix("timm:"))
    if found is None:
        raise UnknownNameError(f"{encoders.unknown(name)}, and timm has none of that name{_failed_plugins()}")
    return found


def _timm_encoder(name: str) -> Entry[EncoderSpec] | None:
    from segzoo.encoders.timm import describe

    spec = describe(name)
    return None if spec is None else Entry(spec, "timm")


def _hyphen_pairs(name: str) -> list[Pair]:
    decoders, encoders = registry("decoders"), registry("encoders")
    pairs = []
    for index, character in enumerate(name):
        decoder, encoder = name[:index], name[index + 1 :]
        if character == "-" and encoder and decoder in decoders:
            found = encoders.entry(encoder) if encoder in encoders else _timm_encoder(encoder)
            if found is not None:
                pairs.append(Pair(decoders.entry(decoder), found))
    return pairs


def _unknown_model(name: str) -> str:
    known = [*registry("models").names(), *registry("weights").names()]
    known += [f"{d}-{e}" for d in registry("decoders").names() for e in registry("encoders").names()]
    hint = did_you_mean(name, known)
    return (
        f"no model or weights are named {name!r}{hint}; `segzoo list models` and `segzoo list weights` show"
        f" what there is, any `decoder/encoder` goes too, and `pip install` of a plug-in adds more"
        f"{_failed_plugins()}"
    )


def _failed_plugins() -> str:
    failed = [record for record in _zoo().plugins if record.status in ("broken", "incompatible", "blocked")]
    if not failed:
        return ""
    told = "; ".join(f"{record.distribution} ({record.status}: {record.error})" for record in failed)
    return f"\nplug-ins that did not load: {told}"
