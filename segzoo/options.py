"""Checks of the values of options, with one wording for all of segzoo."""

from __future__ import annotations

from collections.abc import Sequence

from segzoo.errors import OptionError


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is among the choices.

    Args:
        name: of the option, for the error.
        value: as it was given.
        choices: all that it may be.

    Raises:
        OptionError: it is not; the text lists them.
    """
    if value not in choices:
        known = " or ".join(choices) if len(choices) < 3 else f"one of {', '.join(choices)}"
        raise OptionError(f"{name} must be {known}, got {value!r}")
    return value


def check_positive(**values: int) -> None:
    """Raise `OptionError` unless every value is an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{name} must be an integer of at least 1, got {value!r}")


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return ``widths`` as a tuple; raise `OptionError` unless it is a list of integers of at least 1."""
    if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
        raise OptionError(f"widths must be a list of channels, got {widths!r}")
    check_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
    return tuple(widths)


def check_flags(**values: bool) -> None:
    """Raise `OptionError` unless every value is ``True`` or ``False``; a string such as "no" is neither."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise OptionError(f"{name} must be True or False, got {value!r}")
