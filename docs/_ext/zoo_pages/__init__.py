"""The pages of the zoo, generated from the registry when the site is built.

There are two directives: ``{zoo-table} models`` shows the registry of a kind, and ``{zoo-page} models unet``
shows one model or one of the weights; see `zoo_pages.pages`. Pages are built again if plug-ins, their specs
or the code of parts change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


class ZooTable(SphinxDirective):
    """The filterable table of a kind; with ``plugins``, a plain table of plug-ins."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return its nodes."""
        from zoo_pages import drawings, facts, overview, pages, tables
        from zoo_pages.table import drawn

        kind, page = self.arguments[0], self.env.docname
        _remember(self)
        if kind in overview.TABLES:
            return overview.TABLES[kind](page)
        if kind not in tables.TABLES:
            raise self.error(
                f"no kind is named {kind!r}: use one of {', '.join((*tables.TABLES, *overview.TABLES))}"
            )
        table = tables.TABLES[kind](page)
        if kind == "models":
            drawings.remember(self.env, facts.pairings())
        linked = [row.name for row in table.rows if row.linked]
        if kind in pages.KINDS:
            return [*drawn(table, facts.failed_plugins()), *pages.contents(self.env, kind, linked)]
        for name in linked:
            _target(self, kind, name)
        return drawn(table, facts.failed_plugins())


class ZooPage(SphinxDirective):
    """The page of one model, or of one of the weights."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Return its content."""
        from zoo_pages import cards, drawings, facts

        kind, name = self.arguments
        _remember(self)
        found = {one.name: one for one in (facts.models() if kind == "models" else facts.weights())}
        if name not in found:
            raise self.error(f"no {kind} are named {name!r}")
        drawings.remember(self.env, [found[name]])
        return cards.page(found[name], self.env.docname)


def _target(directive: SphinxDirective, kind: str, name: str) -> None:
    from zoo_pages.markup import anchor, label

    domain = directive.env.domains["std"]
    domain.note_hyperlink_target(  # pyright: ignore[reportAttributeAccessIssue] - it is the standard domain
        label(kind, name), directive.env.docname, anchor(kind, name), name
    )


def _remember(directive: SphinxDirective) -> None:
    """Mark the page as one that shows the zoo, so that it is built again if the zoo changes."""
    directive.env.metadata[directive.env.docname]["zoo"] = "shown"


def _outdated(app: Sphinx, env: BuildEnvironment, *changed: Any) -> Iterable[str]:
    """Return the pages that show an outdated zoo."""
    del app, changed
    from zoo_pages import facts
    from zoo_pages.digest import digest

    facts.forget()
    now, before = digest(), getattr(env, "zoo_digest", "")
    env.zoo_digest = now  # pyright: ignore[reportAttributeAccessIssue] - kept with the environment
    if now == before:
        return []
    return [name for name, said in env.metadata.items() if "zoo" in said]


def _add_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    del page, template
    if doctree is not None and "zoo" in (context.get("meta") or {}):
        app.add_css_file("zoo.css")
        app.add_js_file("zoo.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and events."""
    from zoo_pages import drawings, markup, pages
    from zoo_pages.translation import Translation

    markup.add_to(app)
    app.add_transform(Translation)
    app.add_directive("zoo-table", ZooTable)
    app.add_directive("zoo-page", ZooPage)
    app.connect("config-inited", pages.write, priority=300)  # before languages chooses pages
    app.connect("html-page-context", pages.on_page, priority=400)  # before the theme draws the navigation
    app.connect("env-get-outdated", _outdated)
    app.connect("html-page-context", _add_assets)
    app.connect("env-merge-info", drawings.merge)
    app.connect("build-finished", drawings.write)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
