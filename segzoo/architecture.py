"""From a name and options to a network: which part takes which option, and building it.

`plan` turns what a person said into an `Architecture`, complete and as data; `build` turns an
`Architecture` into a module. A folder of weights stores the one and calls the other.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo import zoo
from segzoo.allocation import Allocation, AllocationError, machine_bytes
from segzoo.config import Architecture
from segzoo.errors import OptionError, PluginError, SegzooError, did_you_mean
from segzoo.http import refusing_offline
from segzoo.options import MOST_CHANNELS, check_integer, shown
from segzoo.plugins import resolve
from segzoo.plugins.guard import building
from segzoo.segmenter import Segmenter
from segzoo.specs import EncoderSpec, ModelSpec, PartSpec, WeightsSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.registry import Entry
    from segzoo.specs import DecoderSpec

#: What `build` passes to factories by itself, so that no option may.
_GIVEN = {"self", "in_channels", "num_classes", "channels", "strides"}
_SEGMENTER_OPTIONS = ("mirror",)

Choice = str | Mapping[str, Any] | None


def plan(
    name: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    encoder: Choice = None,
    decoder: Choice = None,
    options: Mapping[str, Any],
) -> Architecture:
    """Return the architecture that ``name`` and options stand for.

    Args:
        name: a model, ``decoder/encoder`` or ``decoder-encoder``.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        encoder: another encoder's name, or options for the encoder alone.
        decoder: another decoder's name, or options for the decoder alone.
        options: each goes to every part that has an option of that name.

    Raises:
        OptionError: no part has such an option, or a number is out of range.
        UnknownNameError: there is no such model, encoder or decoder.
    """
    check_integer("num_classes", num_classes, 1, MOST_CHANNELS)
    check_integer("in_channels", in_channels, 1, MOST_CHANNELS)
    _check_choices(encoder=encoder, decoder=decoder)
    found = zoo.find_model(name)
    pair = _pair(found, name, encoder, decoder)
    if pair is None:
        return _plan_model(found, num_classes, in_channels, encoder, decoder, options)
    spec = None if isinstance(found, zoo.Pair) else found.spec
    preset = spec if isinstance(spec, ModelSpec) and not spec.factory else None
    known = [*_option_names(pair.encoder.spec), *_option_names(pair.decoder.spec), *_SEGMENTER_OPTIONS]
    _check_options(options, known, repr(pair.full_name), model=found.full_name)
    return Architecture(
        name=pair.full_name,
        num_classes=num_classes,
        in_channels=in_channels,
        options={key: value for key, value in options.items() if key in _SEGMENTER_OPTIONS},
        encoder={
            **_granted(pair),
            **_plan_part(pair.encoder, encoder, preset.encoder_options if preset else {}, options),
        },
        decoder=_plan_part(pair.decoder, decoder, preset.decoder_options if preset else {}, options),
        requires=_versions(pair.decoder.owner, pair.encoder.owner),
    )


def altered(architecture: Architecture, **options: Any) -> Architecture:
    """Return an architecture with other options of its model, or of the `segzoo.Segmenter` around a pair.

    Raises:
        OptionError: it has no such option.
        UnknownNameError: a plug-in that brings a part is not installed.
    """
    found = zoo.find_model(architecture.name)
    _check_options(options, _model_options(found), repr(architecture.name))
    return replace(architecture, options={**architecture.options, **options})


def build(architecture: Architecture, *, most: int | None = None) -> nn.Module:
    """Build the network that an architecture describes, with fresh weights.

    Args:
        architecture: architecture to build.
        most: bytes of memory that its tensors may take; those of the machine where ``None``.

    Raises:
        OptionError: it gives a part an option that the part does not have, or a value that it refuses;
            or the network would take more memory than it may.
        PluginError: a factory does not exist, fails by itself, or returns something else than it promised.
        UnknownNameError: a plug-in that brings a part is not installed.
    """
    found = zoo.find_model(architecture.name)
    _check_options(architecture.options, _model_options(found), repr(architecture.name))
    try:
        with Allocation(machine_bytes() if most is None else most):
            return _network(found, architecture)
    except AllocationError as error:
        raise OptionError(f"{_asked(architecture)} cannot be built: {error}") from error
    except (SegzooError, NotImplementedError):
        raise
    except (ImportError, SyntaxError) as error:
        raise PluginError(f"{architecture.name!r} cannot be built: {_told(error)}") from error
    except Exception as error:  # whatever a part makes of options that it does not check
        raise OptionError(f"{_asked(architecture)} cannot be built: {_told(error)}") from error


def without_values(make: Callable[[], nn.Module]) -> nn.Module | None:
    """Return the network that a function makes, without memory for its values.

    Its result is ``None`` if a part computes with values while it is built.
    """
    try:
        with torch.device("meta"):
            return make()
    except (RuntimeError, OptionError) as error:
        # `build` puts what a part raised behind an error of its own.
        raised = error.__cause__ if isinstance(error, OptionError) else error
        if isinstance(raised, SegzooError) or not isinstance(raised, RuntimeError):
            raise
        return None


def _asked(architecture: Architecture) -> str:
    """Return what was asked for, shortened."""
    given = {"num_classes": architecture.num_classes, "in_channels": architecture.in_channels}
    parts = {"encoder": architecture.encoder, "decoder": architecture.decoder}
    given |= {**architecture.options, **{part: options for part, options in parts.items() if options}}
    told = ", ".join(f"{name}={shown(value)}" for name, value in given.items())
    return f"{architecture.name!r} with {told}"


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _network(found: Any, architecture: Architecture) -> nn.Module:
    if not isinstance(found, zoo.Pair):
        return _build_model(found, architecture)
    encoder = _make(found.encoder, architecture.encoder, in_channels=architecture.in_channels)
    channels, strides = _features_of(encoder, found.encoder)
    _check_pair(found, strides)
    given: dict[str, Any] = {"channels": channels, "strides": strides}
    if "num_classes" in inspect.signature(resolve(found.decoder.spec.factory)).parameters:
        given["num_classes"] = architecture.num_classes
    decoder = _make(found.decoder, architecture.decoder, **given)
    for attribute in ("out_channels", "stride"):
        if not isinstance(getattr(decoder, attribute, None), int):
            raise PluginError(f"decoder {found.decoder.full_name!r} has no integer `{attribute}`")
    return Segmenter(encoder, decoder, num_classes=architecture.num_classes, **architecture.options)


def _pair(found: Any, name: str, encoder: Choice, decoder: Choice) -> zoo.Pair | None:
    """Return decoder and encoder where the model is made of two, ``None`` where it has its own factory."""
    if isinstance(found, zoo.Pair):
        pair = found
    elif isinstance(found.spec, ModelSpec) and not found.spec.factory:
        pair = zoo.pair_of(found)
    elif isinstance(encoder, str) or isinstance(decoder, str):
        # "unet" is a network of its own and a decoder: with another encoder the decoder is meant.
        pair = zoo.pair_of(zoo.registry("decoders").entry(decoder if isinstance(decoder, str) else name))
    else:
        return None
    if isinstance(decoder, str):
        pair = zoo.Pair(zoo.registry("decoders").entry(decoder), pair.encoder)
    if isinstance(encoder, str):
        pair = zoo.Pair(pair.decoder, zoo.find_encoder(encoder))
    return pair


def _plan_part(
    entry: Entry[EncoderSpec] | Entry[DecoderSpec],
    choice: Choice,
    preset: Mapping[str, Any],
    shared: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a part's options: what the model presets, then what all parts share, then the part's own."""
    takes = _option_names(entry.spec)
    # What a model presets is meant for the part that it names, not for another one.
    options = {} if isinstance(choice, str) else dict(preset)
    options.update({key: value for key, value in shared.items() if key in takes})
    if isinstance(choice, Mapping):
        _check_options(choice, takes, f"{entry.spec.kind} {entry.full_name!r}")
        options.update(choice)
    return options


def _granted(pair: zoo.Pair) -> dict[str, Any]:
    """Return the options with which an encoder does what the decoder wants of it, as far as it can."""
    wishes, encoder = pair.decoder.spec.encoder_options, pair.encoder.spec
    granted = getattr(resolve(encoder.factory), "granted", None) if wishes else None
    return {} if granted is None else dict(granted(wishes, **encoder.options))


def _plan_model(
    found: Any,
    num_classes: int,
    in_channels: int,
    encoder: Choice,
    decoder: Choice,
    options: Mapping[str, Any],
) -> Architecture:
    entry: Entry[ModelSpec] = found
    if encoder or decoder:
        raise OptionError(
            f"{entry.spec.name!r} takes its options directly, not for its encoder or decoder: "
            f"segzoo.create({entry.spec.name!r}, num_classes={num_classes}, option=...)"
        )
    takes = _parameters(resolve(entry.spec.factory))
    _check_options(options, takes, repr(entry.spec.name), model=entry.full_name)
    return Architecture(
        name=entry.full_name,
        num_classes=num_classes,
        in_channels=in_channels,
        options=dict(options),
        requires=_versions(entry.owner),
    )


def _build_model(found: Any, architecture: Architecture) -> nn.Module:
    if architecture.encoder or architecture.decoder:
        raise OptionError(f"{architecture.name!r} takes no options for an encoder or a decoder")
    given = {"num_classes": architecture.num_classes, "in_channels": architecture.in_channels}
    return _built(found.spec.factory, f"model {found.full_name!r}", {**given, **architecture.options})


def _make(
    entry: Entry[EncoderSpec] | Entry[DecoderSpec], options: Mapping[str, Any], **given: Any
) -> nn.Module:
    what = f"{entry.spec.kind} {entry.full_name!r}"
    _check_options(options, _option_names(entry.spec), what)
    return _built(entry.spec.factory, what, {**entry.spec.options, **given, **options})


def _built(factory: str, what: str, options: Mapping[str, Any]) -> nn.Module:
    """Call a factory, which may want to fetch pretrained weights."""
    with refusing_offline(f"{what} was not built, since it fetches"), building(what):
        made: object = resolve(factory)(**options)
    if not isinstance(made, nn.Module):
        raise PluginError(f"{what}: its factory returned {type(made).__name__}, not an nn.Module")
    return made


def _features_of(encoder: nn.Module, entry: Entry[EncoderSpec]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    channels, strides = getattr(encoder, "channels", None), getattr(encoder, "strides", None)
    if not isinstance(channels, tuple) or not isinstance(strides, tuple) or len(channels) != len(strides):
        raise PluginError(
            f"encoder {entry.full_name!r} must have tuples `channels` and `strides` of one length, "
            f"got {channels!r} and {strides!r}"
        )
    return channels, strides


def _check_pair(pair: zoo.Pair, strides: tuple[int, ...]) -> None:
    spec, encoder = pair.decoder.spec, pair.encoder.full_name
    if len(strides) < spec.min_features:
        raise OptionError(
            f"decoder {spec.name!r} needs {spec.min_features} features or more; "
            f"{encoder!r} gives {len(strides)}"
        )
    halves = all(after == 2 * before for before, after in itertools.pairwise(strides))
    if spec.halving and not (halves and strides[0].bit_count() == 1):
        raise OptionError(
            f"decoder {spec.name!r} needs strides that double from one feature to the next; "
            f"{encoder!r} has {strides}"
        )


def _model_options(found: Any) -> list[str]:
    """Return the options of a network as a whole: its factory's, or those of the Segmenter around a pair."""
    if isinstance(found, zoo.Pair):
        return list(_SEGMENTER_OPTIONS)
    if isinstance(found.spec, WeightsSpec) or not found.spec.factory:
        raise OptionError(f"{found.full_name!r} names no network that can be built by itself")
    return _parameters(resolve(found.spec.factory))


def _option_names(spec: PartSpec) -> list[str]:
    return [name for name in _parameters(resolve(spec.factory)) if name not in spec.options]


def _parameters(factory: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(factory).parameters.values()
    return [p.name for p in parameters if p.name not in _GIVEN and p.kind is not p.VAR_KEYWORD]


def _check_choices(**choices: object) -> None:
    for part, choice in choices.items():
        if not isinstance(choice, str | Mapping | None):
            raise OptionError(f"{part} must be a name or a mapping of options, got {choice!r}")


def _check_options(options: Mapping[str, Any], known: list[str], what: str, *, model: str = "") -> None:
    for name in options:
        if name not in known:
            takes = ", ".join(dict.fromkeys(known)) or "none"
            raise OptionError(
                f"{what} has no option {shown(name)}{did_you_mean(name[:99], known)} (it takes {takes})"
                f"{zoo.weights_of(model) if name == 'pretrained' else ''}"
            )


def _versions(*owners: str) -> dict[str, str]:
    versions = {record.distribution: record.version for record in zoo.plugins if record.status == "ok"}
    return {owner: versions[owner] for owner in owners if owner in versions}
