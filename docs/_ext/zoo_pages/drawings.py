"""Drawings of architectures, made from the networks when the site is built: see `segzoo.draw`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

from zoo_pages import facts
from zoo_pages.markup import details, html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from segzoo import Drawing

#: Folder of the drawings in the built site.
FOLDER = "_static/drawings"


def drawing_of(name: str, drawing: Drawing | None, docname: str) -> list[nodes.Node]:
    """Return what a reader opens to see a drawing; nothing if there is none.

    Args:
        name: name of the model.
        drawing: its drawing.
        docname: page that shows it.
    """
    if drawing is None:
        return []
    address = f"{'../' * docname.count('/')}{FOLDER}/{_file(name)}"
    picture = html("img", src=address, alt=drawing.description, loading="lazy", classes=["zoo-drawing"])
    return [details("Architecture", html("a", picture, href=address))]


def remember(env: BuildEnvironment) -> None:
    """Keep the drawings of all models with the environment, which outlives a build."""
    made: Any = env
    made.zoo_drawings = {_file(name): drawing.svg for name, drawing in _drawings()}


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


def _drawings() -> Iterator[tuple[str, Drawing]]:
    for one in (*facts.models(), *facts.pairings()):
        if one.drawing is not None:
            yield one.name, one.drawing


def _file(name: str) -> str:
    return f"{nodes.make_id(name)}.svg"
