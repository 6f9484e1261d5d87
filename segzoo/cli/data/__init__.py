"""``segzoo data``: download, unpack, check, convert and preview datasets.

A subcommand is a module of this package whose attribute ``command`` is a click command; it is
imported when it is chosen.
"""

from __future__ import annotations

import click

from segzoo.cli import LazyGroup
from segzoo.printing import echo_help

#: Every subcommand and its line in ``segzoo data --help``.
COMMANDS = {
    "check": "Find problems in images and masks before training.",
    "convert": "Convert a dataset to COCO, YOLO, Pascal VOC or folders.",
    "download": "Download a dataset whose terms allow it, and unpack it.",
    "prepare": "Unpack the archive of a dataset safely.",
    "preview": "Draw a contact sheet of images with their masks.",
    "stats": "Measure the mean and standard deviation of each channel.",
}

#: Words that people type for a subcommand, and the subcommands that they may mean.
SYNONYMS = {
    "doctor": ["check"],
    "export": ["convert"],
    "fetch": ["download"],
    "fix": ["check --fix"],
    "get": ["download"],
    "show": ["preview"],
    "unpack": ["prepare"],
    "validate": ["check"],
    "view": ["preview"],
}


@click.group(
    "data", cls=LazyGroup, package=__name__, table=COMMANDS, synonyms=SYNONYMS, invoke_without_command=True
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Download, check, convert and preview datasets."""
    if ctx.invoked_subcommand is None:
        echo_help(ctx.get_help())
