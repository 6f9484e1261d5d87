"""Values on the command line that click has no type for, and values that no option accepts."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from segzoo import json_text
from segzoo.cli.help import GroupedCommand
from segzoo.errors import OptionError, UsageError, did_you_mean
from segzoo.options import read_class_thresholds, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Callback = Callable[[click.Context, click.Parameter, Any], Any]

#: Largest integer that libraries handle reliably.
_MOST = (1 << 63) - 1


def guarded(command: click.Command) -> click.Command:
    """Return the command, with options that refuse values that are always wrong.

    These are an empty word, unless it is the default; NaN and infinity; an integer of more than 64 bits; and
    the same word twice in an option that may be repeated.
    """
    for parameter in command.params:
        before: Any = parameter.callback
        if not isinstance(before, _Guard):
            parameter.callback = _Guard(before)
    return command


class _Guard:
    """A click callback that runs before the parameter's own callback."""

    def __init__(self, then: Callback | None) -> None:
        self._then = then

    def __call__(self, context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        many = isinstance(value, tuple)
        for one in value if many else (value,):
            fault = _fault(one, blank=parameter.default == "")
            if fault:
                raise click.BadParameter(fault, context, parameter)
        if many and isinstance(parameter, click.Option) and not parameter.hidden:
            twice = next((one for index, one in enumerate(value) if one in value[:index]), None)
            if twice is not None:
                raise click.BadParameter(f"{twice!r} is given twice", context, parameter)
        return value if self._then is None else self._then(context, parameter, value)


def _fault(value: Any, *, blank: bool) -> str:
    """Return why a value is wrong for every option; empty if it may be right."""
    if isinstance(value, str) and not value.strip() and not blank:
        return "the word is empty"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, int) and abs(value) > _MOST:
        return "the number has more than 64 bits"
    return ""


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Put the name of an option before errors about its value, unless the error contains it."""
    try:
        yield
    except UsageError as error:
        if option in str(error):
            raise
        raise type(error)(f"{option}: {error}") from error


def words_of(
    option: str,
    text: str,
    known: Iterable[str] | None = None,
    lacking: Callable[[str], str] = lambda _: "",
) -> tuple[str, ...]:
    """Read ``a,b,c``.

    Args:
        option: name of the option, for errors.
        text: value of the option.
        known: allowed words; ``None`` allows any word.
        lacking: function that returns what to add to the error about an unknown word.

    Raises:
        click.BadParameter: a word is empty, is given twice, or is unknown.
    """
    words = tuple(word.strip() for word in text.split(","))
    for index, word in enumerate(words):
        if not word:
            raise click.BadParameter(f"{_cut(text)!r} contains an empty word", param_hint=f"'{option}'")
        if word in words[:index]:
            raise click.BadParameter(f"{_cut(word)!r} is given twice", param_hint=f"'{option}'")
        if known is not None and word not in known:
            close = did_you_mean(_cut(word), known)
            fault = f"{_cut(word)!r} is unknown{close or ';'} choose from {', '.join(known)}{lacking(word)}"
            raise click.BadParameter(fault, param_hint=f"'{option}'")
    return words


def pairs_of(option: str, settings: tuple[str, ...], example: str) -> dict[str, str]:
    """Read ``KEY=VALUE`` words.

    Raises:
        click.BadParameter: a word is not such a pair, or a key is given twice.
    """
    found: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            fault = f"{_cut(setting)!r} is not KEY=VALUE, such as {example}"
            raise click.BadParameter(fault, param_hint=f"'{option}'")
        if key in found:
            raise click.BadParameter(f"the key {_cut(key)!r} is given twice", param_hint=f"'{option}'")
        found[key] = value
    return found


def data_options_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """Read the ``KEY=VALUE`` words of ``--data-option``: values are JSON, or else text.

    Raises:
        click.BadParameter: a word is not such a pair, or there is a separate option for it.
    """
    options: dict[str, Any] = {}
    for key, text in pairs_of("--data-option", settings, "values=[0,128]").items():
        if key in ("root", "split"):
            raise click.BadParameter(f"use --{key} instead", param_hint="'--data-option'")
        options[key] = json_text.value(text)
    return options


def _cut(word: str) -> str:
    return word if len(word) <= 100 else f"{word[:100]}..."


class ManyValues(GroupedCommand):
    """A command in which ``-i A B`` means ``-i A -i B``, as in programs built on argparse."""

    _greedy = ("-i", "--input", "-o", "--output")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat an option before each of its values."""
        spread: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-") and word != "-":
                option = word if word in self._greedy else ""
            elif option and spread[-1] != option:
                spread.append(option)
            spread.append(word)
        return super().parse_args(ctx, spread)


def numbers(text: str | None) -> tuple[float, ...]:
    """Read ``0.75,1,1.25``; without a text the result is 1."""
    if text is None:
        return (1.0,)
    try:
        return tuple(float(word) for word in words_of("--scales", text))
    except ValueError as error:
        fault = f"expected a list of numbers such as 0.75,1,1.25, got {_cut(text)!r}"
        raise click.BadParameter(fault, param_hint="'--scales'") from error


def thresholds(words: tuple[str, ...]) -> dict[str | int, float]:
    """Read the ``CLASS=NUMBER`` words of ``--class-threshold``."""
    try:
        return read_class_thresholds(words)
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint="'--class-threshold'") from error


def kind_of(word: str) -> str | None:
    """Return the kind of entries that a word names, in the singular or plural; ``None`` if it names none."""
    from segzoo import zoo
    from segzoo.registry import plural

    return next((kind for kind in (word, plural(word)) if kind in zoo.KINDS), None)


def read_size(text: str) -> tuple[int, int]:
    """Read ``480x640``, height x width, or ``512`` for both.

    Raises:
        OptionError: the text has another form.
    """
    found = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text)
    if found is None:
        raise OptionError(f"size must be such as 480x640, height x width, got {shown(text)}")
    return int(found[1]), int(found[2] or found[1])
