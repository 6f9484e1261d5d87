"""``segzoo data``: data sets, fetched, unpacked, checked and looked at.

A subcommand is a module of this package whose attribute ``command`` is a click command; it is
imported when it is chosen.
"""

from __future__ import annotations

import click

from segzoo.cli import LazyGroup
from segzoo.printing import echo

#: Every subcommand and its line in ``segzoo data --help``.
COMMANDS = {
    "check": "Find what is wrong with images and masks before training does.",
    "convert": "Write a data set as files of another format.",
    "download": "Fetch a data set whose terms allow it, and unpack it.",
    "prepare": "Unpack a data set's archive safely.",
    "preview": "Draw a contact sheet of images with their masks.",
    "stats": "Measure the mean and standard deviation of each channel.",
}


@click.group("data", cls=LazyGroup, package=__name__, table=COMMANDS, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Fetch, unpack, check, convert and look at data sets."""
    if ctx.invoked_subcommand is None:
        echo(ctx.get_help())
