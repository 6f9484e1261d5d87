"""The look of ``--help``: options in groups, colours on a terminal, and at most 80 columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from segzoo.printing import has_colour, show_bars, show_details, styled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    #: Titles of groups of options, each with the names of its parameters.
    Groups = Mapping[str, Sequence[str]]

#: The title above options that are in no group of their command.
_OTHERS = "Other options"


class Formatter(click.HelpFormatter):
    """Writes help, with coloured headings and names where the terminal has colours."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how a command is called."""
        start = len(self.buffer)
        super().write_usage(prog, args, prefix)
        usage = "".join(self.buffer[start:])
        self.buffer[start:] = [usage.replace("Usage:", _shown("Usage:", "heading"), 1)]

    def write_heading(self, heading: str) -> None:
        """Write the title of a section."""
        self.write(f"{'':>{self.current_indent}}{_shown(f'{heading}:', 'heading')}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names and what they mean."""
        shown = [(_shown(_short(name), "name"), _short(text)) for name, text in rows]
        super().write_dl(shown, col_max=col_max, col_spacing=col_spacing)


def _short(text: str) -> str:
    """Return a text without click's long words for numbers, and without upper limits that nobody reaches."""
    text = re.sub(r"(\d+)<=x<=\d{9,}", r"x>=\1", text)
    return text.replace("INTEGER RANGE", "NUMBER").replace("FLOAT RANGE", "NUMBER")


def _shown(text: str, style: str) -> str:
    return styled(text, style) if has_colour() else text


class Context(click.Context):
    """A context whose help is written by `Formatter`."""

    formatter_class = Formatter

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.color = has_colour()


def dressed(command: click.Command) -> click.Command:
    """Return the command, whose help, and that of its subcommands, is written by `Formatter`."""
    command.context_class = Context
    for inner in getattr(command, "commands", {}).values():
        dressed(inner)
    return command


class GroupedCommand(click.Command):
    """A command whose options are shown in groups.

    Args:
        groups: titles, each with the names of the parameters below it.
    """

    def __init__(self, *arguments: Any, groups: Groups, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group with its options, then the options that are in no group."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        records = {one.name: one.get_help_record(ctx) for one in options}
        for title, names in self.groups.items():
            self._write(formatter, title, [records.pop(name) for name in names])
        self._write(formatter, _OTHERS, list(records.values()))

    @staticmethod
    def _write(formatter: click.HelpFormatter, title: str, records: Sequence[tuple[str, str] | None]) -> None:
        rows = [record for record in records if record is not None]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _show_details(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    show_details(value)


def _show_bars(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    show_bars(not value)


#: Gives a command ``--no-progress``, which hides the bars of `segzoo.printing.bar`.
progress_option = click.option(
    "--no-progress",
    is_flag=True,
    expose_value=False,
    callback=_show_bars,
    help="Show no progress bars; without a terminal there are none.",
)

#: Gives a command ``--verbose``, which prints messages that are a `segzoo.printing.Detail`.
verbose_option = click.option(
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_show_details,
    help="Print details, such as the inference engine and how images are cut into tiles.",
)
