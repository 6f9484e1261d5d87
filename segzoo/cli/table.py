"""Text tables that fit the terminal, and the warning about plug-ins that did not load."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from segzoo.printing import as_json, echo, echo_message, echo_table, on_terminal, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Least characters of the last column, and of those between it and the first, on a narrow terminal.
_LAST, _INNER = 32, 16
#: A last column with less room than this is harder to read than lines that the terminal breaks.
_NARROW = 20


def table(
    rows: Sequence[Sequence[str]],
    *,
    header: Sequence[str] = (),
    screen: int | None = None,
    spare: Sequence[str] = (),
    indent: int = 0,
) -> str:
    """Return rows as columns of equal width, two spaces apart.

    A table that is too wide for the terminal loses the columns that can be spared, then long cells between
    the first column and the last one are shortened, and the last column is wrapped. Where stdout is not a
    terminal, each row is one whole line, for grep and other programs.

    Args:
        rows: rows of cells, which are made `printable`.
        header: names of the columns.
        screen: characters in a line; by default the width of the terminal.
        spare: names of columns to leave out if the table is too wide, in this order.
        indent: number of spaces before each line.
    """
    lines = [[printable(cell) for cell in row] for row in ([header, *rows] if header else rows)]
    room = (_screen() if screen is None else screen) - indent
    for name in spare:
        if name in header and _width(lines, least=True) > room:
            at = lines[0].index(name)
            lines = [[*row[:at], *row[at + 1 :]] for row in lines]
    _shorten(lines, room)
    widths = _widths(lines)
    margin, before = " " * indent, sum(widths[:-1]) + 2 * len(widths[:-1])
    left = room - before
    shown = []
    for *cells, last in lines:
        start = "".join(f"{cell.ljust(width)}  " for cell, width in zip(cells, widths[:-1], strict=True))
        broken = _broken(last, left) if len(last) > left >= _NARROW else [last]
        first = f"{margin}{start}{broken[0]}".rstrip()
        shown.append("\n".join((first, *(f"{margin}{' ' * before}{line}" for line in broken[1:]))))
    return "\n".join(shown)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max((len(cell) for cell in column), default=0) for column in zip(*lines, strict=True)]


def _width(lines: Sequence[Sequence[str]], *, least: bool = False) -> int:
    """Return the width of a table, with its last column at the least width.

    Args:
        lines: rows of cells.
        least: whether the columns between the first and the last have their least width too.
    """
    widths = _widths(lines)
    if not widths:
        return 0
    widths[-1] = min(widths[-1], _LAST)
    if least:
        widths[1:-1] = [min(one, _INNER) for one in widths[1:-1]]
    return sum(widths) + 2 * (len(widths) - 1)


def _shorten(lines: list[list[str]], room: int) -> None:
    """Shorten the widest cells between the first and the last column until the table fits."""
    while (over := _width(lines) - room) > 0:
        inner = _widths(lines)[1:-1]
        widest = max(inner, default=0)
        if widest <= _INNER:
            return
        width = max(_INNER, widest - over)
        at = 1 + inner.index(widest)
        for row in lines:
            if len(row[at]) > width:
                row[at] = f"{row[at][: width - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _broken(cell: str, room: int) -> list[str]:
    return textwrap.wrap(cell, room, break_long_words=False, break_on_hyphens=False) or [cell]


def _screen() -> int:
    return shutil.get_terminal_size().columns if on_terminal() else sys.maxsize


def echo_rows(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """Print rows as a `table`, with the names of the columns as a heading."""
    if rows:
        echo_table(table(rows, header=header, spare=spare), header=bool(header))


def echo_json(data: Any) -> None:
    """Print data as JSON; values that JSON lacks are written as text."""
    echo(as_json(data, indent=2, default=str))


def warn_of_failed_plugins() -> None:
    """Print a warning for each plug-in that did not load, or that took long to load."""
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
