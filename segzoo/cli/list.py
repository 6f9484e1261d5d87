"""``segzoo list``: everything in the zoo, by kind or by a search."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.table import echo_json, echo_rows, warn_of_failed_plugins
from segzoo.cli.words import kind_of
from segzoo.errors import UnknownNameError, did_you_mean
from segzoo.options import listed
from segzoo.printing import echo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.registry import Entry
    from segzoo.specs import Spec

#: Columns of each kind, between its name and its summary.
_COLUMNS = {
    "encoders": ("channels", "strides"),
    "weights": ("model", "licence"),
    "datasets": ("licence",),
    "outputs": ("formats",),
    "recipes": ("data", "origin"),
}
#: Columns that a narrow terminal leaves out, the first one first.
_SPARE = ("MODEL", "ORIGIN", "STRIDES", "LICENCE")


@click.command("list")
@click.argument("kind", required=False, metavar="[KIND|WORD]", shell_complete=offers.kinds)
@click.argument("pattern", required=False, shell_complete=offers.of_kind)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every field of each entry.")
def command(kind: str | None, pattern: str | None, as_json: bool) -> None:
    """List models, weights, encoders, datasets, metrics and more.

    \b
    segzoo list                       count the entries of every kind
    segzoo list weights               show all weights
    segzoo list weights 'unet-*'      show the weights whose names match
    segzoo list nuclei                search all names and summaries

    KIND is models, weights, encoders, decoders, datasets, metrics, losses, augmentations, optimizers,
    schedules, trackers, readers, outputs, engines, exports, clusters, recipes or layouts. PATTERN is a part
    of a name or a shell pattern such as 'unet-*'; if no name matches, summaries are searched. Any other WORD
    is searched in the names and summaries of all kinds.

    Encoders of timm can be used too, although most are not listed. A terminal shows shortened columns:
    `segzoo info NAME` and --json show everything.
    """
    warn_of_failed_plugins()
    if kind is None:
        _overview(as_json)
        return
    of_kind = kind_of(kind)
    if of_kind is None:
        _search([word for word in (kind, pattern) if word], as_json)
    else:
        _list(of_kind, pattern, as_json)


def describe(name: str, entry: Entry[Any]) -> dict[str, Any]:
    """Return all fields of a spec, for JSON."""
    return {"kind": entry.spec.kind, **asdict(entry.spec), "name": name, "owner": entry.owner}


def _list(kind: str, pattern: str | None, as_json: bool) -> None:
    registry = zoo.registry(kind)
    entries = dict(registry.items())
    names = sorted(entries) if pattern is None else registry.match(pattern)
    if not names and pattern:
        names = sorted(name for name, entry in entries.items() if _holds(name, entry.spec, [pattern]))
    if as_json:
        echo_json([describe(name, entries[name]) for name in names])
    elif names:
        rows = [_row(kind, name, entries[name].spec) for name in names]
        echo_rows(rows, header=_header(kind), spare=_SPARE)
    else:
        echo(f"none of {len(registry)} {kind} matches {pattern!r}" if pattern else f"no {kind}", err=True)


def _search(words: Sequence[str], as_json: bool) -> None:
    """Show the entries of all kinds whose name or summary contains every word."""
    found = [
        (kind, name, entry)
        for kind in zoo.KINDS
        for name, entry in sorted(zoo.registry(kind).items(), key=lambda item: item[0])
        if _holds(name, entry.spec, words)
    ]
    if not found:
        text = " ".join(words)
        close = did_you_mean(words[0], zoo.KINDS) or "; `segzoo list` shows the kinds"
        raise UnknownNameError(f"no name or summary contains {text!r}, and it is not a kind{close}")
    if as_json:
        echo_json([describe(name, entry) for _, name, entry in found])
        return
    rows = [
        (entry.spec.kind, ", ".join((name, *entry.spec.aliases)), entry.spec.summary)
        for _, name, entry in found
    ]
    echo_rows(rows, header=("KIND", "NAME", "SUMMARY"))


def _holds(name: str, spec: Spec, words: Sequence[str]) -> bool:
    text = " ".join((name, *spec.aliases, spec.summary)).lower()
    return all(word.lower() in text for word in words)


def _overview(as_json: bool) -> None:
    names = {kind: zoo.registry(kind).names() for kind in zoo.KINDS}
    if as_json:
        echo_json(names)
        return
    echo_rows([(kind, str(len(found)), listed(found, 6)) for kind, found in names.items()])


def _header(kind: str) -> tuple[str, ...]:
    return ("NAME", *(column.upper() for column in _COLUMNS.get(kind, ())), "SUMMARY")


def _row(kind: str, name: str, spec: Spec) -> tuple[str, ...]:
    columns = (_cell(getattr(spec, column)) for column in _COLUMNS.get(kind, ()))
    return (", ".join((name, *spec.aliases)), *columns, spec.summary)


def _cell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
