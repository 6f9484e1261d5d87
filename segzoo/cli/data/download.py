"""``segzoo data download``: download a dataset from its publisher."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.cli.data.prepare import show
from segzoo.cli.help import progress_option


@click.command("download")
@click.argument("name", shell_complete=offers.datasets)
@click.option("--out", type=click.Path(), help="Folder for the dataset [default: NAME].")
@progress_option
def command(name: str, out: str | None) -> None:
    """Download a dataset whose terms allow it, and unpack it.

    NAME is a name in `segzoo list datasets`; read the licence first (`segzoo info NAME`). Archives are
    downloaded into the cache of weights, resumed after an interruption, and checked if a checksum is
    published. Carvana comes from Kaggle and needs your own credentials.
    """
    from segzoo.preparation import download

    show(name, download(name, out or name, progress=True))
