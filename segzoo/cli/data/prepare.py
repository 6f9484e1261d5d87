"""``segzoo data prepare``: unpack the archive of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from segzoo.cli import completions as offers
from segzoo.cli.help import progress_option
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
    help="Archive file, zip or tar; may be repeated.",
)
@click.option("--out", required=True, type=click.Path(), help="Folder for the dataset.")
@progress_option
def command(name: str, sources: tuple[str, ...], out: str) -> None:
    """Unpack the archive of a dataset safely.

    NAME is a name in `segzoo list datasets`. The folder appears only when it is complete.
    """
    from segzoo.preparation import prepare

    show(name, prepare(name, sources, out, progress=True))


def show(name: str, prepared: Prepared) -> None:
    """Print the contents of a dataset."""
    parts = ", ".join(f"{split} {count}" for split, count in prepared.samples.items() if count)
    echo(f"{prepared.folder}: {prepared.files:,} files; {parts or 'needs options to be opened'}")
    echo(f"next: {command_line('segzoo', 'train', '--data', name, '--root', prepared.folder)}")
