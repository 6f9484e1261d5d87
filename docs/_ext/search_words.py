"""Makes the search find a page by words that the page itself does not use: docs/search-words.toml.

Every word becomes a main index entry of its page, which Sphinx's search ranks above all other results.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from typing import Any

    from sphinx.application import Sphinx

FILE = Path(__file__).resolve().parents[1] / "search-words.toml"


@cache
def words() -> dict[str, tuple[str, str]]:
    """Return page and section by word; the section is empty if the word leads to the top of the page."""
    said = tomllib.loads(FILE.read_text(encoding="utf-8"))
    found: dict[str, tuple[str, str]] = {}
    for place, here in said.items():
        page, _, section = place.partition("#")
        found |= dict.fromkeys(here, (page, section))
    return found


class SearchWords(SphinxTransform):
    """Adds the index entries of a page."""

    default_priority = 840  # the index is collected at 850

    def apply(self, **_: Any) -> None:
        """Add them."""
        sections = {name for one in self.document.findall(nodes.section) for name in one["ids"]}
        entries = [
            ("single", word, section if section in sections else "", "main", None)
            for word, (page, section) in words().items()
            if page == self.env.docname
        ]
        if entries:
            self.document.append(addnodes.index(entries=entries))


def setup(app: Sphinx) -> dict[str, bool | str]:
    """Called by Sphinx."""
    # A change of the file rebuilds all pages.
    app.add_config_value("search_words", FILE.read_text(encoding="utf-8"), "env", types=frozenset({str}))
    app.add_transform(SearchWords)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
