"""The generated texts of the zoo in Chinese: one catalog for all pages, so that a text is translated once.

Every element of `zoo_pages.markup` is a message: its text, with code of docstrings in backticks, and with a
number in braces for whatever stands between: names, links and numbers. The element is not a message if
nothing is left to say, or if it is marked ``as_is``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from languages import DOCS, PARTS
from sphinx.builders.gettext import MsgOrigin
from sphinx.locale import init as catalog_of
from sphinx.transforms import SphinxTransform

from zoo_pages.markup import code, element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Attributes that hold text for people.
SAID = ("aria-label", "data-label", "data-none", "data-some")

_WORDS = re.compile(r"[A-Za-z]{2}")
_KEPT = re.compile(r"`([^`]+)`|\{(\d+)\}")


def message(node: element) -> tuple[str, list[nodes.Node]]:
    """Return the message of an element, and the nodes for which its numbers stand."""
    text, kept = "", []
    for child in node.children:
        if isinstance(child, nodes.Text):
            text += child
        elif isinstance(child, nodes.literal) and child.get("in_prose"):
            text += f"`{child.astext()}`"
        else:
            kept.append(child)
            text += f"{{{len(kept)}}}"
    return text, kept


def messages(node: element) -> Iterator[str]:
    """Yield the messages of an element: its text, then its attributes."""
    if not node.get("as_is"):
        found = (message(node)[0].strip(), *(node["named"].get(name, "") for name in SAID))
        yield from (text for text in found if _WORDS.search(_KEPT.sub("", text)))


def translate(node: element, chinese: Callable[[str], str]) -> None:
    """Replace the texts of an element by their translation, where there is one."""
    node["named"] |= {name: chinese(node["named"][name]) for name in SAID if node["named"].get(name)}
    text, kept = message(node)
    said = chinese(text.strip()) if text.strip() else ""
    if said != text.strip():
        node.children = []
        pieces = iter([*_KEPT.split(said), None, None])
        for plain, literal, number in zip(pieces, pieces, pieces, strict=True):
            node += [nodes.Text(plain)] if plain else []
            node += [code(literal)] if literal else []
            node += [kept[int(number) - 1]] if number else []


class Translation(SphinxTransform):
    """Collects the messages of a page, or translates them."""

    default_priority = 20  # as the translation of other texts

    def apply(self, **_: Any) -> None:
        """Walk through the elements of the page."""
        found = list(self.document.findall(element))
        if self.app.builder.name == "gettext":
            catalogs: Any = getattr(self.app.builder, "catalogs", None)
            for text in (text for node in found for text in messages(node)):
                catalogs[PARTS].add(text, MsgOrigin("", 0))
        elif self.config.language == "zh_CN":
            catalog, _found = catalog_of([DOCS / "locale"], self.config.language, PARTS)
            for node in found:
                translate(node, catalog.gettext)
        for node in (node for node in found if node.get("sentence") and node.children):
            _finish(node, "。" if self.config.language == "zh_CN" else ".")


def _finish(node: element, stop: str) -> None:
    """Make a sentence of a summary: with a capital letter, and a full stop."""
    first = node.children[0]
    if isinstance(first, nodes.Text):
        node[0] = nodes.Text(f"{first[:1].upper()}{first[1:]}")
    node += nodes.Text(stop)
