"""Words of the command line that click has no type for."""

from __future__ import annotations

import click


class ManyValues(click.Command):
    """A command in which ``-i A B`` means ``-i A -i B``, as programs built on argparse have it."""

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
    """Read ``0.75,1,1.25``; 1 alone where there is no text."""
    if text is None:
        return (1.0,)
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"--scales is a list of numbers such as 0.75,1,1.25, got {text!r}") from error


def thresholds(words: tuple[str, ...]) -> dict[str | int, float]:
    """Read ``CLASS=NUMBER`` words."""
    found: dict[str | int, float] = {}
    for word in words:
        name, _, value = word.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise click.UsageError(
                f"--class-threshold is CLASS=NUMBER such as car=0.4, got {word!r}"
            ) from error
    return found
