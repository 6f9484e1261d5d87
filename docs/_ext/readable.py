"""Repairs HTML of Sphinx that screen readers cannot interpret; axe-core reports both problems in the tests.

An empty corner of a table is not a column heading, and the parameters of a long signature are not the
definitions of terms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

EMPTY_HEAD = re.compile(r'<th class="head[^"]*">\s*(?:<p>\s*</p>)?\s*</th>')
PARAMETERS = re.compile(r'<dl>\s*(<dd><em class="sig-param">.*?)</dl>', re.DOTALL)


def mend(body: str) -> str:
    """Return the HTML of a page with both problems repaired."""
    body = EMPTY_HEAD.sub('<td class="head"></td>', body)
    return PARAMETERS.sub(lambda found: f'<span class="sig-lines">{_lines(found.group(1))}</span>', body)


def _lines(items: str) -> str:
    return items.replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def _on_page(_app: Sphinx, _name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    if context.get("body"):
        context["body"] = mend(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", _on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
