"""``segzoo plugins``: list plug-ins and their status; with subcommands for authors.

A subcommand is a module of this package whose attribute ``command`` is a click command; it is
imported when it is chosen.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from segzoo import zoo
from segzoo.cli import LazyGroup
from segzoo.cli.table import echo_json, table
from segzoo.printing import echo, echo_table
from segzoo.registry import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from segzoo.plugins import PluginRecord

#: Every subcommand and its line in ``segzoo plugins --help``.
COMMANDS = {
    "check": "Test whether plug-ins keep the contracts of their parts.",
    "new": "Create a new plug-in that installs and passes its own tests.",
}

_HEADER = ("DISTRIBUTION", "VERSION", "API", "STATUS", "MS", "PROVIDES")


@click.group("plugins", cls=LazyGroup, package=__name__, table=COMMANDS, invoke_without_command=True)
@click.option("-v", "--verbose", is_flag=True, help="Show all names, and tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every field of each plug-in.")
@click.pass_context
def command(ctx: click.Context, verbose: bool, as_json: bool) -> None:
    """List the installed plug-ins and their status.

    SEGZOO_DISABLE_PLUGINS names distributions to leave out, and SEGZOO_PLUGINS names the only ones to load,
    separated by commas. With SEGZOO_STRICT_PLUGINS=1 the first plug-in that fails is an error.
    """
    if ctx.invoked_subcommand is not None:
        return
    records = zoo.plugins
    if as_json:
        echo_json([asdict(record) for record in records])
        return
    echo_table(overview(records))
    for record in records:
        if record.error:
            echo(f"\n{record.distribution} ({record.name}) is {record.status}: {record.error}")
        for warning in record.warnings:
            echo(f"\n{record.distribution} ({record.name}): {warning}")
    for record in records if verbose else ():
        for line in _more(record):
            echo(f"\n{line}")


def overview(records: Iterable[PluginRecord], *, indent: int = 0) -> str:
    """Return a table of plug-ins with their status, with spaces before each line."""
    return table([_row(record) for record in records], header=_HEADER, spare=("MS",), indent=indent)


def _row(record: PluginRecord) -> tuple[str, ...]:
    provides = record.provides.items()
    counts = (f"{len(names)} {kind if len(names) == 1 else plural(kind)}" for kind, names in provides)
    time = f"{record.milliseconds:.1f}" if record.milliseconds else "-"
    version, api = record.version or "?", str(record.api or "?")
    return (record.distribution, version, api, record.status, time, ", ".join(counts) or "-")


def _more(record: PluginRecord) -> Iterator[str]:
    """Yield the traceback of a plug-in, and the names of its parts."""
    if record.traceback:
        yield f"{record.distribution} ({record.name}) raised:\n{record.traceback.rstrip()}"
    if record.provides:
        rows = [(plural(kind), ", ".join(names)) for kind, names in record.provides.items()]
        yield f"{record.distribution} ({record.name}) provides:\n{table(rows)}"
