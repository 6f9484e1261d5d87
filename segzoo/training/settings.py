"""``key=value`` words to the values of a recipe."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLES = {"model": "model_options", "data": "data_options", "loss": "loss_options"}


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read words such as ``epochs=20``, ``scale=[0.5,2]``, ``model.width=16`` or ``loss.weights=[1,2]``.

    A value is JSON where it can be read so, else a word.

    Raises:
        OptionError: a word has no ``=``, or a value is of another type than the recipe's.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise OptionError(f"{setting!r} is no setting: write key=value, such as epochs=20")
        value = _value(text)
        table, dot, name = key.partition(".")
        if dot and table in _TABLES:
            values.setdefault(_TABLES[table], {})[name] = value
        else:
            values[key] = _checked(key, value)
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _checked(key: str, value: Any) -> Any:
    default = {item.name: item.default for item in fields(Recipe)}.get(key)
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(v, int | float) for v in value):
            raise OptionError(f"{key} must be a list of numbers such as {list(default)}, got {value!r}")
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wrong = isinstance(value, bool) or not isinstance(value, type(default))
    if isinstance(default, int | float | str) and wrong:
        raise OptionError(f"{key} must be {type(default).__name__}, such as {default}, got {value!r}")
    return value
