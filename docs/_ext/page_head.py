"""Adds a description and Open Graph tags to the head of every page, for search engines and link previews."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: The description of pages without a text of their own, such as the search.
SITE = "segzoo: semantic segmentation in PyTorch. Predict masks, train on your own images, export and serve."
#: The picture that link previews show.
PICTURE = "_images/domains.jpg"
LONGEST = 160


def described(doctree: nodes.document | None) -> str:
    """Return the first paragraph of a page, cut to what search engines show."""
    paragraphs = doctree.findall(nodes.paragraph) if doctree is not None else ()
    for one in paragraphs:
        if isinstance(one.parent, nodes.section):
            return shortened(" ".join(one.astext().split()))
    return SITE


def shortened(text: str) -> str:
    """Return whole sentences of at most `LONGEST` characters, or else whole words and an ellipsis."""
    if len(text) <= LONGEST:
        return text
    sentence = text[: text.rfind(". ", 0, LONGEST) + 1]
    return sentence or text[: text.rfind(" ", 0, LONGEST)].rstrip(",;:") + " …"


def tags(title: str, description: str, address: str, picture: str) -> str:
    """Return the tags of a page in HTML.

    Args:
        title: title of the page, as plain text.
        description: one or two sentences about the page.
        address: full address of the page; empty if the site's address is not known.
        picture: address of the picture.
    """
    graph = {
        "og:title": title,
        "og:description": description,
        "og:type": "website",
        "og:site_name": "segzoo",
        "og:image": picture,
    }
    if address:
        graph["og:url"] = address
    lines = [f'<meta property="{name}" content="{escape(value)}">' for name, value in graph.items()]
    return "\n".join([f'<meta name="description" content="{escape(description)}">', *lines])


def _on_page(app: Sphinx, page: str, _: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    title = unescape(re.sub(r"<[^>]+>", "", context.get("title", "")))
    name = f"{title} - segzoo" if title and page != app.config.root_doc else "segzoo"
    base = app.config.html_baseurl
    picture = f"{base.rstrip('/')}/{PICTURE}" if base else context["pathto"](PICTURE, resource=True)
    found = tags(name, described(doctree), context.get("pageurl") or "", picture)
    context["metatags"] = f"{context.get('metatags', '')}\n{found}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", _on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
