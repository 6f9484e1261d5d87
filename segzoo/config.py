"""The config of a model, as data: architecture and prediction settings, the contents of ``config.json``.

A config never contains anything that is imported or evaluated: networks are named as plug-ins
registered them, and unknown keys are errors.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from segzoo.errors import OptionError, UsageError, WeightsError, did_you_mean
from segzoo.options import MOST_CHANNELS, check_integer, check_number, check_share, shown
from segzoo.specs import BandStatistics, Labels, Preprocessing, Pretraining, Resize, Separator

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from torch import nn

T = TypeVar("T", bound="DataclassInstance")

#: Version of the folder format; folders of later versions are refused.
FORMAT_VERSION = 1

#: Limits of temperatures and sizes; larger values are mistakes.
_HOTTEST, _MOST_OBJECT = 1000, 1 << 48

_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything needed to build a network again.

    Attributes:
        name: argument of `segzoo.create`, with the distribution of each part:
            ``segzoo:unet`` or ``segzoo-nested:nested/segzoo:vgg16``.
        num_classes: number of channels of the logits.
        in_channels: number of channels of the images.
        options: options of a model's factory, or of the `segzoo.Segmenter` around a pair.
        encoder: options of the encoder.
        decoder: options of the decoder.
        requires: distributions that provide the parts, and their versions at the time.
    """

    name: str
    num_classes: int
    in_channels: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    decoder: Mapping[str, Any] = field(default_factory=dict)
    requires: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 1, MOST_CHANNELS)
        check_integer("in_channels", self.in_channels, 1, MOST_CHANNELS)
        for name, version in self.requires.items():
            known = isinstance(name, str) and _DISTRIBUTION.fullmatch(name)
            if not known or not isinstance(version, str) or not _VERSION.fullmatch(version):
                raise OptionError(
                    "requires must name distributions and their versions, such as "
                    f'{{"segzoo-nested": "0.1.0"}}, got {name!r}: {shown(version)}'
                )

    def without_pretraining(self) -> Architecture:
        """Return the architecture for existing weights: nothing is fetched to build it."""
        parts = {
            part: {key: value for key, value in getattr(self, part).items() if key != "pretrained"}
            for part in ("options", "encoder", "decoder")
        }
        return replace(self, **parts)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """An architecture and everything else that prediction needs, except the weights.

    Attributes:
        architecture: the network.
        preprocessing: steps from pixels to the network's input.
        labels: its classes.
        threshold: probability above which a pixel belongs to the class of a one-logit network, or to each
            class if classes overlap.
        thresholds: thresholds by class name, for classes with a different one: a pixel belongs to the class
            if its probability exceeds it.
        temperature: number that divides the class logits before probabilities are computed, to calibrate
            these; masks of the most probable class do not depend on it.
        separator: meaning of the last logit for separating touching objects; ``None`` if every logit is a
            class.
        smallest_object: number of pixels of the smallest object that prediction keeps by default; 0 keeps
            all.
        licence: licence of the weights, an SPDX identifier if one fits.
        statistics: statistics of each band over the training images, after intensity scaling; empty if they
            were not measured.
        provenance: origin of the weights: data, command, machine, scores with contracts.
    """

    architecture: Architecture
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: Labels
    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    separator: Separator | None = None
    smallest_object: int = 0
    licence: str = ""
    statistics: tuple[BandStatistics, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        classes, logits = len(self.labels.classes), self.class_logits
        if logits < 1:
            raise OptionError(
                "a network with a separator needs num_classes=2 or more: its last logit is not a class"
            )
        network = f"num_classes={self.architecture.num_classes}"
        if self.separator is not None:
            network += " (the last logit is the separator)"
        if self.labels.overlapping and classes != logits:
            raise OptionError(
                f"labels name {classes} classes that overlap, each of which needs a logit, but the network "
                f"has {network}"
            )
        if not self.labels.overlapping and classes != max(logits, 2):
            raise OptionError(
                f"labels name {classes} classes, but a network with {network} separates {max(logits, 2)}"
            )
        given, channels = len(self.preprocessing.mean), self.architecture.in_channels
        if given not in (1, channels):
            raise OptionError(
                f"preprocessing has mean and std for {given} channels, but the network has "
                f"in_channels={channels}"
            )
        if self.statistics and len(self.statistics) != channels:
            raise OptionError(f"statistics describe {len(self.statistics)} bands, but in_channels={channels}")
        check_share("threshold", self.threshold)
        self._check_thresholds()
        check_number("temperature", self.temperature)
        if not 0 < self.temperature <= _HOTTEST:
            raise OptionError(f"temperature must be above 0 and at most {_HOTTEST}, got {self.temperature}")
        check_integer("smallest_object", self.smallest_object, 0, _MOST_OBJECT)

    def _check_thresholds(self) -> None:
        classes = self.labels.classes
        single = self.class_logits == 1 and not self.labels.overlapping
        for name, value in self.thresholds.items():
            if name not in classes or (single and name == classes[0]):
                known = classes[1:] if single else classes
                told = f"classes that may have a threshold are {', '.join(known[:12])}"
                raise OptionError(f"thresholds name {shown(name)}{did_you_mean(name, known, told)}")
            check_share(f"the threshold of class {shown(name)}", value)

    @property
    def has_threshold(self) -> bool:
        """Whether ``threshold`` decides: the network has one logit, or a sigmoid for each class."""
        return self.class_logits == 1 or self.labels.overlapping

    @property
    def class_logits(self) -> int:
        """Number of logits for classes; the separator is one more, if there is one."""
        return self.architecture.num_classes - (self.separator is not None)


def undecided(config: ModelConfig) -> ModelConfig:
    """Return a config for new weights: thresholds, temperature and smallest object get their defaults."""
    return replace(config, threshold=0.5, thresholds={}, temperature=1.0, smallest_object=0)


#: Keys that older versions of segzoo do not know; they are left out if they hold those versions' behaviour.
_NEWER_OF_ALL = ("statistics", "thresholds", "temperature", "separator", "smallest_object")
_NEWER = {"preprocessing": ("bands", "intensity"), "labels": ("background", "overlapping")}
_NEWER_OF_RESIZE = ("short", "long", "multiple")


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Return the data for ``config.json``."""
    data = {"segzoo_format": FORMAT_VERSION, **asdict(config)}
    for name in _NEWER_OF_ALL:
        # If the default is created each time (an empty mapping), the class has no attribute with that name.
        if getattr(config, name) == getattr(ModelConfig, name, {}):
            del data[name]
    for part, names in _NEWER.items():
        value = getattr(config, part)
        for name in names:
            if getattr(value, name) == getattr(type(value), name):
                del data[part][name]
    resize = config.preprocessing.resize
    for name in _NEWER_OF_RESIZE if resize else ():
        if getattr(resize, name) == getattr(Resize, name):
            del data["preprocessing"]["resize"][name]
    return data


def from_json(data: object, where: str) -> ModelConfig:
    """Read what `to_json` returned.

    Args:
        data: result of ``json.load``.
        where: name of the file in errors.

    Raises:
        WeightsError: a key is unknown, missing, or holds a value of another type.
    """
    if isinstance(data, dict) and "segzoo_encoder" in data:
        raise WeightsError(
            f"{where} belongs to an encoder, not to a model: use its folder in a model with that encoder, "
            "segzoo.create(MODEL, num_classes=..., weights=FOLDER)"
        )
    if not isinstance(data, dict) or "segzoo_format" not in data:
        raise WeightsError(f"{where} is not a segzoo config: it has no key 'segzoo_format'")
    version = data["segzoo_format"]
    if type(version) is not int or version != FORMAT_VERSION:
        raise WeightsError(
            f"{where} has format {shown(version)}, but this segzoo reads format {FORMAT_VERSION}: "
            "upgrade segzoo"
        )
    rest = {key: value for key, value in data.items() if key != "segzoo_format"}
    return read_object(ModelConfig, rest, where)


def read_object(cls: type[T], data: object, where: str, path: str = "") -> T:
    """Read a dataclass from the result of ``json.load``.

    Args:
        cls: dataclass of numbers, texts, tuples, mappings and dataclasses.
        data: object with its fields.
        where: name of the file in errors.
        path: path of the object in the file, for errors.

    Raises:
        WeightsError: a key is unknown, missing, or holds a value of another type.
    """
    if not isinstance(data, dict):
        raise WeightsError(f"{where}: {path.rstrip('.') or 'the file'} must be an object, got {shown(data)}")
    known = {item.name: item for item in fields(cls)}
    unknown = [key for key in data if key not in known]
    if unknown:
        close = did_you_mean(unknown[0], known)
        raise WeightsError(f"{where}: unknown key {shown(path + unknown[0])}{close}")
    needed = [n for n, i in known.items() if i.default is MISSING and i.default_factory is MISSING]
    missing = [name for name in needed if name not in data]
    if missing:
        raise WeightsError(f"{where}: key {path + missing[0]!r} is missing")
    types_ = typing.get_type_hints(cls)
    values = {key: _value(types_[key], value, where, f"{path}{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except OptionError as error:
        raise WeightsError(f"{where}: {path.rstrip('.') or 'the file'}: {error}") from error


def _value(wanted: Any, value: Any, where: str, path: str) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, where, path)
    if is_dataclass(wanted) and isinstance(wanted, type):
        return read_object(wanted, value, where, f"{path}.")
    if origin is tuple:
        if not isinstance(value, list):
            raise WeightsError(f"{where}: {path} must be a list, got {shown(value)}")
        inner = arguments[0]
        if arguments[-1] is not ... and len(arguments) != len(value):
            raise WeightsError(f"{where}: {path} must hold {len(arguments)} values, got {shown(value)}")
        return tuple(_value(inner, one, where, f"{path}[{index}]") for index, one in enumerate(value))
    plain = {Mapping: dict, typing.Literal: str}.get(origin, wanted)
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise WeightsError(f"{where}: {path} is too large a number") from None
    if isinstance(value, str) and not _is_text(value):
        raise WeightsError(f"{where}: {path} holds half a character (a lone surrogate): {shown(value)}")
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise WeightsError(f"{where}: {path} must be of type {plain.__name__}, got {shown(value)}")
    return value


def _is_text(word: str) -> bool:
    """Return whether a word can be written: labels and licences are written to files of all kinds."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def config_of(model: nn.Module) -> ModelConfig:
    """Return the config of a model.

    Raises:
        UsageError: segzoo did not make the model.
    """
    config = getattr(model, "segzoo_config", None)
    if not isinstance(config, ModelConfig):
        raise UsageError(
            f"{type(model).__name__} has no segzoo_config, which describes the preprocessing: make it with "
            "segzoo.create or segzoo.load"
        )
    return config


def pretraining_of(model: nn.Module) -> Pretraining | None:
    """Return the pretraining of a model's encoder, or ``None`` if it starts from random weights."""
    found = (getattr(module, "pretraining", None) for module in model.modules())
    return next((one for one in found if isinstance(one, Pretraining)), None)
