"""``segzoo plugins new``: create a plug-in to start from."""

from __future__ import annotations

from pathlib import Path

import click

from segzoo import scaffold
from segzoo.printing import command_line, echo


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    required=True,
    type=click.Choice(list(scaffold.KINDS)),
    metavar="KIND",
    help=f"Kind of part that the plug-in provides: {', '.join(scaffold.KINDS)}.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(file_okay=False),
    default=".",
    show_default="the current folder",
    help="Folder in which to create the package.",
)
def command(name: str, kind: str, parent: str) -> None:
    """Create a new plug-in that installs and passes its own tests.

    The package is named segzoo-NAME, and its part NAME. Replace the example code with your own; the tests
    run segzoo's contracts.

    \b
    segzoo plugins new my-decoder --kind decoder
    """
    names = scaffold.naming(name)
    scaffold.check_free(names, kind)
    folder = Path(parent) / names.distribution
    for file in scaffold.write(names, kind, folder):
        echo(file)
    echo(
        f"\nnext: `{command_line('pip', 'install', '--editable', folder)}`,\n"
        f"and `{command_line('pytest', folder)}` or `segzoo plugins check {names.distribution}`",
        err=True,
    )
