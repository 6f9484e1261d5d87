"""The options of a part, as ``segzoo info`` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes

from zoo_pages.markup import as_is, code, definitions, details, html, prose

if TYPE_CHECKING:
    from collections.abc import Mapping


def options_of(known: Mapping[str, Any], *, opened: bool = False) -> list[nodes.Node]:
    """Return the options, their defaults and meanings; nothing if there are no options.

    Args:
        known: facts about the part.
        opened: whether they are shown at once, or in a block that the reader opens.
    """
    takes = known.get("takes") or {}
    if not takes:
        return []
    pairs = [(_term(name, said["default"]), prose(said["meaning"])) for name, said in takes.items()]
    if opened:
        return [definitions(pairs)]
    count = html("span", as_is(str(len(takes))), f" option{'s' if len(takes) > 1 else ''}")
    return [details(count, definitions(pairs))]


def _term(name: str, default: Any) -> list[nodes.Node]:
    if default == "(required)":
        return [code(name), nodes.Text(" (required)")]
    return [code(f"{name}={default!r}")]
