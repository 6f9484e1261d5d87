"""Options of optimizers and schedules: checked against a table of defaults, named as recipes do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError, did_you_mean
from segzoo.options import is_number

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Options by name, each with its default; ``None`` stands for a number that need not be given.
Options = dict[str, Any]


def read_options(
    kind: str, name: str, tables: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> Options:
    """Return all options of one part: what is given, and defaults for the rest.

    Args:
        kind: what a recipe calls it, such as ``optimizer``.
        name: which one, such as ``sgd``.
        tables: the options of each, with defaults. A given value must be of its default's type: a number, a
            word, true or false, or a list of numbers where the default is a tuple.
        given: options by name.

    Raises:
        OptionError: there is no part of that name, it has no such option, or not of that type; the text names
            the key as recipes do, such as ``optimizer.momentum``.
    """
    if name not in tables:
        told = f"there are {', '.join(tables)}"
        raise OptionError(f"no {kind} is named {name!r}{did_you_mean(str(name), tables, told)}")
    defaults = tables[name]
    for key, value in given.items():
        if key not in defaults:
            close = did_you_mean(f"{kind}.{key}", [f"{kind}.{known}" for known in defaults])
            takes = ", ".join(defaults) or "none"
            raise OptionError(f"{kind}.{key}: {name!r} has no such option{close}; it takes: {takes}")
        _check_type(f"{kind}.{key}", value, defaults[key])
    read = {key: given.get(key, default) for key, default in defaults.items()}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}


def check_range(key: str, value: float, least: float, most: float, *, below: bool = False) -> None:
    """Raise `OptionError` unless a finite number lies from ``least`` to ``most``, or ``below`` it."""
    if not is_number(value):
        raise OptionError(f"{key} must be a finite number, got {value!r}")
    if not least <= value <= most or (below and value == most):
        end = f"and below {most:g}" if below else f"and {most:g} or less"
        limits = f"{least:g} or more" + ("" if most == float("inf") else f" {end}")
        raise OptionError(f"{key} must be {limits}, got {value!r}")


def _check_type(key: str, value: object, default: object) -> None:
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and all(map(is_number, value))
        wanted = "a list of numbers"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), f"a word such as {default!r}"
    elif isinstance(default, int):
        fits, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        fits, wanted = is_number(value) or (value is None and default is None), "a number"
    if not fits:
        raise OptionError(f"{key} must be {wanted}, got {value!r}")
