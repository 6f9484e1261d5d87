"""Tables without filters: the number of parts of each kind, the plug-ins, and the capabilities of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sphinx.addnodes import pending_xref

from segzoo import zoo
from segzoo.registry import plural
from segzoo.specs import CAPABILITIES
from zoo_pages.facts import guarded
from zoo_pages.markup import as_is, code, html, original, prose
from zoo_pages.table import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from docutils import nodes


def kinds(docname: str) -> list[nodes.Node]:
    """Return the number of parts of each kind, with a link to their page."""
    folder = docname.rpartition("/")[0]
    shown = []
    for kind in zoo.KINDS:
        target = f"{folder}/{kind}" if folder else kind
        found = pending_xref("", refdomain="std", reftype="doc", reftarget=f"/{target}", refdoc=docname)
        found["refexplicit"], found["refwarn"] = True, True
        found += html("span", kind)
        shown.append(html("li", html("strong", str(len(zoo.registry(kind)))), " ", found))
    return [html("ul", *shown, classes=["zoo-kinds"])]


def plugins(docname: str) -> list[nodes.Node]:
    """Return the status of each plug-in; those that did not load come last."""
    del docname
    rows = []
    for record in sorted(zoo.plugins, key=lambda one: one.status != "ok"):
        brings = [_brings(kind, len(names)) for kind, names in record.provides.items()] or ["nothing"]
        said = html("span", *[piece for one in brings for piece in (", ", one)][1:])
        said = said if record.status == "ok" else original(record.error)
        rows.append((code(record.distribution), as_is(record.version), record.status, said))
    failed = sum(record.status != "ok" for record in zoo.plugins)
    columns = ("Distribution", "Version", "Status", "Provides")
    return [plain("Plug-ins of this zoo", columns, rows, failed=failed)]


#: Encoders whose networks are shown in addition to the models: one for each kind of architecture.
SHOWN = ("resnet50", "convnext_tiny", "swin_tiny_patch4_window7_224", "vit_base_patch16_224", "mit_b0")


def capabilities(docname: str) -> list[nodes.Node]:
    """Return the capabilities of each model, and the reasons and alternatives for those that it lacks."""
    del docname
    found: dict[str, dict[str, str]] = {}
    for name, entry in sorted(zoo.registry("models").items()):
        limits, trouble = guarded(lambda one=entry: zoo.limits_of(one), {})
        if not trouble:  # the table of models shows the errors of the others
            found[name] = limits
    for decoder in zoo.registry("decoders").names():
        for encoder in SHOWN:
            pair, trouble = guarded(lambda d=decoder, e=encoder: zoo.find_model(f"{d}/{e}"), None)
            if not trouble:
                found[f"{decoder}/{encoder}"] = zoo.limits_of(pair)
    rows = [
        (code(name), *("no" if one in limits else "yes" for one in CAPABILITIES))
        for name, limits in found.items()
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, limits in found.items():
        for one, why in limits.items():
            reasons.setdefault((one, why), []).append(name)
    shown: list[nodes.Node] = [
        plain("What models can do", ("Model", *(one.replace("-", " ") for one in CAPABILITIES)), rows)
    ]
    if reasons:
        told = []
        for (one, why), names in reasons.items():
            listed = html("span", *[piece for name in names for piece in (", ", code(name))][1:])
            said = html("strong", CAPABILITIES[one]), ": ", html("span", *prose(why))
            told.append(html("li", *said, " (", listed, ")"))
        shown += [html("p", "Reasons for each no, and alternatives:"), html("ul", *told)]
    return shown


def abilities(limits: Mapping[str, str]) -> nodes.Node:
    """Return the capabilities of one model: its row of the table above, with the reason for each no."""
    rows = [
        (said, "no" if one in limits else "yes", html("span", *prose(limits.get(one, ""))))
        for one, said in CAPABILITIES.items()
    ]
    columns = ("Capability", "Supported", "Why not, and what to use instead")[: 3 if limits else 2]
    return plain("Capabilities", columns, [row[: len(columns)] for row in rows])


def _brings(kind: str, count: int) -> nodes.Node:
    return html("span", as_is(str(count)), f" {plural(kind) if count != 1 else kind}")


#: The other tables of the directive, by name.
TABLES: dict[str, Callable[[str], list[nodes.Node]]] = {
    "kinds": kinds,
    "plugins": plugins,
    "capabilities": capabilities,
}
