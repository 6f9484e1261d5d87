"""Parts of training that plug-ins register: reads their options from recipes, and builds them.

An option is a keyword argument of a part's factory; the type of its default is the option's type.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.errors import OptionError, SegzooError, did_you_mean
from segzoo.options import is_number, shown
from segzoo.plugins import resolve
from segzoo.plugins.guard import building

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.specs import PartSpec

#: Options by name, each with its default; ``None`` stands for an optional number.
Options = dict[str, Any]

#: Stands for the default of an option that takes a value of any type.
ANY: Any = inspect.Parameter.empty


def factories(kind: str) -> dict[str, Any]:
    """Return the factories of segzoo's own parts of a kind (in the plural), by name."""
    own = (entry.spec for _, entry in zoo.registry(kind).items() if entry.owner == "segzoo")
    return {spec.name: resolve(spec.factory) for spec in own}


def options_of(spec: PartSpec, *given: str) -> Options:
    """Return the options of a part's factory with their defaults, except those that segzoo sets itself.

    Options without a default, or with the default ``None``, take a value of any type.
    """
    parameters = inspect.signature(resolve(spec.factory)).parameters.values()
    named = [one for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
    named = [one for one in named if one.name not in given]
    defaults = {one.name: _default(one) for one in named}
    return {**defaults, **{key: value for key, value in spec.options.items() if key in defaults}}


def _default(option: inspect.Parameter) -> Any:
    if option.default is None:
        return ANY
    # Many write 0 for 0.0, if nothing says that the number is whole.
    whole = type(option.default) is int and option.annotation in (int, "int")
    return float(option.default) if type(option.default) is int and not whole else option.default


def build(spec: PartSpec, *arguments: Any, **options: Any) -> Any:
    """Build a part.

    Raises:
        OptionError: it does not take these options.
        PluginError: its factory tried to exit the program.
    """
    try:
        with building(f"{spec.kind} {spec.name!r}"):
            return resolve(spec.factory)(*arguments, **{**spec.options, **options})
    except SegzooError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{key}={shown(value)}" for key, value in options.items())
        told = f" (with {given})" if given else ""
        raise OptionError(f"{spec.kind} {spec.name!r}: {error}{told}") from error


def read_options(key: str, name: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Options:
    """Return all options of one part: the given ones, and defaults for the rest.

    Args:
        key: key of the options in a recipe, such as ``optimizer``.
        name: name of the part, such as ``sgd``.
        defaults: its options. A given value must have the type of its default: a number, a word, true or
            false, or a list of numbers if the default is a tuple.
        given: options by name.

    Raises:
        OptionError: the part has no such option, or the value has another type; the message names the key as
            in a recipe, such as ``optimizer.momentum``.
    """
    for option, value in given.items():
        if option not in defaults:
            close = did_you_mean(f"{key}.{option}", [f"{key}.{known}" for known in defaults])
            takes = ", ".join(defaults) or "none"
            raise OptionError(f"{key}.{option}: {name!r} has no such option{close}; it takes: {takes}")
        _check_type(f"{key}.{option}", value, defaults[option])
    read = {option: given.get(option, default) for option, default in defaults.items()}
    known = {option: value for option, value in read.items() if value is not ANY}
    return {option: tuple(value) if isinstance(value, list) else value for option, value in known.items()}


def check_range(key: str, value: float, least: float, most: float, *, below: bool = False) -> None:
    """Raise `OptionError` unless a finite number lies from ``least`` to ``most``, or ``below`` it."""
    if not is_number(value):
        raise OptionError(f"{key} must be a finite number, got {value!r}")
    if not least <= value <= most or (below and value == most):
        end = f"and below {most:g}" if below else f"and {most:g} or less"
        limits = f"{least:g} or more" + ("" if most == float("inf") else f" {end}")
        raise OptionError(f"{key} must be {limits}, got {value!r}")


def _check_type(key: str, value: object, default: object) -> None:
    if default is ANY:
        return
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
