"""``segzoo cache``: list downloaded weights, and remove those that are not needed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from segzoo.cli import weights_completions as weights_offers
from segzoo.cli.table import echo_json, echo_rows
from segzoo.errors import UsageError
from segzoo.printing import echo
from segzoo.resources import told_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.weights.inventory import Item


@click.group("cache", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List or remove downloaded weights.

    Without a subcommand the cache is listed. Its folder is SEGZOO_HOME, else segzoo in XDG_CACHE_HOME or
    ~/.cache. Files of Hugging Face repositories are in the cache of that client (`hf cache`), but their
    hashes are kept here.
    """
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List the files in the cache."""
    _list(as_json)


@command.command("prune")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=weights_offers.cached)
@click.option("--all", "everything", is_flag=True, help="Remove every file.")
@click.option("--forget", is_flag=True, help="Forget the hashes too: the next downloaded file is trusted.")
@click.option("--dry-run", is_flag=True, help="Print which files would be removed, and remove none.")
def prune_command(names: tuple[str, ...], everything: bool, forget: bool, dry_run: bool) -> None:
    """Remove files that are not needed, or all files of NAME.

    These files are not needed: unfinished downloads, files that have been converted, and conversions by
    another version or for weights that are no longer registered. The hashes of removed files stay, so that
    no other file is accepted under their names, unless you add --forget.
    """
    from segzoo.weights.inventory import prune

    if forget and not (names or everything):
        raise UsageError("--forget needs the names of weights, or --all: name the hashes to forget")
    removed = prune(names, everything=everything, forget=forget, dry_run=dry_run)
    for item in removed:
        echo(f"{'would remove' if dry_run else 'removed'}  {told_bytes(item.bytes)}  {item.path}")
    freed = told_bytes(sum(item.bytes for item in removed))
    echo(f"{freed} {'would be ' if dry_run else ''}freed" if removed else "nothing to remove")


def _list(as_json: bool) -> None:
    from segzoo.weights.cache import home
    from segzoo.weights.inventory import items

    found = items()
    if as_json:
        echo_json([asdict(item) for item in found])
        return
    if found:
        echo_rows([_row(item) for item in found], header=("NAME", "KIND", "SIZE", "NEEDED", "SHA256"))
    echo(f"{_total(found)} in {home()}")


def _row(item: Item) -> tuple[str, ...]:
    pinned = " (pinned at first use)" if item.pinned else ""
    return (
        item.name,
        item.kind,
        told_bytes(item.bytes),
        "yes" if item.needed else "no",
        f"{item.sha256[:16]}{pinned}" if item.sha256 else "",
    )


def _total(found: Sequence[Item]) -> str:
    return told_bytes(sum(item.bytes for item in found))
