"""Pieces of HTML that several parts of the page are made of."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td{_NAME if not i else ''}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_NAME = ' class="name"'


def legend(entries: Iterable[tuple[str, tuple[int, int, int]]]) -> str:
    """Return a line of coloured squares with their meanings."""
    items = "".join(f"<li>{chip(colour)}{escape(name)}</li>" for name, colour in entries)
    return f'<ul class="legend">{items}</ul>'


def chip(colour: tuple[int, int, int]) -> str:
    """Return a small square of a colour, (red, green, blue)."""
    return f'<span class="chip" style="background:rgb({colour[0]} {colour[1]} {colour[2]})"></span>'
