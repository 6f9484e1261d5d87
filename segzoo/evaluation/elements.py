"""HTML elements for the pages of evaluations and training runs."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.metrics.contract import RULES
from segzoo.printing import markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segzoo.evaluation.results import Panel

#: With this policy, the browser refuses everything that a page might load.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, *, header: str, body: str, footer: str, style: str = "") -> str:
    """Return a page that loads nothing from any server and runs no script.

    Args:
        title: title as text.
        header: HTML of the header.
        body: HTML of the body.
        footer: HTML of the footer.
        style: CSS in addition to the shared style.
    """
    shared = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{markup(title)}</title>\n<style>\n{shared}{style}</style>\n</head>\n<body>\n"
        f"{header}\n<main>\n{body}\n</main>\n<footer>{footer}</footer>\n</body>\n</html>\n"
    )


def fact_list(facts: Mapping[str, str]) -> str:
    """Return named facts, in rows as wide as the page."""
    listed = "".join(
        f"<div><dt>{markup(name)}</dt><dd>{markup(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="facts">{listed}</dl>'


def contract_list(contract: str) -> str:
    """Return a contract with one line per rule; text in another form is returned unchanged."""
    measure, *rules = re.split(rf"; ({'|'.join(RULES)}): ", contract)
    if not rules:
        return f'<p class="rule">{markup(contract)}</p>'
    lines = "".join(
        f"<dt>{rule}</dt><dd>{markup(text)}</dd>" for rule, text in zip(rules[::2], rules[1::2], strict=True)
    )
    return f'<p class="rule">{markup(measure)}</p>\n<dl class="rule rules">{lines}</dl>'


def picture(panel: Panel) -> str:
    """Return a picture with its caption; its bytes are embedded in the page."""
    data = base64.b64encode(panel.data).decode("ascii")
    return (
        f'<div><img src="data:{panel.media_type};base64,{data}" alt="{markup(panel.alt)}">'
        f"<span>{markup(panel.caption)}</span></div>"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells are HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td{_NAME if not i else ''}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_NAME = ' class="name"'


def legend(entries: Iterable[tuple[str, tuple[int, int, int]]]) -> str:
    """Return a line of coloured squares with their meanings."""
    items = "".join(f"<li>{chip(colour)}{markup(name)}</li>" for name, colour in entries)
    return f'<ul class="legend">{items}</ul>'


def chip(colour: tuple[int, int, int]) -> str:
    """Return a small square of a colour, (red, green, blue)."""
    return f'<span class="chip" style="background:rgb({colour[0]} {colour[1]} {colour[2]})"></span>'
