"""A table that can be filtered: a form, a line that counts, and rows that say what they are by.

Without the program in ``zoo.js`` the form stays hidden and every row is shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from docutils import nodes

from zoo_pages.facts import guarded
from zoo_pages.markup import anchor, as_is, code, element, html, prose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from segzoo.plugins import PluginRecord

#: What a cell holds where nothing is known.
NOTHING = "none"

#: Facets whose values are names or numbers.
NAMES = ("class", "data", "package", "stride")


@dataclass(frozen=True)
class Cell:
    """A cell; ``sort`` is the number by which its column is sorted, if any."""

    content: tuple[nodes.Node | str, ...]
    sort: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: one part of the zoo.

    Attributes:
        name: name of the part.
        cells: one for each column; the first names it.
        facets: values for each choice of the form; there may be several.
        flags: boxes of the form that apply.
        linked: whether other pages may link to the row or to its page.
    """

    name: str
    cells: tuple[Cell, ...]
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    flags: Sequence[str] = ()
    linked: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """The table of a kind.

    Attributes:
        kind: kind in the plural.
        caption: description of the table.
        columns: titles of the columns.
        rows: rows of the table.
        facets: the form's choices, by name of the facet, and their labels.
        flags: the form's boxes, by name of the flag, and their labels.
    """

    kind: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    facets: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)


def cell(*content: nodes.Node | str, sort: float | None = None) -> Cell:
    """Return a cell."""
    return Cell(content, sort)


def rows_of(make: Callable[[Any], Row], things: Iterable[Any], columns: int) -> list[Row]:
    """Return a row for each part; if a plug-in's data makes this impossible, the row shows the reason."""
    rows = []
    for thing in things:
        row, why = guarded(lambda thing=thing: make(thing), None)
        if row is None:
            named = cell(html("span", code(thing.name), classes=["zoo-name"]), trouble(why))
            row = Row(name=thing.name, cells=(named, *[cell(NOTHING)] * (columns - 1)))
        rows.append(row)
    return rows


def trouble(text: str) -> nodes.Node:
    """Return a paragraph about an error, for a row."""
    return html("p", html("strong", "Not known: "), *prose(text), classes=["zoo-trouble"])


def drawn(table: Table, failed: Sequence[PluginRecord]) -> list[nodes.Node]:
    """Return the nodes of a table, with a row for each plug-in that did not load."""
    count = html(
        *("p", as_is(str(len(table.rows))), f" {table.kind}"),
        classes=["zoo-count"],
        role="status",
        data_some="SHOWN of ALL shown",
        data_none="None of ALL fits",
    )
    return [html("div", _form(table), count, _region(table, failed), classes=["zoo"], data_zoo=table.kind)]


def plain(
    caption: str | element,
    columns: Sequence[nodes.Node | str],
    rows: Sequence[Sequence[nodes.Node | str]],
    *,
    failed: int = 0,
) -> element:
    """Return a table that is only read; the last ``failed`` rows say what went wrong."""
    caption = caption if isinstance(caption, element) else html("span", caption)
    named = nodes.make_id(f"table {caption.astext()}")
    head = html("tr", *(html("th", column, scope="col") for column in columns))
    body = [
        html("tr", html("th", row[0], scope="row"), *(html("td", one) for one in row[1:])) for row in rows
    ]
    for row in body[len(body) - failed :]:
        row["classes"].append("zoo-failed")
    parts = (html("caption", caption, ids=[named]), html("thead", head), html("tbody", *body))
    grid = html("table", *parts, classes=["zoo-scores"])
    # A group and no region: a page may have many of them, and a region is a place to jump to.
    return html("div", grid, classes=["zoo-scroll"], role="group", aria_labelledby=named, tabindex=0)


def _form(table: Table) -> element:
    fields = [_field(table, "text", "Search", html("input", type="search", autocomplete="off"))]
    for facet, label in table.facets.items():
        found = {value for row in table.rows for value in row.facets.get(facet, ())}
        if len(found) > 1:
            options = [
                html("option", "any", value=""),
                *(html("option", one, value=one, as_is=facet in NAMES) for one in _sorted(found)),
            ]
            fields.append(_field(table, facet, label, html("select", *options)))
    for flag, label in table.flags.items():
        if 0 < sum(flag in row.flags for row in table.rows) < len(table.rows):
            fields.append(_field(table, flag, label, html("input", type="checkbox")))
    clear = html("button", "Clear", type="reset", classes=["zoo-clear"])
    return html(
        *("form", *fields, clear),
        classes=["zoo-form"],
        role="search",
        aria_label=f"Filter {table.kind}",
        hidden=True,
    )


def _sorted(values: set[str]) -> list[str]:
    numbers = all(value.isdecimal() for value in values)
    return sorted(values, key=int if numbers else str.lower)


def _field(table: Table, name: str, label: str, control: element) -> element:
    identity = nodes.make_id(f"filter {table.kind} {name}")
    control["ids"].append(identity)
    control["named"] |= {"name": name}
    named = html("label", label, for_=identity)
    box = control["named"].get("type") == "checkbox"
    parts = (control, named) if box else (named, control)
    return html("div", *parts, classes=["zoo-field", *(["zoo-box"] if box else [])])


def _region(table: Table, failed: Sequence[PluginRecord]) -> element:
    heads = [html("th", title, scope="col", role="columnheader") for title in table.columns]
    body = [_row(table, row) for row in table.rows] + [_failed(table, record) for record in failed]
    grid = html(
        "table",
        html("caption", table.caption),
        html("thead", html("tr", *heads, role="row"), role="rowgroup"),
        html("tbody", *body, role="rowgroup"),
        classes=["zoo-table"],
        role="table",
    )
    return html("div", grid, classes=["zoo-scroll"], role="region", aria_label=table.caption, tabindex=0)


def _row(table: Table, row: Row) -> element:
    said = {"facets": dict(row.facets), "flags": list(row.flags)}
    cells = [
        html(
            "th" if index == 0 else "td",
            *one.content,
            scope="row" if index == 0 else None,
            role="rowheader" if index == 0 else "cell",
            data_label=title,
            data_sort=one.sort,
            classes=["zoo-number"] if one.sort is not None else [],
        )
        for index, (title, one) in enumerate(zip(table.columns, row.cells, strict=True))
    ]
    return html(
        "tr",
        *cells,
        role="row",
        ids=[anchor(table.kind if row.linked else f"also-{table.kind}", row.name)],
        data_zoo_row=json.dumps(said, ensure_ascii=False),
    )


def _failed(table: Table, record: PluginRecord) -> element:
    told = html(
        "td",
        html("strong", "Plug-in "),
        code(record.distribution),
        " ",
        as_is(record.version),
        html("strong", f" is {record.status}: "),
        *prose(f"{record.error}. Its {table.kind} are not known."),
        colspan=len(table.columns),
        role="cell",
    )
    return html("tr", told, role="row", classes=["zoo-failed"])
