"""The pages of the zoo say what the registry says, and nothing that a plug-in does breaks them."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import Counter
from html import unescape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from broken_zoo import ODD, broken_zoo
from browser import DESKTOP, PATIENCE, Watch, opened, served
from conftest import ROOT
from site_survey import look
from torch import nn

from segzoo import zoo
from segzoo.cli import command
from segzoo.cli.facts import config_of
from segzoo.distribution import project_of
from segzoo.specs import CAPABILITIES

sys.path.insert(0, str(ROOT / "docs/_ext"))
sys.path.insert(0, str(ROOT / "docs/images/zoo"))
import compute
from zoo_pages import facts, measuring, pages, readme, remembered, words
from zoo_pages.digest import digest
from zoo_pages.markup import anchor, link, paper, prose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Site
    from playwright.sync_api import Page

__all__ = ["broken_zoo"]


def row(site: Path, kind: str, name: str) -> str:
    """Return the text of a thing's row in a built page."""
    page = (site / f"zoo/{kind}.html").read_text(encoding="utf-8")
    (found,) = re.findall(rf'<tr[^>]* id="{anchor(kind, name)}"[^>]*>.*?</tr>', page, flags=re.DOTALL)
    return text_of(found)


def text_of(html: str) -> str:
    """Return what a reader sees of HTML."""
    return unescape(" ".join(re.sub(r"<[^>]+>", "", html).split()))


@pytest.mark.slow
def test_operations_are_those_that_one_counts_by_hand() -> None:
    measured = measuring.measure(lambda: nn.Conv2d(3, 8, 3, padding=1), (4, 6))
    assert measured.parameters == 8 * 3 * 9 + 8
    assert measured.flops == 2 * (4 * 6) * 8 * 3 * 9


@pytest.mark.slow
def test_a_network_that_reads_its_values_is_counted_too() -> None:
    class Curious(nn.Conv2d):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * (2 if float(self.weight.sum()) > 0 else 1)

    assert measuring.measure(lambda: Curious(3, 1, 1), (2, 2)).flops == 2 * 4 * 3


def test_only_addresses_of_the_web_become_links() -> None:
    assert link("https://example.org").get("refuri") == "https://example.org"
    assert not link("javascript:alert(1)").children
    assert paper("arXiv:1505.04597").get("refuri") == "https://arxiv.org/abs/1505.04597"
    assert paper("doi:10.1000/1").get("refuri") == "https://doi.org/10.1000/1"
    assert paper("a talk").astext() == "a talk"


def test_code_in_docstrings_is_code_on_the_page() -> None:
    found = prose("``same`` or `valid`; plain")
    assert [(node.tagname, node.astext()) for node in found] == [
        ("literal", "same"),
        ("#text", " or "),
        ("literal", "valid"),
        ("#text", "; plain"),
    ]


@pytest.mark.medium
def test_pages_are_outdated_when_a_plugin_comes_or_its_code_changes(site: Site) -> None:
    before = digest()
    assert digest() == before
    code = """
        from segzoo.hooks import hookimpl
        from segzoo.specs import LossSpec

        @hookimpl
        def segzoo_losses():
            return [LossSpec(name="nothing", factory="segzoo_none:nothing")]
    """
    module = site.folder / f"{site.install('segzoo-none', code)}.py"
    zoo.refresh()
    with_it = digest()
    assert with_it != before
    module.write_text(module.read_text(encoding="utf-8") + "\ndef nothing():\n    return None\n")
    assert digest() != with_it


def test_what_was_measured_is_kept_until_the_code_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_ROOT", tmp_path)
    monkeypatch.setattr(remembered, "_FOLDER", tmp_path / "build")
    code = tmp_path / "segzoo/part.py"
    code.parent.mkdir()
    made: list[str] = []

    def asked_in_a_new_build(owner: str) -> int:
        remembered._known.cache_clear()
        remembered._file.cache_clear()
        made.append(owner)
        count = remembered.remembered(owner, ("count", "unet"), lambda: len(made))
        remembered.keep()
        return count

    code.write_text("first", encoding="utf-8")
    try:
        assert [asked_in_a_new_build("segzoo") for _ in range(2)] == [1, 1]
        assert [asked_in_a_new_build("segzoo-strange") for _ in range(2)] == [3, 4]
        code.write_text("other", encoding="utf-8")
        assert [asked_in_a_new_build("segzoo") for _ in range(2)] == [5, 5]
    finally:
        remembered._known.cache_clear()
        remembered._file.cache_clear()


def test_all_weights_that_ship_have_a_picture_and_no_others() -> None:
    said = json.loads((ROOT / "docs/images/zoo/pictures.json").read_text(encoding="utf-8"))
    ships = {entry.full_name for entry in readme.bundled().values()}
    assert set(said) == set(compute.PICTURES) == ships
    for name, one in said.items():
        assert len(one["alt"]) > 30
        assert one["file"] == compute.kept(name).name


@pytest.mark.slow
@pytest.mark.parametrize("name", list(compute.PICTURES))
def test_pictures_are_what_the_weights_compute_now(name: str) -> None:
    assert compute.same(name), "python docs/images/zoo/compute.py"


@pytest.mark.slow
def test_everything_that_is_registered_has_a_row_and_no_row_of_ours_has_trouble(docs_site: Path) -> None:
    for kind in zoo.KINDS:
        for name, entry in zoo.registry(kind).items():
            said = row(docs_site, kind, name)
            assert name in said
            assert project_of(entry.owner) in said
            assert "Not known" not in said
        page = (docs_site / f"zoo/{kind}.html").read_text(encoding="utf-8")
        twice = [one for one, times in Counter(re.findall(r' id="([^"]+)"', page)).items() if times > 1]
        assert twice == [], kind


def page_of(site: Path, kind: str, name: str) -> str:
    """Return the page of a model or of weights."""
    return (site / f"{pages.page_of(kind, name)}.html").read_text(encoding="utf-8").partition("<article")[2]


@pytest.mark.slow
def test_each_of_the_weights_has_a_page_with_its_licence_data_size_and_limits(docs_site: Path) -> None:
    for name, entry in zoo.weights.items():
        page, spec, config = page_of(docs_site, "weights", name), entry.spec, config_of(entry.spec)
        said = text_of(page)
        assert f'<h1>{name}<a class="headerlink"' in page
        assert "Not known" not in said, name
        for fact in (spec.licence, spec.data, spec.claimed, spec.sha256):
            assert " ".join(fact.split()) in said, name
        assert re.search(r"Parameters[\d.]+ M", said), name
        if spec.folder:
            assert 'class="zoo-picture"' in page, name
            assert 'class="zoo-drawing"' in page, name
            assert f"segzoo reproduce {name}" in said
        if config is not None:
            for note in config.provenance.get("notes") or ():
                assert " ".join(note.split()).rstrip(".")[1:] in said, name
            for _, score in words.metrics(facts.measured_scores(config)):
                assert f"{score['per_image']:.4f}" in said, name
                assert all(line in said for line in score["contract"].split("; ")), name


@pytest.mark.slow
def test_each_model_has_a_page_with_its_drawing_options_and_capabilities(docs_site: Path) -> None:
    for name, entry in zoo.models.items():
        page = page_of(docs_site, "models", name)
        said = text_of(page)
        assert f'<h1>{name}<a class="headerlink"' in page
        assert "Not known" not in said, name
        assert ('class="zoo-drawing"' in page) == bool(re.search(r"Parameters[\d.]+ M", said)), name
        limits = zoo.limits_of(entry)
        for one, meaning in CAPABILITIES.items():
            answer = "no" if one in limits else "yes"
            assert f'<th scope="row">{meaning}</th><td>{answer}</td>' in page.replace("&#x27;", "'"), name
        assert all(" ".join(why.replace("`", "").split()) in said for why in limits.values()), name


@pytest.mark.slow
def test_the_navigation_shows_of_models_and_weights_only_the_page_itself(docs_site: Path) -> None:
    for name, current in (
        ("index", []),
        ("zoo/weights/unet-nuclei", ["unet-nuclei"]),
        ("zoo/models/unet", ["unet"]),
    ):
        text = (docs_site / f"{name}.html").read_text(encoding="utf-8")
        tree = text.partition('class="sidebar-tree"')[2].partition("</aside>")[0]
        assert re.findall(r'href="[^"]*(?:zoo/weights|zoo/models|weights|models)/[^"]+"', tree) == [], name
        assert re.findall(r'class="current reference internal" href="#">([^<]+)<', tree) == current
    assert 'rel="edit"' not in page_of(docs_site, "weights", "unet-nuclei")


def test_files_of_pages_are_written_and_those_of_parts_that_are_gone_deleted(tmp_path: Path) -> None:
    app: Any = SimpleNamespace(srcdir=tmp_path)
    pages.write(app, app)
    assert list(tmp_path.iterdir()) == []  # a site without the zoo
    (tmp_path / "zoo/models").mkdir(parents=True)
    (tmp_path / "zoo/models.md").touch()
    (tmp_path / "zoo/models/gone.md").touch()
    pages.write(app, app)
    files = {file.stem: file for file in (tmp_path / "zoo/models").iterdir()}
    assert set(files) == set(zoo.models.names())
    before = files["unet"].stat().st_mtime_ns
    pages.write(app, app)
    assert files["unet"].stat().st_mtime_ns == before


@pytest.mark.slow
def test_every_command_and_line_of_python_on_pages_of_models_and_weights_is_one(docs_site: Path) -> None:
    shown = [(kind, name) for kind in pages.KINDS for name in zoo.registry(kind).names()]
    for kind, name in shown:
        page = page_of(docs_site, kind, name)
        blocks = re.findall(r'<div class="highlight-(console|python)[^>]*>(.*?)</pre>', page, flags=re.DOTALL)
        assert {language for language, _ in blocks} == {"console", "python"}, name
        for language, block in blocks:
            code = unescape(re.sub(r"<[^>]+>", "", block))
            if language == "python":
                ast.parse(code)
            for line in (
                re.findall(r"^\$ segzoo (.*)$", code, flags=re.MULTILINE) if language == "console" else ()
            ):
                verb, *arguments = line.partition("#")[0].split()
                chosen = command.get_command(None, verb)  # pyright: ignore[reportArgumentType] - it needs none
                assert chosen is not None
                chosen.make_context(verb, arguments, resilient_parsing=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("segzoo-absent 1.0 is broken", "No module named 'a_module_that_nobody_has'"),
        ("segzoo-invalid 1.0 is broken", "declares 2 channels and 1 strides"),
        ("segzoo-later 1.0 is incompatible", "needs plug-in interface 99"),
    ],
)
def test_a_plugin_that_does_not_load_has_a_row_that_says_why(
    broken_zoo: Path, plugin: str, reason: str
) -> None:
    for kind in ("models", "weights", "encoders", "losses"):
        page = (broken_zoo / f"zoo/{kind}.html").read_text(encoding="utf-8")
        told = [text_of(one) for one in re.findall(r'<tr class="zoo-failed".*?</tr>', page, flags=re.DOTALL)]
        assert any(plugin in one and reason in one for one in told), told
    overview = text_of((broken_zoo / "zoo/index.html").read_text(encoding="utf-8"))
    assert reason in overview


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("models", "divided", "ZeroDivisionError: division by zero"),
        ("models", "leaving", "SystemExit: out of here"),
        ("models", "lost", "nowhere"),
        ("models", "unfed", "nobody"),
        ("models", "wayward", "RuntimeError"),
        ("weights", "gone", "weights/gone"),
        ("weights", "orphans", "nobody"),
        ("metrics", "unsaid", "ZeroDivisionError"),
        ("recipes", "burnt", "is not a package"),
    ],
)
def test_a_part_that_fails_says_so_in_its_row(broken_zoo: Path, kind: str, name: str, reason: str) -> None:
    assert reason in row(broken_zoo, kind, name)


@pytest.mark.slow
def test_parts_that_are_well_stand_beside_those_that_fail(broken_zoo: Path) -> None:
    assert "31.0 M" in row(broken_zoo, "models", "unet")
    assert "unet-nuclei" in row(broken_zoo, "weights", "unet-nuclei")
    page = (broken_zoo / "zoo/models.html").read_text(encoding="utf-8")
    assert "it has &lt;script&gt;alert" in page
    assert "javascript:" not in "".join(re.findall(r"<a [^>]*>", page))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ODD))
def test_weights_whose_config_makes_no_sense_have_a_row_and_a_page(broken_zoo: Path, name: str) -> None:
    assert "ships" in row(broken_zoo, "weights", name) or "Not known" in row(broken_zoo, "weights", name)
    said = text_of(page_of(broken_zoo, "weights", name))
    assert "Not known" in said or "Reproduce" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("models", "divided", "ZeroDivisionError"),
        ("weights", "gone", "weights/gone"),
        ("weights", "orphans", "nobody"),
    ],
)
def test_the_page_of_a_part_that_fails_says_why(broken_zoo: Path, kind: str, name: str, reason: str) -> None:
    page = page_of(broken_zoo, kind, name)
    said = text_of(page)
    assert "Not known" in said
    assert reason in said
    assert "javascript:" not in "".join(re.findall(r"<a [^>]*>", page))
    assert "<script>alert" not in page


@pytest.fixture(scope="module")
def page(broken_zoo: Path) -> Iterator[Page]:
    """A page of a browser, at the address of the zoo with broken plug-ins."""
    with served(broken_zoo) as address, opened() as browser:
        context = browser.new_context(viewport=DESKTOP, base_url=address)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto("/zoo/index.html")
        yield page


def shown(page: Page) -> list[str]:
    """Return the names of the rows that are seen."""
    return page.locator("tr[data-zoo-row]:visible .zoo-name").all_inner_texts()


@pytest.mark.slow
def test_filters_narrow_the_table_count_aloud_and_stay_in_the_address(page: Page) -> None:
    page.goto("/zoo/models.html")
    every = shown(page)
    page.get_by_label("Search", exact=True).last.fill("VGG without")
    assert shown(page) == ["unet-vgg"]
    assert page.get_by_role("status").inner_text() == f"1 of {len(every)} models shown"
    assert page.url.endswith("#models?text=VGG+without")
    page.get_by_role("button", name="Clear").click()
    assert shown(page) == every
    assert page.url.endswith("/zoo/models.html")
    page.get_by_label("Kind").select_option("model")
    page.get_by_label("with trained weights").check()
    assert shown(page) == ["unet"]
    page.get_by_label("Package").select_option("segzoo-rough")
    assert page.get_by_role("status").inner_text() == f"None of {len(every)} models fits"
    assert page.locator(".zoo-failed:visible").count() == 3


@pytest.mark.slow
def test_an_address_with_a_filter_opens_with_it_and_a_link_to_what_is_hidden_opens_all(page: Page) -> None:
    page.goto("/zoo/index.html")
    page.goto("/zoo/weights.html#weights?class=nucleus&ships=on&nonsense=1")
    assert shown(page) == ["unet-nuclei", "unet-nuclei-1"]
    assert page.get_by_label("no download").is_checked()
    page.evaluate("location.hash = '#unet-membranes'")
    page.wait_for_function("document.getElementById('unet-membranes').checkVisibility()")
    assert "unet-isbi-mindspore" in shown(page)


@pytest.mark.slow
def test_everything_is_done_by_the_keyboard_and_numbers_sort(page: Page) -> None:
    page.goto("/zoo/encoders.html")
    page.locator(".zoo-form input[type=search]").focus()
    page.keyboard.type("vgg1")
    page.keyboard.press("Enter")
    before = shown(page)
    assert all(name.startswith("vgg1") for name in before)
    heading = page.get_by_role("button", name="Parameters")
    heading.focus()
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Parameters")
    assert shown(page)[0] == "vgg11"
    page.keyboard.press("Enter")
    assert shown(page)[0] == "vgg19_bn"
    page.keyboard.press("Enter")
    assert shown(page) == before


@pytest.mark.slow
def test_without_the_program_every_row_is_shown_and_no_form(page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, base_url=page.url.partition("/zoo/")[0])
    bare = context.new_page()
    bare.goto("/zoo/losses.html")
    assert len(shown(bare)) == len(zoo.losses)
    assert not bare.locator("form.zoo-form").is_visible()
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["models", "weights", "weights/gone", "models/divided"])
def test_a_zoo_with_broken_plugins_is_readable_by_all_on_any_screen(page: Page, name: str) -> None:
    address = page.url.partition("/zoo/")[0]
    watch = Watch(page)
    sight = look(page, watch, address, f"zoo/{name}.html", {})
    page.set_viewport_size(DESKTOP)
    for what in ("errors", "requests", "pictures", "too_wide", "light", "dark"):
        assert sight[what] == [], what
