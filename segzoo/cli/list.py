"""``segzoo list``: what the zoo holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.table import echo_json, table, warn_of_failed_plugins
from segzoo.options import listed
from segzoo.printing import echo

if TYPE_CHECKING:
    from segzoo.registry import Entry
    from segzoo.specs import Spec

# What a table shows of each kind, besides its name and summary.
_COLUMNS = {
    "encoders": ("channels", "strides"),
    "weights": ("model", "licence"),
    "datasets": ("licence",),
    "outputs": ("formats",),
    "recipes": ("data", "origin"),
}


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(zoo.KINDS), metavar=f"[{'|'.join(zoo.KINDS)}]")
@click.argument("pattern", required=False, shell_complete=offers.of_kind)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all that is known of each.")
def command(kind: str | None, pattern: str | None, as_json: bool) -> None:
    """List models, weights, encoders, decoders, datasets, metrics and more.

    Without a kind, all kinds are counted. PATTERN is a part of the names that are wanted, or a shell
    pattern such as 'unet-*'. Any encoder that timm knows can be used too, listed here or not.
    """
    warn_of_failed_plugins()
    if kind is None:
        _overview(as_json)
        return
    registry = zoo.registry(kind)
    entries = dict(registry.items())
    names = sorted(entries) if pattern is None else registry.match(pattern)
    if as_json:
        echo_json([describe(name, entries[name]) for name in names])
        return
    if names:
        echo(table([_row(kind, name, entries[name].spec) for name in names], header=_header(kind)))
    else:
        echo(f"none of {len(registry)} {kind} matches {pattern!r}" if pattern else f"no {kind}", err=True)


def describe(name: str, entry: Entry[Any]) -> dict[str, Any]:
    """Return everything that is known of a spec, for JSON."""
    return {"kind": entry.spec.kind, **asdict(entry.spec), "name": name, "owner": entry.owner}


def _overview(as_json: bool) -> None:
    names = {kind: zoo.registry(kind).names() for kind in zoo.KINDS}
    if as_json:
        echo_json(names)
        return
    echo(table([(kind, str(len(found)), listed(found, 6)) for kind, found in names.items()]))


def _header(kind: str) -> tuple[str, ...]:
    return ("NAME", *(column.upper() for column in _COLUMNS.get(kind, ())), "SUMMARY")


def _row(kind: str, name: str, spec: Spec) -> tuple[str, ...]:
    columns = (_cell(getattr(spec, column)) for column in _COLUMNS.get(kind, ()))
    return (", ".join((name, *spec.aliases)), *columns, spec.summary)


def _cell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
