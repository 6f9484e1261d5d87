"""The Chinese pages say what the English ones say, and each page links to itself in the other language."""

from __future__ import annotations

import calendar
import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
from site_build import DOCS

sys.path.insert(0, str(DOCS / "_ext"))

import chinese_messages
from languages import PARTS
from zoo_pages import translation
from zoo_pages.markup import as_is, code, html, prose

from segzoo import zoo

if TYPE_CHECKING:
    from pathlib import Path

    from babel.messages.catalog import Catalog

PAGES = sorted(chinese_messages.translated())
FILES = [*PAGES, PARTS]

#: The same thing in both languages; Chinese counts in ten thousands where English counts in millions.
CODE = re.compile(r"(`+)(.+?)\1")
TARGET = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)( million| 万)?")
SCALES = {"": 1, " million": 1_000_000, " 万": 10_000}
MONTHS = {name: str(number) for number, name in enumerate(calendar.month_name) if name}


def catalog(page: str) -> Catalog:
    return chinese_messages.read(chinese_messages.MESSAGES / f"{page}.po")


def messages(page: str) -> list[tuple[str, str]]:
    """Return the English and Chinese messages of a page."""
    return [(str(one.id), str(one.string)) for one in catalog(page) if one.id]


def fixed(text: str) -> tuple[set[str], set[str], set[float]]:
    """Return what must not change in a translation: code, targets of links, and numbers."""
    code = {inside.strip() for _, inside in CODE.findall(text)}
    rest = CODE.sub("", text)
    targets = set(TARGET.findall(rest))
    words = TARGET.sub("]", rest)
    words = re.sub(rf"\b({'|'.join(MONTHS)}) (?=\d)", lambda found: f"{MONTHS[found[1]]} ", words)
    numbers = {
        round(float(number.replace(",", "")) * SCALES[scale], 6)
        for number, scale in NUMBER.findall(words)
        if number.count(".") < 2
    }
    return code, targets, numbers


@pytest.mark.medium
def test_every_message_of_a_translated_page_is_translated_and_none_is_left_over() -> None:
    said = chinese_messages.extracted(PAGES)
    wrong = {}
    for page in FILES:
        here = {english for english, chinese in messages(page) if chinese}
        there = set(said[page])
        if here != there:
            wrong[page] = {"to translate": sorted(there - here), "stale": sorted(here - there)}
    assert not wrong, "run `python docs/_ext/chinese_messages.py`, then translate what it names"


@pytest.mark.parametrize("page", FILES)
def test_a_translation_has_the_code_links_and_numbers_of_the_original(page: str) -> None:
    for english, chinese in messages(page):
        assert fixed(chinese) == fixed(english), english


@pytest.mark.parametrize("page", FILES)
def test_no_translation_is_marked_as_in_doubt(page: str) -> None:
    assert [str(one.id) for one in catalog(page) if one.fuzzy] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_and_its_translation_link_to_each_other(docs_site: Path, page: str) -> None:
    up = "../" * page.count("/")
    english = (docs_site / f"{page}.html").read_text(encoding="utf-8")
    chinese = (docs_site / f"zh/{page}.html").read_text(encoding="utf-8")
    assert re.search(r'<html[^>]* lang="en"', english)
    assert re.search(r'<html[^>]* lang="zh-CN"', chinese)
    for text, tag, address in (
        (english, "zh-CN", f"{up}zh/{page}.html"),
        (chinese, "en", f"{up}../{page}.html"),
    ):
        assert f'<link rel="alternate" hreflang="{tag}" href="{address}">' in text
        assert f'<a href="{address}" lang="{tag}" hreflang="{tag}">' in text


@pytest.mark.slow
def test_what_a_part_does_is_translated_in_tables_and_on_its_page(docs_site: Path) -> None:
    chinese = str(catalog(PARTS)[zoo.weights.get("unet-nuclei").summary].string)
    assert chinese
    for page in ("weights", "weights/unet-nuclei"):
        assert chinese in (docs_site / f"zh/zoo/{page}.html").read_text(encoding="utf-8")


def test_code_and_numbers_keep_their_place_in_a_translated_text() -> None:
    text = html("p", "From ", code("segzoo-voc"), *prose(": see `norm`"))
    english = "From {1}: see `norm`"
    assert list(translation.messages(text)) == [english]
    translation.translate(text, {english: "`norm` 见 {1}"}.__getitem__)
    assert [node.astext() for node in text.children] == ["norm", " 见 ", "segzoo-voc"]
    assert list(translation.messages(html("p", as_is("a name"), " (", code("code"), ")"))) == []


@pytest.mark.slow
def test_a_page_without_a_translation_has_no_link_to_one(docs_site: Path) -> None:
    text = (docs_site / "reference/cli.html").read_text(encoding="utf-8")
    assert "hreflang" not in text
    assert not (docs_site / "zh/reference").exists()


@pytest.mark.slow
def test_the_chinese_search_finds_pairs_of_characters_and_english_words(docs_site: Path) -> None:
    text = (docs_site / "zh/searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    terms = index["terms"].keys() | index["titleterms"].keys()
    assert {"掩码", "权重", "容器", "docker", "pip"} <= terms
    assert not [term for term in terms if re.search("[\u4e00-\u9fff]{3}", term)]
