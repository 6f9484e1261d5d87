"""``segzoo data prepare``: archives to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from segzoo.cli import completions as offers
from segzoo.printing import command_line, echo

if TYPE_CHECKING:
    from segzoo.preparation import Prepared


@click.command("prepare")
@click.argument("name", shell_complete=offers.datasets)
@click.option(
    "--source",
    "sources",
    required=True,
    multiple=True,
    type=click.Path(),
    help="An archive, zip or tar; may be repeated.",
)
@click.option("--out", required=True, type=click.Path(), help="The folder that it becomes.")
def command(name: str, sources: tuple[str, ...], out: str) -> None:
    """Unpack a data set's archive safely.

    NAME is a data set as `segzoo list datasets` shows it. The folder is there when all is well, or not
    at all.
    """
    from segzoo.preparation import prepare

    tell(name, prepare(name, sources, out))


def tell(name: str, prepared: Prepared) -> None:
    """Say what a data set holds."""
    parts = ", ".join(f"{split} {count}" for split, count in prepared.samples.items() if count)
    echo(f"{prepared.folder}: {prepared.files:,} files; {parts or 'opens with options only'}")
    echo(f"next: {command_line('segzoo', 'train', '--data', name, '--root', prepared.folder)}")
