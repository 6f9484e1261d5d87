"""The site in a real browser: no errors, readable by everybody and on a phone, and what one clicks works.

Each kind of page is looked at; ``SEGZOO_EVERY_PAGE=1`` looks at all, which takes minutes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser import DESKTOP, PATIENCE, PHONE, opened, served
from site_survey import sights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from site_survey import Sight

__all__ = ["sights"]
pytestmark = pytest.mark.slow


def test_no_page_prints_an_error_or_asks_for_what_is_not_there(sights: list[Sight]) -> None:
    assert sights
    wrong = {sight["page"]: sight["errors"] + sight["requests"] for sight in sights}
    assert not {page: said for page, said in wrong.items() if said}


def test_no_page_is_wider_than_a_phone(sights: list[Sight]) -> None:
    assert not {sight["page"]: sight["too_wide"] for sight in sights if sight["too_wide"]}


def test_every_picture_says_what_it_shows(sights: list[Sight]) -> None:
    assert not {sight["page"]: sight["pictures"] for sight in sights if sight["pictures"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_core_finds_no_barrier(sights: list[Sight], scheme: str) -> None:
    assert not {sight["page"]: sight[scheme] for sight in sights if sight[scheme]}


@pytest.fixture(scope="module")
def address(docs_site: Path) -> Iterator[str]:
    with served(docs_site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture
def desk(browser: Browser, address: str) -> Iterator[Page]:
    """A page on a desk, which may use the clipboard; closed with all that it stored."""
    context = browser.new_context(
        viewport=DESKTOP, base_url=address, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Page]:
    """A page on a phone."""
    context = browser.new_context(viewport=PHONE, base_url=address, has_touch=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def test_searching_finds_a_page_and_leads_there(desk: Page) -> None:
    desk.goto("/index.html")
    desk.get_by_placeholder("Search").fill("tiles")
    desk.keyboard.press("Enter")
    found = desk.locator("#search-results li a").first
    found.wait_for()
    found.click()
    desk.wait_for_url(lambda url: "search.html" not in url)
    assert "tile" in desk.locator("article").inner_text().lower()


def test_searching_in_chinese_finds_a_page(desk: Page) -> None:
    desk.goto("/zh/search.html?q=虚拟环境")
    found = desk.locator("#search-results li a").first
    found.wait_for()
    assert found.inner_text() == "安装"


def test_searching_for_nothing_that_is_there_says_so(desk: Page) -> None:
    desk.goto("/search.html?q=xylophonist")
    desk.locator("#search-results").get_by_text(re.compile("did not match any documents")).wait_for()


def test_the_menu_of_a_phone_opens_and_leads_on(phone: Page) -> None:
    phone.goto("/index.html")
    menu = phone.locator(".sidebar-drawer")
    assert menu.bounding_box()["x"] < 0
    phone.locator("label.nav-overlay-icon").tap()
    phone.wait_for_function("document.querySelector('.sidebar-drawer').getBoundingClientRect().x >= 0")
    menu.get_by_role("link", name="Plug-ins", exact=True).tap()
    phone.wait_for_url(re.compile("/plugins/"))
    assert phone.locator("article h1").is_visible()


def test_the_home_page_is_light(desk: Page) -> None:
    sizes: dict[str, int] = {}
    desk.on("response", lambda response: sizes.update({response.url: len(response.body())}))
    desk.goto("/index.html", wait_until="networkidle")
    assert sum(sizes.values()) < 500_000, sorted(sizes.items(), key=lambda one: -one[1])[:5]
    assert len(sizes) < 25


def shown(page: Page) -> list[str]:
    """The rows of the zoo's table that are seen."""
    return page.eval_on_selector_all(
        "tr[data-zoo-row]", "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)"
    )


def test_filters_of_the_zoo_filter_and_stay_in_the_address(desk: Page) -> None:
    desk.goto("/zoo/weights.html")
    everything = shown(desk)
    assert {"unet-nuclei", "unet-vgg-voc"} <= set(everything)
    desk.get_by_label("no download").check()
    ships = shown(desk)
    assert "unet-nuclei" in ships
    assert "unet-vgg-voc" not in ships
    desk.get_by_label("Search", exact=True).locator("visible=true").last.fill("membranes")
    assert shown(desk) == ["unet-membranes"]
    assert desk.locator(".zoo-count").inner_text().startswith("1 ")

    address = desk.url
    assert "membranes" in address
    desk.goto("/index.html")
    desk.goto(address)
    assert shown(desk) == ["unet-membranes"]
    desk.get_by_role("button", name="Clear").click()
    assert shown(desk) == everything


def test_a_column_of_the_zoo_sorts(desk: Page) -> None:
    desk.goto("/zoo/weights.html")
    desk.get_by_role("button", name="Parameters").click()
    numbers = desk.eval_on_selector_all(
        "tr[data-zoo-row] td[data-label=Parameters][data-sort]",
        "all => all.map(one => Number(one.dataset.sort))",
    )
    assert len(numbers) > 5
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))
    assert desk.locator("th[aria-sort]:not([aria-sort=none])").count() == 1


def brightness(page: Page) -> float:
    """Of the page's ground, from 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_the_switch_makes_pages_dark_and_they_stay_so(desk: Page) -> None:
    desk.emulate_media(color_scheme="light")
    desk.goto("/index.html")
    assert brightness(desk) > 200
    switch = desk.locator(".theme-toggle:visible").first
    for _ in range(3):  # light, dark and as the system has it, in an order that depends on the system
        if desk.evaluate("document.body.dataset.theme") == "dark":
            break
        switch.click()
    assert brightness(desk) < 60
    desk.goto("/plugins/index.html")
    assert brightness(desk) < 60


def test_a_button_copies_a_command_without_its_prompt(desk: Page) -> None:
    desk.goto("/training/index.html")
    block = desk.locator("div.highlight-console").first
    block.hover()
    block.locator("button.copybtn").click()
    desk.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)")
    copied = desk.evaluate("navigator.clipboard.readText()")
    first = block.locator("pre").inner_text().splitlines()[0]
    assert first.startswith("$ ")
    assert copied.splitlines()[0] == first.removeprefix("$ ")


def test_the_first_key_leads_past_the_menu(desk: Page) -> None:
    desk.goto("/index.html")
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.textContent").strip() == "Skip to content"
    desk.keyboard.press("Enter")
    assert desk.evaluate("location.hash") == "#furo-main-content"
