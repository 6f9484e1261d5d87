"""Text tables, and the notice that a plug-in did not load."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from segzoo.printing import as_json, echo, echo_message, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

# A column of fewer characters is harder to read than lines that the terminal breaks.
_NARROW = 24


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), screen: int | None = None) -> str:
    """Return rows as columns of equal width, two spaces apart.

    Args:
        rows: of cells, each of which is shown as `printable` says.
        header: of the columns.
        screen: characters in a line, of which the last column keeps to its share; that of the terminal by
            default. Where output is no terminal but a file or a program, each row stays a line.
    """
    lines = [[printable(cell) for cell in row] for row in ([header, *rows] if header else rows)]
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*lines, strict=True)]
    before = sum(widths[:-1]) + 2 * len(widths[:-1])
    room = (_screen() if screen is None else screen) - before
    told = []
    for *cells, last in lines:
        start = "".join(f"{cell.ljust(width)}  " for cell, width in zip(cells, widths[:-1], strict=True))
        broken = _broken(last, room) if len(last) > room >= _NARROW else [last]
        told.append(f"\n{' ' * before}".join((f"{start}{broken[0]}".rstrip(), *broken[1:])))
    return "\n".join(told)


def _broken(cell: str, room: int) -> list[str]:
    return textwrap.wrap(cell, room, break_long_words=False, break_on_hyphens=False) or [cell]


def _screen() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def echo_json(data: Any) -> None:
    """Print data as JSON; what JSON lacks is written as text."""
    echo(as_json(data, indent=2, default=str))


def warn_of_failed_plugins() -> None:
    """Say in a line each, on stderr, which plug-ins did not load, and which took long to."""
    from segzoo import zoo

    for record in zoo.plugins:
        if record.status in ("broken", "incompatible"):
            echo_message(
                "warning",
                f"plug-in {record.distribution} is {record.status}: {record.error}; "
                "`segzoo plugins -v` shows more",
            )
        elif record.slow:
            echo_message("warning", f"plug-in {record.distribution}: {record.warnings[-1]}")
