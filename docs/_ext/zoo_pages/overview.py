"""The tables of the zoo's first page: how much there is of each kind, and who brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.addnodes import pending_xref

from segzoo import zoo
from segzoo.registry import plural
from zoo_pages.markup import code, html
from zoo_pages.table import plain

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {"datasets": "data sets"}


def kinds(docname: str) -> list[nodes.Node]:
    """Return how many there are of each kind, with a link to the page that shows them."""
    folder = docname.rpartition("/")[0]
    shown = []
    for kind in zoo.KINDS:
        target = f"{folder}/{kind}" if folder else kind
        found = pending_xref("", refdomain="std", reftype="doc", reftarget=f"/{target}", refdoc=docname)
        found["refexplicit"], found["refwarn"] = True, True
        found += nodes.inline("", _WORDS.get(kind, kind))
        shown.append(html("li", html("strong", str(len(zoo.registry(kind)))), " ", found))
    return [html("ul", *shown, classes=["zoo-kinds"])]


def plugins(docname: str) -> list[nodes.Node]:
    """Return what became of each plug-in; those that did not load come last."""
    del docname
    rows = []
    for record in sorted(zoo.plugins, key=lambda one: one.status != "ok"):
        said = ", ".join(_brings(kind, len(names)) for kind, names in record.provides.items())
        said = said or "nothing" if record.status == "ok" else record.error
        rows.append((code(record.distribution), record.version, record.status, said))
    failed = sum(record.status != "ok" for record in zoo.plugins)
    columns = ("Distribution", "Version", "Status", "Brings")
    return [plain("Plug-ins of this zoo", columns, rows, failed=failed)]


def _brings(kind: str, count: int) -> str:
    told = plural(kind) if count != 1 else kind
    return f"{count} {told.replace('dataset', 'data set')}"


#: What the directive shows besides the kinds.
TABLES: dict[str, Callable[[str], list[nodes.Node]]] = {"kinds": kinds, "plugins": plugins}
