"""The registries, filled once on first use, and the lookup of specs by name.

``zoo.encoders``, ``zoo.decoders``, ``zoo.models``, ``zoo.weights``, ``zoo.datasets``,
``zoo.metrics``, ``zoo.losses``, ``zoo.augmentations`` and so on are `segzoo.registry.Registry` objects;
``zoo.plugins`` lists the state of each plug-in. Nothing here imports torch, except for an encoder
that only timm may know.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import invalidate_caches
from typing import TYPE_CHECKING, Any, NamedTuple

from segzoo import elsewhere
from segzoo.discovery import check_allowed, refusing
from segzoo.errors import (
    AmbiguousNameError,
    PluginError,
    UnknownNameError,
    did_you_mean,
    is_address,
    no_address,
)
from segzoo.options import listed, shown
from segzoo.plugins import SPEC_TYPES, Contribution, PluginRecord, collect, strict
from segzoo.registry import Entry, Registry, clashes, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from segzoo.specs import (
        AugmentationSpec,
        ClusterSpec,
        DatasetSpec,
        DecoderSpec,
        EncoderSpec,
        EngineSpec,
        ExportSpec,
        LossSpec,
        MetricSpec,
        ModelSpec,
        OptimizerSpec,
        OutputSpec,
        ReaderSpec,
        RecipeSpec,
        ScheduleSpec,
        TrackerSpec,
        WeightsSpec,
    )

    #: From images to pyramids of features.
    encoders: Registry[EncoderSpec]
    #: From pyramids of features to maps.
    decoders: Registry[DecoderSpec]
    #: Whole networks, and named combinations of decoder and encoder.
    models: Registry[ModelSpec]
    #: Trained weights, each with everything that prediction needs.
    weights: Registry[WeightsSpec]
    #: Images with their masks.
    datasets: Registry[DatasetSpec]
    #: Scores with their contracts.
    metrics: Registry[MetricSpec]
    #: Loss functions for training.
    losses: Registry[LossSpec]
    #: Steps of augmentation.
    augmentations: Registry[AugmentationSpec]
    #: Optimizers.
    optimizers: Registry[OptimizerSpec]
    #: Learning rate schedules.
    schedules: Registry[ScheduleSpec]
    #: Experiment trackers.
    trackers: Registry[TrackerSpec]
    #: Readers of image files.
    readers: Registry[ReaderSpec]
    #: Output files for segmentations.
    outputs: Registry[OutputSpec]
    #: Inference engines.
    engines: Registry[EngineSpec]
    #: File formats for exported models.
    exports: Registry[ExportSpec]
    #: Clusters that compute a run in parallel.
    clusters: Registry[ClusterSpec]
    #: Recipes for `segzoo train NAME`.
    recipes: Registry[RecipeSpec]
    #: State of each plug-in, segzoo's built-in plug-in first.
    plugins: list[PluginRecord]

#: The kinds of registries, in the order in which commands show them.
KINDS = tuple(plural(spec_type.kind) for spec_type in SPEC_TYPES)


#: Prefixes for the names of timm backbones.
_TIMM_MARKS = ("timm:", "timm/", "tu-")


@dataclass(frozen=True)
class Pair:
    """A decoder and its encoder.

    Attributes:
        decoder: spec of the decoder, and its owner.
        encoder: spec of the encoder, and its owner.
    """

    decoder: Entry[DecoderSpec]
    encoder: Entry[EncoderSpec]

    @property
    def full_name(self) -> str:
        """The unambiguous name of this pair, independent of other plug-ins."""
        return f"{self.decoder.full_name}/{self.encoder.full_name}"


class _Zoo(NamedTuple):
    registries: dict[str, Registry[Any]]
    plugins: list[PluginRecord]


# The thread that fills the zoo may come back through a plug-in, which is then an error.
_lock = threading.RLock()
_filled: _Zoo | None = None
_filling = False
_folders: list[Path] = []
_held: Sequence[Contribution] | None = None


def refresh() -> None:
    """Forget the plug-ins, so that the next use looks for them again."""
    global _filled
    with _lock:
        invalidate_caches()
        _filled = None


def add_folder(folder: Path) -> None:
    """Also look for plug-ins in the source trees below ``folder``, before the installed ones."""
    check_allowed()
    folder = folder.resolve()
    if folder not in _folders:
        _folders.append(folder)
        refresh()


def folders() -> list[Path]:
    """Return the additional folders of source trees."""
    return list(_folders)


def isolated() -> bool:
    """Return whether a test controls the content of the zoo."""
    return _held is not None


@contextmanager
def holding(contributions: Sequence[Contribution]) -> Iterator[None]:
    """Use these plug-ins and look for no others; afterwards the zoo is restored.

    For tests: see `segzoo.testing.isolated_zoo`.

    Raises:
        PluginError: two parts of one distribution have the same name.
    """
    global _filled, _held
    before = (_filled, _held)
    with refusing("the zoo is isolated: it contains only the test's plug-ins"):
        try:
            with _lock:
                _held = contributions
                _filled = _fill()
            yield
        finally:
            with _lock:
                _filled, _held = before


def registry(kind: str) -> Registry[Any]:
    """Return the registry of a kind, given in the plural, such as ``"encoders"``."""
    return _zoo().registries[kind]


def __getattr__(name: str) -> Any:
    if name == "plugins":
        return _zoo().plugins
    if name in KINDS:
        return registry(name)
    raise AttributeError(f"module 'segzoo.zoo' has no attribute {name!r}")


def _zoo() -> _Zoo:
    global _filled, _filling
    with _lock:
        if _filled is None:
            if _filling:
                raise PluginError(
                    "the zoo is being filled: a plug-in may use it when a part is built,"
                    " but not when it is imported or lists its parts"
                )
            _filling = True
            try:
                _filled = _fill()
            finally:
                _filling = False
        return _filled


def _fill() -> _Zoo:
    registries = {plural(t.kind): Registry(t, footnote=_footnote) for t in SPEC_TYPES}
    records = []
    for contribution in collect(_folders) if _held is None else _held:
        record = contribution.record
        try:
            _add(registries, contribution)
        except PluginError as error:
            if strict() or _held is not None:
                raise
            record = replace(record, status="broken", error=str(error), provides={})
        records.append(record)
    told = clashes(registries.values())
    more = [(*record.warnings, *told.get(record.distribution, ())) for record in records]
    records = [replace(record, warnings=lines) for record, lines in zip(records, more, strict=True)]
    return _Zoo(registries, records)


def _add(registries: dict[str, Registry[Any]], contribution: Contribution) -> None:
    """Add all of a plug-in's specs, or none if its own distribution already has one of their names."""
    owner = contribution.record.distribution
    specs = {
        kind: [spec for spec in contribution.specs if isinstance(spec, target.spec_type)]
        for kind, target in registries.items()
    }
    for kind, target in registries.items():
        target.check(*specs[kind], owner=owner)
    for kind, other in (("models", "weights"), ("weights", "models")):
        for spec in specs[kind]:
            # `create` accepts both, so one owner cannot give both the same name.
            twice = any(entry.owner == owner for entry in registries[other].find(spec.name))
            if twice or any(spec.name in (s.name, *s.aliases) for s in specs[other]):
                raise PluginError(f"{owner} names both a model and weights {spec.name!r}")
    for kind, target in registries.items():
        target.add(*specs[kind], owner=owner)


def find_model(name: str) -> Entry[ModelSpec] | Entry[WeightsSpec] | Pair:
    """Return what ``name`` means: a model, weights, ``decoder/encoder``, ``decoder-encoder``, in this order.

    Raises:
        AmbiguousNameError: the name has two equally good meanings.
        UnknownNameError: it has none; the message suggests similar names and lists plug-ins that failed.
    """
    named = [*registry("models").find(name), *registry("weights").find(name)]
    if len(named) > 1:
        say = " or ".join(repr(entry.full_name) for entry in named)
        raise AmbiguousNameError(f"{len(named)} plug-ins have a model or weights named {name!r}: say {say}")
    if named:
        return named[0]
    decoders = registry("decoders")
    if is_address(name):
        how = no_address(name, "use a name, a folder, local-dir:PATH or hf-hub:ORG/NAME")
        raise UnknownNameError(f"no model or weights are named {name!r}{how}")
    if "/" in name and not name.startswith("timm/"):
        decoder, _, encoder = name.partition("/")
        try:
            return Pair(decoders.entry(decoder), find_encoder(encoder))
        except UnknownNameError as error:
            also = "" if decoder in decoders else of_hub(name)
            raise UnknownNameError(f"{name!r}: {error}{also}") from error
    pairs = _hyphen_pairs(name)
    if len(pairs) > 1:
        say = " or ".join(repr(f"{pair.decoder.spec.name}/{pair.encoder.spec.name}") for pair in pairs)
        raise AmbiguousNameError(f"{name!r} can be read in {len(pairs)} ways: say {say}")
    if pairs:
        return pairs[0]
    if name in decoders:
        return pair_of(decoders.entry(name))
    raise UnknownNameError(_unknown_model(name))


def pair_of(found: Entry[Any]) -> Pair:
    """Return a decoder, also for a model made of decoder and encoder, and the encoder that its spec names."""
    decoders, encoder = registry("decoders"), registry("encoders").meant(found.spec.encoder, found.owner)
    made_of_two = found.spec.kind == "model"
    decoder = decoders.entry(decoders.meant(found.spec.decoder, found.owner)) if made_of_two else found
    return Pair(decoder, find_encoder(encoder))


def limits_of(found: Entry[Any] | Pair) -> dict[str, str]:
    """Return what a model does not support, of `segzoo.specs.CAPABILITIES`, and why; including its parts."""
    if isinstance(found, Pair):
        return {**found.encoder.spec.limits, **found.decoder.spec.limits}
    whole = found.spec
    of_parts = limits_of(pair_of(found)) if whole.kind == "model" and not whole.factory else {}
    return {**of_parts, **whole.limits}


def find_encoder(name: str) -> Entry[EncoderSpec]:
    """Return the encoder ``name``: a registered one, else a timm backbone.

    A prefix marks a timm backbone: ``timm:name``, ``timm/name`` as on the Hugging Face Hub, or
    ``tu-name`` as in segmentation_models.pytorch.

    Raises:
        AmbiguousNameError: several plug-ins claim the name.
        UnknownNameError: no plug-in registers it and timm does not know it.
    """
    encoders = registry("encoders")
    if name in encoders:
        return encoders.entry(name)
    found = _timm_encoder(name)
    if found is None:
        known = [*encoders.names(), *timm_names()]
        hint = did_you_mean(_in_timm(name), known) or _containing(_in_timm(name), known)
        raise UnknownNameError(
            f"no encoder is named {shown(name)}, by a plug-in or by timm{hint or ';'} "
            f"`segzoo list encoders` shows all {len(encoders)} from plug-ins{_footnote(name)}"
        )
    return found


def _timm_encoder(name: str) -> Entry[EncoderSpec] | None:
    from segzoo.encoders.backbones import describe

    spec = describe(_in_timm(name))
    return None if spec is None else Entry(spec, "timm")


def _in_timm(name: str) -> str:
    """Return a backbone's name without the prefix for timm."""
    return next((name.removeprefix(mark) for mark in _TIMM_MARKS if name.startswith(mark)), name)


def _containing(part: str, known: Sequence[str]) -> str:
    """Return the shortest names that contain a word, as a question; "" if there are none."""
    found = sorted((name for name in known if part in name), key=len)[:3] if len(part) > 2 else []
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def timm_names() -> list[str]:
    """Return the names of timm's backbones; not all of them return a pyramid of features."""
    import timm

    return timm.list_models()


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
    decoders = registry("decoders").names()
    known = [*registry("models").names(), *registry("weights").names()]
    known += [f"{decoder}-{encoder}" for decoder in decoders for encoder in registry("encoders").names()]
    known += [f"{d}-{encoder}" for d in decoders if name.startswith(f"{d}-") for encoder in timm_names()]
    hint = did_you_mean(name, known)
    return (
        f"no model or weights are named {shown(name)}{hint or ';'} `segzoo list models` and `segzoo list "
        "weights` show the available ones, any `decoder/encoder` works too, and plug-ins add "
        f"more{_lone_encoder(name)}{_footnote(name)}"
    )


def _lone_encoder(name: str) -> str:
    """Return a hint if a timm name is used as a model; "" for other names."""
    # Importing timm takes seconds, and nearly all of its names contain a digit.
    if not any(letter.isdigit() for letter in name) or _in_timm(name) not in timm_names():
        return ""
    return f"\n{name!r} is a timm encoder: add a decoder, such as 'unet/{name}'"


def _footnote(name: str) -> str:
    """Return other meanings of a name, and the plug-ins that failed."""
    others = [plural(t.kind) for t in SPEC_TYPES if name in registry(plural(t.kind))]
    found = f"\n{name!r} is among the {' and the '.join(others)}" if others else ""
    return f"{found}{needs(name)}{_failed_plugins()}"


def needs(name: str) -> str:
    """Return a line that says which plug-in a name needs; "" if it is installed."""
    missing = not_installed(elsewhere.plugin_of(name))
    return f"\n{name!r} needs {missing}" if missing else ""


def of_hub(name: str) -> str:
    """Return a line about the repository on the Hub that a name may mean; "" for others."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w.-]+)?", name):
        return ""
    repo = name.partition("@")[0].lower()
    names = [one for one, entry in registry("weights").items() if _repository(entry.spec) == repo]
    here = f", or use {' or '.join(map(repr, names))}, its name in segzoo" if names else ""
    return f"\nfor a repository on the Hugging Face Hub say hf-hub:{name}{here}"


def _repository(spec: WeightsSpec) -> str:
    return spec.hub.partition("@")[0].lower()


def weights_of(model: str) -> str:
    """Return a line with the registered weights of a network, by its full name; "" if there are none."""
    meant = registry("models").meant
    every = registry("weights").items()
    names = [name for name, entry in every if meant(entry.spec.model, entry.owner) == model]
    return f"\nweights for it, which can be used by name: {listed(names)}" if names else ""


def not_installed(plugin: str) -> str:
    """Return what to say of a plug-in of segzoo's repository that did not load; "" where it did."""
    records = [record for record in _zoo().plugins if record.distribution == plugin]
    if not plugin or any(record.status == "ok" for record in records):
        return ""
    if records:
        return f"the plug-in {plugin}, which did not load ({records[0].status}: {records[0].error})"
    return f"the plug-in {plugin}, which is not installed: {elsewhere.install(plugin)}"


def _failed_plugins() -> str:
    failed = [record for record in _zoo().plugins if record.status in ("broken", "incompatible", "blocked")]
    if not failed:
        return ""
    told = "; ".join(f"{record.distribution} ({record.status}: {record.error})" for record in failed)
    return f"\nplug-ins that did not load: {told}"
