"""``segzoo plugins new``: write a plug-in to start from."""

from __future__ import annotations

from pathlib import Path

import click

from segzoo import scaffold
from segzoo.printing import command_line, echo


@click.command("new")
@click.argument("name")
@click.option(
    "--kind", required=True, type=click.Choice(list(scaffold.KINDS)), help="What the plug-in brings."
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(file_okay=False),
    default=".",
    show_default="the current folder",
    help="Where to put the package's folder.",
)
def command(name: str, kind: str, parent: str) -> None:
    """Write a new plug-in that installs and passes its own tests.

    The package is called segzoo-NAME, and what it brings NAME. Its code is an example to be exchanged for
    your own; its tests call segzoo's contracts.
    """
    names = scaffold.naming(name)
    scaffold.check_free(names, kind)
    folder = Path(parent) / names.distribution
    for file in scaffold.write(names, kind, folder):
        echo(file)
    echo(
        f"\nnow `{command_line('pip', 'install', '--editable', folder)}`,\n"
        f"and `{command_line('pytest', folder)}` or `segzoo plugins check {names.distribution}`",
        err=True,
    )
