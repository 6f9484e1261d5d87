"""Text tables, and the notice that a plug-in did not load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """Return rows as columns of equal width, two spaces apart."""
    lines = [header, *rows] if header else list(rows)
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def echo_json(data: Any) -> None:
    """Print data as JSON; what JSON lacks is written as text."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def warn_of_failed_plugins() -> None:
    """Say in a line each, on stderr, which plug-ins did not load, and which took long to."""
    for record in zoo.plugins:
        if record.status in ("broken", "incompatible"):
            click.echo(
                f"warning: plug-in {record.distribution} is {record.status}: {record.error}; "
                "`segzoo plugins -v` shows more",
                err=True,
            )
        elif record.slow:
            click.echo(f"warning: plug-in {record.distribution}: {record.warnings[-1]}", err=True)
