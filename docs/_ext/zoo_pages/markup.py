"""HTML elements as nodes of a document, so that links in them are checked and pictures are copied.

Sphinx's own nodes lack what a page that is filtered needs: attributes for the program, labels for ears.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.addnodes import pending_xref

from zoo_pages import pages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx

#: Elements that have no end.
_EMPTY = frozenset({"input", "br", "img"})

#: What `html` takes in addition to the attributes of elements.
_OWN: dict[str, Any] = {"ids": [], "as_is": False, "sentence": False}


class element(nodes.General, nodes.TextElement):  # noqa: N801 - docutils' way to name nodes
    """An element of HTML; in other formats, what it holds.

    It is one of text, since Sphinx puts links nowhere else.
    """


def html(tag: str, *children: nodes.Node | str, classes: Iterable[str] = (), **attributes: Any) -> element:
    """Return an element.

    Args:
        tag: name of the element.
        children: nodes or texts.
        classes: CSS classes of the element.
        attributes: ``data_sort`` means ``data-sort``, ``for_`` means ``for``; ``ids`` is a list.
            Attributes with the value ``None`` or ``False`` are left out. ``as_is`` marks names and
            numbers, which need no translation; ``sentence`` text that becomes a sentence.
    """
    ids, as_is, sentence = (attributes.pop(name, default) for name, default in _OWN.items())
    named = {
        name.rstrip("_").replace("_", "-"): "" if value is True else str(value)
        for name, value in attributes.items()
        if value is not None and value is not False
    }
    made = element("", "", tag=tag, named=named, classes=list(classes), ids=list(ids))
    made["support_smartquotes"] = False  # texts of the registry are shown unchanged
    made["translatable"] = False  # by Sphinx; see `zoo_pages.translation`
    made["as_is"], made["sentence"] = as_is, sentence
    made += [nodes.Text(child) if isinstance(child, str) else child for child in children]
    return made


def as_is(text: str) -> element:
    """Return a name or a number, which is the same in every language."""
    return html("span", text, as_is=True)


def original(text: str) -> element:
    """Return text of a plug-in that stays in English, such as the terms of a licence."""
    return html("span", text, as_is=True, lang="en")


def code(text: str) -> nodes.literal:
    """Return a piece of code."""
    return nodes.literal(text, text)


def prose(text: str) -> list[nodes.Node]:
    """Return the text of a docstring, in which code stands in two backticks or in one."""
    pieces = re.split(r"``(.+?)``|`([^`]+)`", text)
    found: list[nodes.Node] = []
    for plain, two, one in zip(pieces[::3], [*pieces[1::3], None], [*pieces[2::3], None], strict=True):
        found += [nodes.Text(plain)] if plain else []
        found += [nodes.literal("", two or one or "", in_prose=True)] if two or one else []
    return found


def link(address: str, text: str | nodes.Node = "") -> nodes.Node:
    """Return a link to a site; text alone where it is none that a browser should follow."""
    if not re.match(r"https?://", address):
        return text if isinstance(text, nodes.Node) else nodes.Text(text or address)
    said = text if isinstance(text, nodes.Node) else as_is(text or address)
    return nodes.reference("", "", said, refuri=address, internal=False)


def paper(said: str) -> nodes.Node:
    """Return a link to what ``arXiv:1505.04597`` or ``doi:10.1000/1`` names; else the text."""
    for prefix, site in (("arxiv:", "https://arxiv.org/abs/"), ("doi:", "https://doi.org/")):
        if re.fullmatch(rf"{prefix}\S+", said, re.IGNORECASE):
            return link(site + said[len(prefix) :], said)
    return link(said)


def refer(kind: str, name: str, docname: str) -> nodes.Node:
    """Return a link to the page of a part, or to its row where it has no page.

    Args:
        kind: kind of the part, in the plural.
        name: name of the part, as in its row.
        docname: name of the page that contains the link.
    """
    paged = kind in pages.KINDS
    target = f"/{pages.page_of(kind, name)}" if paged else label(kind, name)
    found = pending_xref(
        "", refdomain="std", reftype="doc" if paged else "ref", reftarget=target, refdoc=docname
    )
    found["refexplicit"], found["refwarn"] = True, True
    found += code(name)
    return found


def label(kind: str, name: str) -> str:
    """Return the label of a part, for links."""
    return f"zoo-{kind}-{name.lower()}"


def anchor(kind: str, name: str) -> str:
    """Return the id of a part's row; that of weights is their name."""
    return nodes.make_id(name if kind == "weights" else f"{kind} {name}")


def details(summary: str | nodes.Node, *content: nodes.Node) -> element:
    """Return a block that the reader can open."""
    return html("details", html("summary", summary), *content, classes=["zoo-details"])


def definitions(pairs: Iterable[tuple[list[nodes.Node], list[nodes.Node]]]) -> element:
    """Return a list of terms and definitions."""
    found = html("dl", classes=["zoo-terms"])
    for term, said in pairs:
        found += [html("dt", *term), html("dd", *said)]
    return found


def _open(self: Any, node: element) -> None:
    self.body.append(self.starttag(node, node["tag"], "", **node["named"]))


def _close(self: Any, node: element) -> None:
    if node["tag"] not in _EMPTY:
        self.body.append(f"</{node['tag']}>")


def _pass(self: Any, node: element) -> None:
    del self, node


def add_to(app: Sphinx) -> None:
    """Register how elements are written."""
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (_pass, _pass))
    app.add_node(element, html=(_open, _close), **others)
