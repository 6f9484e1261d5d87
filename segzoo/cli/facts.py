"""Facts about a part, a model or weights: the spec, the options, the number of parameters."""

from __future__ import annotations

import inspect
import re
import tomllib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.architecture import build, plan, without_values
from segzoo.errors import OptionError, UnknownNameError, WeightsError
from segzoo.labels import background_name
from segzoo.plugins import resolve
from segzoo.runtimes.network import open_file, unsaid
from segzoo.specs import (
    CAPABILITIES,
    DecoderSpec,
    EncoderSpec,
    ModelSpec,
    PartSpec,
    RecipeSpec,
    WeightsSpec,
    intensity_text,
)
from segzoo.weights.converted import declared
from segzoo.weights.folder import read_config
from segzoo.weights.sources import in_package

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

    from segzoo.config import ModelConfig
    from segzoo.registry import Entry

# Arguments that segzoo passes itself, so they are not options.
_GIVEN = {
    "in_channels",
    "num_classes",
    "channels",
    "strides",
    "root",
    "split",
    "labels",
    "background_index",
    "checkpoint",
    "folder",
    "params",
    "lr",
    "network",
    "device",
    "precision",
    "calibration",
    "on_message",
}

#: Classes and channels of the network for counting parameters, if the name sets neither.
CLASSES, CHANNELS = 2, 3


def facts(entry: Entry[Any]) -> dict[str, Any]:
    """Return the facts about one spec, for JSON.

    ``takes`` maps options to their default and meaning; ``parameters`` counts the weights. If facts cannot
    be determined, because a factory or a file is missing, ``trouble`` contains the reason.
    """
    spec = entry.spec
    known = {"kind": spec.kind, "name": spec.name, "full_name": entry.full_name, "owner": entry.owner}
    known |= {key: value for key, value in asdict(spec).items() if _says_something(key, value)}
    try:
        if isinstance(spec, WeightsSpec):
            return {**known, **_of_weights(spec)}
        if isinstance(spec, RecipeSpec):
            return {**known, "settings": _of_recipe(spec)}
        if isinstance(spec, ModelSpec):
            known.pop("limits", None)
            known |= _abilities(entry)
        if isinstance(spec, ModelSpec) and not spec.factory:
            pair = zoo.pair_of(entry)
            preset = {**spec.encoder_options, **spec.decoder_options}
            return {**known, "takes": _takes_pair(pair, preset), **_count(entry)}
        if isinstance(spec, PartSpec | ModelSpec):
            return {**known, "takes": _takes(spec), **_count(entry)}
    # The factory of a plug-in may raise anything, or exit.
    except (Exception, SystemExit) as error:
        known["trouble"] = f"{type(error).__name__}: {error}"
    return known


def _says_something(key: str, value: Any) -> bool:
    # A spec has 0 for an unknown size or number of classes.
    return value not in (None, "", (), {}, []) and not (key in ("bytes", "num_classes") and value == 0)


def _abilities(found: Entry[Any] | zoo.Pair) -> dict[str, Any]:
    """Return what a model can do, and what it cannot do for which reason."""
    limits = zoo.limits_of(found)
    return {
        "can": [name.replace("-", " ") for name in CAPABILITIES if name not in limits],
        "cannot": {CAPABILITIES[name]: why for name, why in limits.items()},
    }


def pair_facts(pair: zoo.Pair) -> dict[str, Any]:
    """Return the facts about a decoder on an encoder."""
    return {
        "kind": "model",
        "name": f"{pair.decoder.spec.name}-{pair.encoder.spec.name}",
        "full_name": pair.full_name,
        "decoder": pair.decoder.full_name,
        "encoder": pair.encoder.full_name,
        **_abilities(pair),
        "takes": _takes_pair(pair),
        "parameters": _parameters(lambda: _model(pair.full_name)),
    }


def folder_facts(name: str, config: ModelConfig) -> dict[str, Any]:
    """Return the facts in the config of a folder of weights.

    Raises:
        UnknownNameError: its network is not installed.
        WeightsError: its network cannot be built.
    """
    try:
        return {"kind": "weights", "name": name, **_of_config(config)}
    except UnknownNameError as error:
        raise UnknownNameError(f"{name}: {error}") from error
    except OptionError as error:
        raise WeightsError(f"{name}: its network cannot be built: {error}") from error


def exported_facts(name: str, path: Path) -> dict[str, Any]:
    """Return the facts in an exported file; raises the errors of `segzoo.runtimes.network.open_file`."""
    program = open_file(path)
    known = {
        "kind": "exported model",
        "name": name,
        "runs on": program.description,
        "inputs": [str(port) for port in program.inputs],
        "outputs": [str(port) for port in program.outputs],
    }
    info = program.info
    if info is None:
        return {**known, "trouble": unsaid(path, program)}
    return {
        **known,
        "exported": info.name,
        "format": info.format,
        "precision": info.precision,
        "preprocessing inside": "yes" if info.with_preprocessing else "no",
        "size": f"{info.size[0]}x{info.size[1]}" if info.size else "any",
        "versions": dict(info.versions),
        "weights sha256": info.weights,
        **_of_config(info.config, built=False),
    }


def config_of(spec: WeightsSpec) -> ModelConfig | None:
    """Return the config of weights that ship with a plug-in, else the config that their spec declares.

    Weights of an encoder have no config.
    """
    if spec.folder:
        return read_config(in_package(spec))
    return declared(spec) if spec.classes else None


def _of_weights(spec: WeightsSpec) -> dict[str, Any]:
    config = config_of(spec)
    return _of_config(config) if config is not None else {}


def _of_recipe(spec: RecipeSpec) -> dict[str, Any]:
    """Return the settings in the file of a recipe, except those that are in its spec."""
    from segzoo.training.recipe.files import shipped_text

    said = tomllib.loads(shipped_text(spec))
    if isinstance(said.get("augment"), dict):
        # Empty values are left out below, but a step with default options must stay.
        said["augment"] = {step: options or "defaults" for step, options in said["augment"].items()}
    return {key: value for key, value in said.items() if key not in ("summary", "origin")}


def _intensity(config: ModelConfig) -> str:
    """Return the text form of an intensity rule, with the values measured on the training data."""
    intensity = config.preprocessing.intensity
    between = "and" if intensity.mode == "standard" else "to"
    pairs = ", ".join(f"{low:.6g} {between} {high:.6g}" for low, high in intensity.measured)
    return intensity_text(intensity) + (f" ({pairs})" if pairs else "")


def _statistics(config: ModelConfig) -> dict[str, str]:
    """Return the statistics of the training data, by band."""
    count, bands = len(config.statistics), config.preprocessing.bands
    names = bands if len(bands) == count else [str(number) for number in range(1, count + 1)]
    found = {}
    for name, one in zip(names, config.statistics, strict=True):
        text = f"{one.low:.3g} to {one.high:.3g} (1st to 99th percentile)"
        text += f", mean {one.mean:.3g}, std {one.std:.3g}"
        found[f"band {name}" if name.isdecimal() else name] = text
    return found


def _of_config(config: ModelConfig, *, built: bool = True) -> dict[str, Any]:
    said = {key: value for key, value in asdict(config).items() if value not in ("", {})}
    said["preprocessing"] = {**said["preprocessing"], "intensity": _intensity(config)}
    return {
        **said,
        "statistics": _statistics(config),
        "classes": config.labels.classes,
        "background": background_name(config.labels) or "none",
        **({"parameters": _parameters(lambda: build(config.architecture))} if built else {}),
    }


def _takes_pair(pair: zoo.Pair, preset: Mapping[str, Any] | None = None) -> dict[str, Any]:
    takes = {**_takes(pair.encoder.spec), **_takes(pair.decoder.spec)}
    for name, value in (preset or {}).items():
        if name in takes:
            takes[name]["default"] = _plain(value)
    return takes


def _takes(spec: PartSpec | ModelSpec) -> dict[str, Any]:
    """Return the options of a factory: ``{name: {"default": ..., "meaning": ...}}``."""
    factory = resolve(spec.factory)
    fixed = spec.options if isinstance(spec, PartSpec) else {}
    meanings = _meanings(inspect.getdoc(factory) or "")
    takes = {}
    for option in inspect.signature(factory).parameters.values():
        if option.name in _GIVEN or option.name in fixed or option.kind in (2, 4):
            continue
        needed = option.default is option.empty
        takes[option.name] = {
            "default": "(required)" if needed else _plain(option.default),
            "meaning": meanings.get(option.name, ""),
        }
    return takes


def _meanings(docstring: str) -> dict[str, str]:
    """Return the text of each argument in ``Args:`` or ``Attributes:`` of a Google docstring, in one line."""
    section = re.search(r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n)*)", docstring, re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}\*{0,2}(\w+):(.*(?:\n {5,}.*)*)", section.group(1), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | tuple | None) else repr(value)


def _count(entry: Entry[Any]) -> dict[str, Any]:
    """Return the number of ``parameters`` with default options, if the spec has any."""
    spec = entry.spec
    if isinstance(spec, ModelSpec):
        return {"parameters": _parameters(lambda: _model(entry.full_name))}
    if isinstance(spec, EncoderSpec):
        return {"parameters": _parameters(lambda: _encoder(spec))}
    if isinstance(spec, DecoderSpec):
        pair = zoo.pair_of(entry)
        return {"parameters": _parameters(lambda: _model(pair.full_name).get_submodule("decoder"))}
    return {}


def _model(name: str) -> nn.Module:
    return build(plan(name, num_classes=CLASSES, in_channels=CHANNELS, options={}))


def _encoder(spec: EncoderSpec) -> nn.Module:
    return resolve(spec.factory)(in_channels=CHANNELS, **spec.options)


def _parameters(make: Callable[[], nn.Module]) -> int:
    """Count the parameters of a network, without initialising them if that is possible."""
    model = without_values(make) or make()
    return sum(parameter.numel() for parameter in model.parameters())
