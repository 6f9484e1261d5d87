"""A page for each model and each of the weights, such as ``zoo/weights/unet-nuclei``.

Sphinx reads pages from files: before each build, a file of three lines is written for every page, and the
directive in it shows the registry. The files are not part of the repository.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes

from segzoo import zoo

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment

#: Folder of the pages of the zoo, and the kinds whose parts have pages in a folder of that name.
FOLDER = "zoo"
KINDS = ("models", "weights")

#: An entry of the navigation without entries below it.
_LEAF = re.compile(r'<li class="toctree-l3"><a class="reference internal" href="([^"]+)">[^<]*</a></li>\n?')
_EMPTY = re.compile(r"<ul>\s*</ul>\n?")


def page_of(kind: str, name: str) -> str:
    """Return the name of a part's page; a prefix of its name is joined by hyphens."""
    return f"{FOLDER}/{kind}/{name.replace(':', '--')}"


def is_page_of_a_part(page: str) -> bool:
    """Whether a page shows one model or one of the weights."""
    return any(page.startswith(f"{FOLDER}/{kind}/") for kind in KINDS)


def write(app: Sphinx, config: Config) -> None:
    """Write the files of all pages, and delete those whose parts are gone."""
    del config
    for kind in KINDS:
        if not (app.srcdir / FOLDER / f"{kind}.md").is_file():
            continue
        wanted = {
            app.srcdir / f"{page_of(kind, name)}.md": f"# {name}\n\n```{{zoo-page}} {kind} {name}\n```\n"
            for name, _ in zoo.registry(kind).items()
        }
        folder = app.srcdir / FOLDER / kind
        folder.mkdir(exist_ok=True)
        for file in folder.glob("*.md"):
            if file not in wanted:
                file.unlink()
        for file, text in wanted.items():
            # Sphinx reads a page again if its file is newer.
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                file.write_text(text, encoding="utf-8")


def contents(env: BuildEnvironment, kind: str, names: list[str]) -> list[nodes.Node]:
    """Return the hidden table of contents that joins the pages to the page of their kind."""
    found = [page for page in (page_of(kind, name) for name in names) if page in env.found_docs]
    if not found:  # the Chinese site does not have them
        return []
    tree = addnodes.toctree(
        parent=env.docname,
        entries=[(None, page) for page in found],
        includefiles=found,
        maxdepth=-1,
        caption=None,
        glob=False,
        hidden=True,
        includehidden=False,
        numbered=0,
        titlesonly=True,
    )
    return [nodes.compound("", tree, classes=["toctree-wrapper"])]


def on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Keep the navigation short; pages without a source in the repository have no link to it."""
    del app, template, doctree
    if is_page_of_a_part(page):
        context["page_source_suffix"] = ""
    if toctree := context.get("toctree"):
        context["toctree"] = lambda **options: shortened(toctree(**options), page)


def shortened(tree: str, page: str) -> str:
    """Return the navigation without the pages of parts; the page that is shown stays.

    Args:
        tree: navigation in HTML.
        page: name of the page that shows it.
    """

    def kept(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[1]))
        return "" if is_page_of_a_part(target) else found[0]

    return _EMPTY.sub("", _LEAF.sub(kept, tree))
