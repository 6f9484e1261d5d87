"""The pages of the zoo, generated from the registry when the site is built.

There are two directives: ``{zoo-table} models`` shows the registry of a kind, and ``{zoo-weights}`` has a
section for each of the weights. Pages are built again if plug-ins, their specs or the code of parts change.
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
        from zoo_pages import drawings, facts, overview, tables
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
            drawings.remember(self.env)
        for row in table.rows:
            if row.linked and not row.card:
                _target(self, kind, row.name)
        return drawn(table, facts.failed_plugins())


class ZooWeights(SphinxDirective):
    """A section for each of the weights."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        from zoo_pages import facts
        from zoo_pages.cards import card

        _remember(self)
        for one in facts.weights():
            _target(self, "weights", one.name)
        return [card(one, self.env.docname) for one in facts.weights()]


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
    from zoo_pages import drawings, markup

    markup.add_to(app)
    app.add_directive("zoo-table", ZooTable)
    app.add_directive("zoo-weights", ZooWeights)
    app.connect("env-get-outdated", _outdated)
    app.connect("html-page-context", _add_assets)
    app.connect("env-merge-info", drawings.merge)
    app.connect("build-finished", drawings.write)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
