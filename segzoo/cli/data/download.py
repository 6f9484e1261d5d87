"""``segzoo data download``: a data set from where it is published."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.cli.data.prepare import tell


@click.command("download")
@click.argument("name", shell_complete=offers.datasets)
@click.option("--out", type=click.Path(), help="The folder that it becomes [default: NAME].")
def command(name: str, out: str | None) -> None:
    """Fetch a data set whose terms allow it, and unpack it.

    NAME is a data set as `segzoo list datasets` shows it; read its licence (`segzoo info NAME`) first.
    Archives are fetched into the cache of weights, resumed where they broke, and checked where a checksum is
    published. Carvana's come from Kaggle with your own credentials.
    """
    from segzoo.preparation import download

    tell(name, download(name, out or name))
