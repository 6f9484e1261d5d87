"""Drawings of architectures, made from the networks when the site is built: see `segzoo.draw`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

from zoo_pages import facts
from zoo_pages.markup import html

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    #: What has a drawing.
    Drawn = facts.Model | facts.Pairing | facts.Weights

#: Folder of the drawings in the built site.
FOLDER = "_static/drawings"


def drawing_of(one: Drawn, docname: str) -> list[nodes.Node]:
    """Return the drawing of a network; nothing if there is none.

    Args:
        one: model, pairing or weights.
        docname: page that shows it.
    """
    if one.drawing is None:
        return []
    address = f"{'../' * docname.count('/')}{FOLDER}/{_file(one)}"
    picture = html("img", src=address, alt=one.drawing.description, loading="lazy", classes=["zoo-drawing"])
    return [html("a", picture, href=address)]


def remember(env: BuildEnvironment, shown: Iterable[Drawn]) -> None:
    """Keep drawings with the environment, which outlives a build."""
    made: Any = env
    found = {_file(one): one.drawing.svg for one in shown if one.drawing is not None}
    made.zoo_drawings = {**getattr(env, "zoo_drawings", {}), **found}


def merge(app: Sphinx, env: BuildEnvironment, docnames: Any, other: BuildEnvironment) -> None:
    """Take over what a process that read other pages has drawn."""
    del app, docnames
    made: Any = env
    made.zoo_drawings = {**getattr(env, "zoo_drawings", {}), **getattr(other, "zoo_drawings", {})}


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the drawings into the built site."""
    found: dict[str, str] = getattr(app.env, "zoo_drawings", {})
    if error is not None or app.builder.format != "html" or not found:
        return
    folder = Path(app.outdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in found.items():
        (folder / name).write_text(svg, encoding="utf-8")


def _file(one: Drawn) -> str:
    kind = "weights-" if isinstance(one, facts.Weights) else ""
    return f"{kind}{nodes.make_id(one.name)}.svg"
