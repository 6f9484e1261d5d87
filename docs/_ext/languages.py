"""The site in Chinese: `sphinx-build -D language=zh_CN` builds the translated pages, for `zh/` in the site.

A page is translated if `docs/locale/zh_CN/LC_MESSAGES/PAGE.po` exists. So are the generated pages below it,
whose texts are all in `zoo_parts.po`. Links to other pages lead to the English site. Every page links to
itself in the other language.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.search.en import SearchEnglish
from sphinx.transforms.post_transforms import SphinxPostTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

DOCS = Path(__file__).resolve().parents[1]
MESSAGES = DOCS / "locale/zh_CN/LC_MESSAGES"
#: Texts that only the Chinese pages have, such as mirrors.
ONLY = DOCS / "locale/zh_CN/only"
#: Messages of the theme and of Sphinx, which belong to no page.
THEME = "sphinx"
#: Messages of the zoo's generated texts, which several pages share.
PARTS = "zoo_parts"


def translated() -> set[str]:
    """Return the pages that exist in Chinese."""
    files = (file.relative_to(MESSAGES).with_suffix("") for file in MESSAGES.rglob("*.po"))
    return {file.as_posix() for file in files} - {THEME, PARTS}


def below(pages: set[str]) -> set[str]:
    """Return the generated pages below pages of the zoo, such as ``zoo/models/unet``."""
    files = (file for page in pages if page.startswith("zoo/") for file in (DOCS / page).glob("*.md"))
    return {file.relative_to(DOCS).with_suffix("").as_posix() for file in files}


def untranslated(pages: set[str]) -> list[str]:
    """Return the sources of all other pages, relative to the documentation."""
    sources = [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    names = (source.relative_to(DOCS) for source in sources)
    return sorted(name.as_posix() for name in names if name.with_suffix("").as_posix() not in pages)


def _choose_pages(app: Sphinx, config: Config) -> None:
    """Leave out the pages that are not translated, if the build is Chinese or `only_pages` names pages."""
    chosen = set(config.only_pages) or (translated() if config.language == "zh_CN" else set())
    if chosen:
        chosen |= below(chosen)
        config.exclude_patterns += untranslated({*chosen, config.root_doc})  # Sphinx needs the first page
        config.suppress_warnings += ["toc.excluded", "toc.not_readable"]


def _add_text(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the text that only the Chinese page has, after the line that its first line names."""
    file = ONLY / f"{page}.md"
    if app.config.language == "zh_CN" and file.is_file():
        place, text = file.read_text(encoding="utf-8").split("\n", 1)
        before, line, after = f"\n{source[0]}".partition(f"\n{place.removeprefix('% after: ')}\n")
        if not line:
            raise ExtensionError(f"{page} has no line {place.removeprefix('% after: ')!r}: see {file}")
        source[0] = f"{before}{line}{text}{after}".removeprefix("\n")


class EnglishLinks(SphinxPostTransform):
    """Points links to pages that are not translated at the English site."""

    default_priority = 5  # before MyST resolves links

    def run(self, **_: Any) -> None:
        """Replace those links."""
        if self.config.language != "zh_CN":
            return
        for node in list(self.document.findall(addnodes.pending_xref)):
            kind = node.get("refdomain"), node.get("reftype")
            if node.get("refdomain") != "doc" and kind != ("std", "doc"):
                continue
            page = _target(node, self.env.docname)
            if page in self.env.all_docs:
                continue
            address = f"{_up(self.env.docname)}../{page}.html"
            if node.get("reftargetid"):
                address += f"#{nodes.make_id(node['reftargetid'])}"
            link = nodes.reference("", "", internal=False, refuri=address, classes=["in-english"])
            link += node.children
            if link.astext() == node["reftarget"]:  # a card has no text for screen readers but this one
                link.children = [nodes.inline("", _title(page))]
            node.replace_self(link)


def _target(node: addnodes.pending_xref, page: str) -> str:
    target = node["reftarget"]
    if node.get("refdomain") == "doc":
        return target
    parts = [] if target.startswith("/") else page.split("/")[:-1]
    for part in target.strip("/").split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _title(page: str) -> str:
    lines = (DOCS / f"{page}.md").read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), page)


def _up(page: str) -> str:
    return "../" * page.count("/")


def _on_page(app: Sphinx, page: str, _: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Link the page to itself in the other language."""
    pages = translated()
    if doctree is None or page not in pages | below(pages):
        return
    chinese = app.config.language == "zh_CN"
    tag, name, folder = ("en", "English", "../") if chinese else ("zh-CN", "中文", "zh/")
    address = f"{_up(page)}{folder}{page}.html"
    context["other_language"] = {"address": address, "tag": tag, "name": name}
    link = f'<link rel="alternate" hreflang="{tag}" href="{address}">'
    context["metatags"] = f"{context.get('metatags', '')}\n{link}"


class ChineseSearch(SearchEnglish):
    """Finds Chinese text by pairs of characters, and English words as usual; needs no dictionary."""

    lang = "zh"
    language_name = "English"  # the search in the browser uses the stemmer of this name
    js_splitter_code = r"""
var splitQuery = (query) =>
  (query.match(/[\u4e00-\u9fff]+|(?:(?![\u4e00-\u9fff])[\p{L}\p{N}_])+/gu) || [])
    .flatMap((run) => /[\u4e00-\u9fff]/.test(run) && run.length > 2
      ? [...run].slice(1).map((character, at) => run[at] + character)
      : [run]);
"""
    _runs = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")

    def split(self, input: str) -> list[str]:  # noqa: A002 - Sphinx's name
        """Return pairs of Chinese characters, and other words."""
        found: list[str] = []
        for run in self._runs.findall(input):
            if "\u4e00" <= run[0] <= "\u9fff" and len(run) > 2:
                found += [run[at : at + 2] for at in range(len(run) - 1)]
            else:
                found.append(run)
        return found


def setup(app: Sphinx) -> dict[str, bool | str]:
    """Called by Sphinx."""
    app.add_config_value("only_pages", [], "env", types=frozenset({list}))
    app.connect("config-inited", _choose_pages, priority=400)
    app.connect("source-read", _add_text)
    app.add_post_transform(EnglishLinks)
    app.connect("html-page-context", _on_page)
    app.add_search_language(ChineseSearch)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
