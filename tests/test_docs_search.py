"""The site's search shows the right page first for the words of the field; every page describes itself."""

from __future__ import annotations

import re
import sys
import tomllib
from html import unescape
from typing import TYPE_CHECKING

import pytest
from browser import DESKTOP, PATIENCE, opened, served
from conftest import ROOT
from docutils import nodes
from docutils.utils import new_document
from first_pages import FENCE

sys.path.insert(0, str(ROOT / "docs/_ext"))
import page_head
import search_words

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
#: What people type, and the page that answers it.
QUERIES = {
    "yolo": "guides/annotation-tools",
    "tensorrt": "guides/export",
    "tta": "prediction/index",
    "ema": "training/recipes",
    "early stopping": "training/recipes",
    "learning rate": "guides/tuning",
    "dicom": "guides/scientific-files",
    "onnx": "guides/export",
    "class weights": "training/recipes",
    "iou": "guides/metrics",
    "dice": "guides/metrics",
    "mixed precision": "training/distributed",
    "multispectral": "guides/bands",
    "geotiff": "guides/scientific-files",
    "coco": "guides/annotation-tools",
    "labelme": "guides/annotation-tools",
    "cvat": "guides/annotation-tools",
    "resume": "training/index",
    "docker": "start/container",
    "kubernetes": "start/container",
    "video": "prediction/index",
    "webcam": "prediction/index",
    "threshold": "prediction/index",
    "instance segmentation": "guides/objects",
    "overlapping classes": "guides/overlapping-classes",
    "class imbalance": "training/recipes",
    "fine-tune": "guides/checkpoints",
    "backbone": "zoo/encoders",
    "colab": "start/notebooks",
    "uncertainty": "prediction/index",
}
#: Names and subjects of models and weights, and their pages.
PARTS = {
    "unet-nuclei": "zoo/weights/unet-nuclei",
    "unet-carvana": "zoo/weights/unet-carvana",
    "segformer-b0": "zoo/models/segformer-b0",
    "hrnet-w48": "zoo/models/hrnet-w48",
    "retinal vessels": "zoo/weights/unet-vessels",
    "nanoparticles": "zoo/weights/unet-nanoparticles",
    "building facades": "zoo/weights/unet-facades",
}


def test_every_query_is_among_the_words_of_its_page() -> None:
    assert len(QUERIES) == 30
    assert {query: search_words.words().get(query, ("", ""))[0] for query in QUERIES} == QUERIES


def test_every_word_leads_to_one_place_that_exists() -> None:
    said = tomllib.loads(search_words.FILE.read_text(encoding="utf-8"))
    every = [word for words in said.values() for word in words]
    assert [word for word in every if every.count(word) > 1 or word != word.lower()] == []
    for place in said:
        page, _, section = place.partition("#")
        files = [DOCS / f"{page}{suffix}" for suffix in (".md", ".ipynb")]
        (file,) = (one for one in files if one.is_file())
        if section:
            titles = re.findall(r"^#+ (.+)$", FENCE.sub("", file.read_text(encoding="utf-8")), re.M)
            assert section in map(nodes.make_id, titles), f"docs/search-words.toml: no {place}"


@pytest.mark.slow
def test_the_search_shows_the_right_page_first(docs_site: Path) -> None:
    found = {}
    with served(docs_site) as address, opened() as browser:
        page = browser.new_context(viewport=DESKTOP).new_page()
        page.set_default_timeout(PATIENCE)
        for query in QUERIES | PARTS:
            page.goto(f"{address}/search.html?q={query}")
            first = page.locator("#search-results li a").first
            first.wait_for()
            target = str(first.get_attribute("href")).partition("#")[0].partition("?")[0]
            found[query] = target.removesuffix(".html")
    assert found == QUERIES | PARTS


def document(*paragraphs: str) -> nodes.document:
    """Return a page of one section."""
    page = new_document("page")
    section = nodes.section()
    page += section
    section += [nodes.paragraph("", "", nodes.Text(text)) for text in paragraphs]
    return page


def test_a_page_is_described_by_its_first_paragraph() -> None:
    assert page_head.described(document("Short\nand plain.", "Another.")) == "Short and plain."
    assert page_head.described(None) == page_head.SITE
    assert page_head.described(document()) == page_head.SITE


def test_a_long_paragraph_is_cut_after_a_sentence_or_a_word() -> None:
    assert page_head.shortened("One sentence. " + "word " * 40) == "One sentence."
    cut = page_head.shortened("word " * 60)
    assert len(cut) <= page_head.LONGEST + 2
    assert cut.endswith("word …")


def test_tags_are_escaped_and_hold_the_address_only_if_it_is_known() -> None:
    found = page_head.tags('a "b" <c>', "d & e", "", "_images/p.jpg")
    assert 'property="og:title" content="a &quot;b&quot; &lt;c&gt;"' in found
    assert 'name="description" content="d &amp; e"' in found
    assert "og:url" not in found
    assert 'property="og:url" content="https://x/a.html"' in page_head.tags("a", "b", "https://x/a.html", "p")


@pytest.mark.slow
def test_every_page_has_one_description_and_open_graph_tags(docs_site: Path) -> None:
    pages = [file for file in docs_site.rglob("*.html") if "_static" not in file.parts]
    for file in pages:
        head = file.read_text(encoding="utf-8").partition("</head>")[0]
        (description,) = re.findall(r'<meta name="description" content="([^"]*)">', head)
        assert 10 < len(unescape(description)) <= page_head.LONGEST + 2, file.name
        names = re.findall(r'<meta property="og:(\w+)" content="[^"]+">', head)
        assert names == ["title", "description", "type", "site_name", "image"], file.name
    home = (docs_site / "index.html").read_text(encoding="utf-8")
    assert {"semantic segmentation", "PyTorch"} <= set(
        re.findall(r"semantic segmentation|PyTorch", home.partition("</head>")[0])
    )
    assert (docs_site / page_head.PICTURE).is_file()


@pytest.mark.slow
def test_the_navigation_names_every_page_once(docs_site: Path) -> None:
    home = (docs_site / "index.html").read_text(encoding="utf-8")
    tree = home.partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    links = re.findall(r'class="[^"]*reference internal" href="([^"]+)"', tree)
    captions = re.findall(r'class="caption-text">([^<]+)<', tree)
    assert len(links) > 20
    assert sorted(set(links)) == sorted(links)
    assert captions == []


@pytest.mark.slow
def test_no_table_is_cut_on_a_small_desk(docs_site: Path) -> None:
    cut = {}
    with served(docs_site) as address, opened() as browser:
        page = browser.new_context(viewport=DESKTOP).new_page()
        page.set_default_timeout(PATIENCE)
        for file in sorted(docs_site.rglob("*.html")):
            name = file.relative_to(docs_site).as_posix()
            if name.startswith("_") or "<table" not in file.read_text(encoding="utf-8"):
                continue
            page.goto(f"{address}/{name}", wait_until="domcontentloaded")
            wide = page.eval_on_selector_all(
                ".table-wrapper, .zoo-scroll",
                "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length",
            )
            if wide:
                cut[name] = wide
    assert cut == {}
