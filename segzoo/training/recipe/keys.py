"""The keys of a recipe: their names in files and on the command line, and the types of their values.

A recipe has plain keys (``epochs``) and parts, each a name with options (``model`` and
``model.width``); ``augment`` has steps, each with options (``augment.crop.size``). Aliases are other
common names of a key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from segzoo.errors import OptionError, did_you_mean
from segzoo.options import as_names, is_number
from segzoo.specs import parse_bands
from segzoo.training.recipe.schema import MOST_NUMBER, Recipe

KeyPath = tuple[str, ...]

#: Keys that have a name and options; the field ``<part>_options`` holds the options.
PARTS = ("data", "model", "loss", "optimizer", "schedule")

#: Keys that have options only.
GROUPS = ("split", "resize", "separator")

#: Keys that may be written as a table.
TABLES = (*PARTS, *GROUPS, "augment")

#: Comments on keys; in a file they are lines with ``#``.
COMMENTS = "comments"

#: Keys of a file that describe the recipe itself.
ABOUT = ("base", "summary", "origin", "tune")

#: Other words for a key.
ALIASES: Mapping[str, str] = {
    "lr": "learning_rate",
    "optimizer.lr": "learning_rate",
    "optimizer.learning_rate": "learning_rate",
    "data.root": "root",
    "data.bands": "bands",
    "data.intensity": "intensity",
    "crop": "augment.crop.size",
    "scale": "augment.crop.scale",
    "jitter": "augment.color.strength",
    "weight_decay": "optimizer.weight_decay",
    "momentum": "optimizer.momentum",
    "warmup": "schedule.warmup",
    "warmup_epochs": "schedule.warmup_epochs",
    "warmup_steps": "schedule.warmup_steps",
    "pct_start": "schedule.warmup",
    "max_lr": "learning_rate",
    "min_lr": "schedule.minimum_rate",
    "scheduler": "schedule",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "num_workers": "workers",
    "grad_clip": "clip",
    "ema": "average",
    "ema_decay": "average",
    "early_stopping": "patience",
    "amp": "precision",
    "mixed_precision": "precision",
}

_FIELDS: Mapping[str, Field[Any]] = {item.name: item for item in fields(Recipe)}

#: Plain keys, whose values are not tables.
PLAIN = tuple(
    name for name in _FIELDS if name not in (*TABLES, COMMENTS) and name.removesuffix("_options") not in PARTS
)

#: Examples for error messages, if a field's default is no good example.
_EXAMPLES: Mapping[str, Any] = {
    "data": "photos",
    "root": "DSB2018",
    "intensity": "percentiles:1,99.8",
    "weights": "unet-nuclei",
    "extend": "runs/unet",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "best": "dice.per_image",
    "average": 0.999,
    "patience": 20,
    "choose": ("threshold", "temperature"),
    "trackers": ("tensorboard",),
    "licence": "CC-BY-4.0",
}

_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def canonical(path: KeyPath) -> KeyPath:
    """Return the path that a written key stands for; resolves aliases and names like ``model_options``."""
    alias = ALIASES.get(".".join(path))
    if alias is not None:
        return tuple(alias.split("."))
    part = path[0].removesuffix("_options")
    if path[0] != part and part in PARTS and len(path) > 1:
        return (part, *path[1:])
    return path


def dotted(path: KeyPath) -> str:
    """Return the dotted key of a canonical path for comments and errors; a part's name has the part's key."""
    return path[0] if names_part(path) else ".".join(path)


def names_part(path: KeyPath) -> bool:
    """Return whether a canonical path is that of a part's name: ``model`` or ``model.name``."""
    return path[0] in PARTS and path[1:] in ((), ("name",))


def check_numbers(key: str, value: Any) -> None:
    """Raise `OptionError` if a value contains NaN, infinity, or a number too large for a network."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            check_numbers(f"{key}.{name}", one)
    elif isinstance(value, list | tuple):
        for one in value:
            check_numbers(key, one)
    elif isinstance(value, float) and not abs(value) <= MOST_NUMBER:
        told = f"lie in -{MOST_NUMBER:g} to {MOST_NUMBER:g}" if math.isfinite(value) else "be finite"
        raise OptionError(f"{key}: numbers must {told}, got {value}")


def plain_value(key: str, value: Any, *, written: str = "") -> Any:
    """Return the value of a plain key, converted to the type of its field.

    Args:
        key: a name of `PLAIN`.
        value: the value as it was written.
        written: the alias that was used for the key, if any.

    Raises:
        OptionError: the value is of another type; the message gives an example.
    """
    if key == "bands":
        try:
            return parse_bands(value) if value not in ("", [], ()) else ()
        except OptionError as error:
            raise OptionError(f"{written or key}: {error}") from error
    default = _FIELDS[key].default
    example = _EXAMPLES.get(key, default)
    if isinstance(default, tuple):
        return _listed(written or key, value, example)
    if value is None and key == "root":
        return None
    if key == "precision" and str(value).lower() in ("true", "false"):  # like ``amp`` in other programs
        return "auto" if str(value).lower() == "true" else "no"
    if key == "supervision":
        weight = _number(value) if isinstance(value, str) else value
        if isinstance(weight, int | float) and is_number(weight):
            return float(weight)
    wanted = str if default is None or default is MISSING else type(default)
    return typed(written or key, value, wanted, example)


def typed(key: str, value: Any, wanted: type, example: Any) -> Any:
    """Return a value as a ``bool``, ``int``, ``float`` or ``str``.

    Raises:
        OptionError: it is of another type; the message gives an example.
    """
    number = is_number(value)
    if wanted is float and number:
        return float(value)
    if wanted is int and number and float(value).is_integer():
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    raise OptionError(
        f"{key} must be {_WANTED[wanted]}, such as {key} = {shown(example)}, got {shown(value)}"
    )


def _listed(key: str, value: Any, example: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a list of numbers or of names; a single one may be given without a list."""
    kind: type = type(example[0])
    told = "numbers" if kind is float else "names"
    if isinstance(value, str) and kind is str:
        value = as_names(value)
    if isinstance(value, str) and kind is float:
        value = [_number(one) for one in value.split(",")]
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not all(is_number(one) if kind is float else isinstance(one, str) for one in values):
        raise OptionError(
            f"{key} must be a list of {told}, such as {key} = {shown(example)}, got {shown(value)}"
        )
    return tuple(kind(one) for one in values)


def _number(text: str) -> float | str:
    """Return the number in a text, or the text if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return text


def shown(value: Any) -> str:
    """Return a value the way a file holds it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {shown(one)}' for key, one in value.items())}}}"
    return "null" if value is None else str(value)


def unknown(path: KeyPath) -> str:
    """Return the error message for an unknown key, with the most similar valid one."""
    key = ".".join(path)
    hint = did_you_mean(key, all_keys()) or "; `segzoo train --data DIR --dry-run` prints every key"
    return f"no recipe has a key {key!r}{hint}"


def all_keys() -> list[str]:
    """Return every valid key in dotted form, except the options of models, losses and datasets."""
    from segzoo.training.optim.optimizers import optimizer_defaults
    from segzoo.training.optim.schedules import schedule_defaults
    from segzoo.training.parts import factories
    from segzoo.training.separation import Separation

    keys = [*PLAIN, *TABLES, *ALIASES, *(f"{part}.name" for part in PARTS)]
    for part, defaults in (("optimizer", optimizer_defaults), ("schedule", schedule_defaults)):
        names = factories(f"{part}s")
        keys += dict.fromkeys(f"{part}.{option}" for name in names for option in defaults(name))
    keys += [f"separator.{item.name}" for item in fields(Separation)]
    keys.append("augment.one_of")
    for step, kind in factories("augmentations").items():
        keys += [f"augment.{step}", *(f"augment.{step}.{item.name}" for item in fields(kind))]
    return keys
