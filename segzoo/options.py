"""Checks of the values of options, with one wording for all of segzoo."""

from __future__ import annotations

import math
import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from segzoo.errors import OptionError
from segzoo.printing import as_json, printable

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100

#: What neither JSON nor TOML takes for anything but a word.
_WORD = re.compile(
    r"|(?!(?:true|false|null|-?nan|-?inf|NaN|-?Infinity)$)"
    r"(?:[A-Za-z_./]|-[A-Za-z_]|\d+[ac-df-np-wyz])[^\s\[\]{}\"'#]*"
)

#: Channels of a map, and so the classes of a mask, whose indices are 16-bit.
MOST_CHANNELS = 65_535

#: Steps of a decoder; each halves or doubles a map, so that no image has as many as this.
_MOST_WIDTHS = 64


def shown(value: object) -> str:
    """Return how a value is written, shortened where it is long: it may be a stranger's."""
    return _SHORT.repr(value)


def listed(words: Sequence[object], most: int = 8) -> str:
    """Return words with commas between them; of more than ``most``, the first, and ``...``."""
    return ", ".join(map(str, words[:most])) + (", ..." if len(words) > most else "")


def as_word(value: object) -> str:
    """Return a value as it stands behind ``key=`` on a command line: JSON, or a bare word."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(value, str) and _WORD.fullmatch(value) and printable(value) == value:
        return value
    return as_json(_plain(value), separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def many(count: int, noun: str, verb: str = "") -> str:
    """Return ``"1 class"`` or ``"1,234 classes"``.

    Args:
        count: number of things.
        noun: noun, in the singular.
        verb: verb that follows, in the plural, such as ``"have"``; it gives ``"1 class has"``.
    """
    singular = {"have": "has", "are": "is", "were": "was", "do": "does"}.get(verb, f"{verb}s")
    said = (singular if count == 1 else verb) if verb else ""
    return f"{count:,} {noun if count == 1 else _plural(noun)} {said}".rstrip()


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    hissing = noun.endswith(("s", "x", "ch", "sh")) and noun != "epoch"
    return f"{noun}{'es' if hissing else 's'}"


def as_names(names: Sequence[str] | str) -> list[str]:
    """Return names that are given as a list, or as one text with commas between them."""
    return [one.strip() for one in names.split(",") if one.strip()] if isinstance(names, str) else list(names)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is among the choices.

    Args:
        name: name of the option, for the error.
        value: value that the user gave.
        choices: all allowed values.

    Raises:
        OptionError: ``value`` is not among the choices; the message lists them.
    """
    if not isinstance(value, str) or value not in choices:
        known = " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
        raise OptionError(f"{name} must be {known}, got {shown(value)}")
    return value


def check_connectivity(connectivity: object) -> None:
    """Raise `OptionError` unless pixels join by their edges (4) or by their corners too (8)."""
    if connectivity not in (4, 8):
        raise OptionError(f"connectivity must be 4 or 8, got {shown(connectivity)}")


def check_positive(**values: int) -> None:
    """Raise `OptionError` unless every value is an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} must be an integer of at least 1, got {shown(value)}")


def check_integer(name: str, value: object, low: int, high: int) -> None:
    """Raise `OptionError` unless a value is an integer from ``low`` to ``high``; a flag is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(f"{name} must be an integer from {low:,} to {high:,}, got {shown(value)}")


def check_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise `OptionError` unless a value is a finite number from ``low`` to ``high``; a flag is none."""
    if not is_number(value) or not low <= value <= high:
        bounds = f" from {low:g} to {high:g}"
        if math.isinf(high):
            bounds = "" if math.isinf(low) else f" of at least {low:g}"
        raise OptionError(f"{name} must be a finite number{bounds}, got {shown(value)}")


def check_share(name: str, value: Any) -> None:
    """Raise `OptionError` unless a value is a number between 0 and 1, neither of them included."""
    check_number(name, value)
    if not 0 < value < 1:
        raise OptionError(f"{name} must lie between 0 and 1, got {value}")


def read_class_thresholds(words: Sequence[str]) -> dict[str | int, float]:
    """Read ``CLASS=NUMBER`` words.

    Raises:
        OptionError: a word is not such a pair, or a class is given twice.
    """
    found: dict[str | int, float] = {}
    for word in words:
        name, _, value = word.rpartition("=")
        if name in found:
            raise OptionError(f"the class {shown(name)} is given twice")
        try:
            found[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise OptionError(f"expected CLASS=NUMBER such as car=0.4, got {shown(word)}")
    return found


def check_weights(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return ``values`` as a tuple; raise `OptionError` unless it lists finite numbers of at least 0."""
    listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    if not listed or not values or not all(is_number(one) and one >= 0 for one in values):
        raise OptionError(
            f"{name} must be a list of numbers of at least 0, such as [0.5, 1], got {shown(values)}"
        )
    return tuple(values)


def is_number(value: object) -> bool:
    """Whether a value is a finite number or an integer of at most 64 bits; a flag is none."""
    if isinstance(value, bool):
        return False
    return abs(value) < 1 << 63 if isinstance(value, int) else isinstance(value, float) and isfinite(value)


def check_widths(widths: Sequence[int], name: str = "widths") -> tuple[int, ...]:
    """Return ``widths`` as a tuple; raise `OptionError` unless it is a list of integers of at least 1.

    Args:
        widths: channels, or another number for every step.
        name: name of the option, for the error.
    """
    if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
        what = "channels" if name == "widths" else "integers"
        raise OptionError(f"{name} must be a list of {what}, got {shown(widths)}")
    if len(widths) > _MOST_WIDTHS:
        raise OptionError(f"{name} must be at most {_MOST_WIDTHS} numbers, one a step, got {len(widths):,}")
    check_positive(**{f"{name}[{index}]": width for index, width in enumerate(widths)})
    return tuple(widths)


def check_flags(**values: bool) -> None:
    """Raise `OptionError` unless every value is ``True`` or ``False``; a string such as "no" is neither."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise OptionError(f"{name} must be True or False, got {shown(value)}")
