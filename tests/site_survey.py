"""Pages of the site, looked at once by a browser; what it saw, as plain data for the tests.

The tests of one run may be spread over processes: the first that asks looks, the others read what it wrote.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import browser_setup
import pytest
from browser import DESKTOP, PATIENCE, PHONE, Watch, need_browser, opened, served
from filelock import FileLock

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Sight(TypedDict):
    """What was seen on one page; empty lists are good news."""

    page: str
    #: What it printed to the console.
    errors: list[str]
    #: Requests that were answered by an error, or that would have left the machine.
    requests: list[str]
    #: Pictures that say nothing to those who do not see them.
    pictures: list[str]
    #: Elements that reach beyond the page's right edge at the width of a phone.
    too_wide: list[str]
    #: axe-core's findings by colour scheme.
    light: list[str]
    dark: list[str]
    seconds: float


#: A page of each kind: cards, search, a notebook, filters, figures, signatures, options, tables, much code.
KINDS = (
    *("index.html", "search.html", "start/quickstart.html", "start/comparison.html"),
    *("zoo/index.html", "zoo/weights.html", "zoo/weights/unet-nuclei.html", "zoo/models/segformer-b0.html"),
    *("guides/metrics.html", "reference/api/segzoo.html", "reference/cli.html", "plugins/datasets.html"),
    *("training/index.html", "prediction/index.html", "coming-from/milesial.html", "design/index.html"),
    *("zh/start/install.html", "zh/zoo/weights.html"),
)

PICTURES = """() => [...document.querySelectorAll('img')]
    .filter(image => !(image.getAttribute('alt') || '').trim())
    .map(image => image.getAttribute('src'))"""

# The body may be as wide as the window; what is wider must scroll inside its own box.
TOO_WIDE = """() => {
    const page = document.scrollingElement;
    if (page.scrollWidth <= window.innerWidth) return [];
    const scrolls = (element) => {
        for (let e = element.parentElement; e && e !== document.body; e = e.parentElement)
            if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX)) return true;
        return false;
    };
    return [`${page.scrollWidth} pixels`, ...[...document.querySelectorAll('article *')]
        .filter(e => e.getBoundingClientRect().right > window.innerWidth && !scrolls(e))
        .slice(0, 3).map(e => e.outerHTML.slice(0, 120))];
}"""

SAY = """found => found.violations.map(v => `${v.id} (${v.nodes.length}): ${v.help}: `
    + v.nodes.slice(0, 3).map(n => `${n.html.slice(0, 160)} | ${n.failureSummary}`).join(' || '))"""

# Every rule but that of contrast, on everything.
AXE = f"""async () => ({SAY})(await axe.run(document,
    {{resultTypes: ['violations'], preload: false, rules: {{'color-contrast': {{enabled: false}}}}}}))"""

# Contrast depends on colours and size alone, and measuring it is slow: one text of each look is enough.
CONTRAST = f"""async (seen) => {{
    const looks = new Set(seen), first = [];
    const ground = (element) => {{
        for (let e = element; e; e = e.parentElement) {{
            const colour = getComputedStyle(e).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }}
    }};
    for (const element of document.body.querySelectorAll('*')) {{
        if (![...element.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim())) continue;
        if (!element.checkVisibility({{visibilityProperty: true, opacityProperty: true}})) continue;
        const style = getComputedStyle(element);
        const look = [style.color, ground(element), style.fontSize, style.fontWeight, style.opacity].join();
        if (!looks.has(look)) {{ looks.add(look); first.push(element); }}
    }}
    const only = {{type: 'rule', values: ['color-contrast']}};
    const run = {{resultTypes: ['violations'], preload: false, runOnly: only}};
    const said = first.length ? ({SAY})(await axe.run({{include: first}}, run)) : [];
    return [said, [...looks]];
}}"""


def pages(site: Path) -> list[str]:
    """The pages to look at: one of each kind, or all with ``SEGZOO_EVERY_PAGE=1``."""
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    names = [name for name in names if not name.startswith("_static/")]
    if os.environ.get("SEGZOO_EVERY_PAGE"):
        return names
    assert set(KINDS) <= set(names), f"no page is named {sorted(set(KINDS) - set(names))}"
    return list(KINDS)


def look(page: Page, watch: Watch, address: str, name: str, looks: dict[str, list[str]]) -> Sight:
    """Look at one page: on a phone, then on a desk in light and dark.

    Args:
        page: of a browser.
        watch: over that page.
        address: of the site.
        name: of the page.
        looks: of texts whose contrast was measured, by colour scheme; grows.
    """
    start = time.monotonic()
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")
    page.goto(f"{address}/{name}")
    too_wide, pictures = page.evaluate(TOO_WIDE), page.evaluate(PICTURES)
    page.set_viewport_size(DESKTOP)
    page.evaluate(axe_source())
    found: list[str] = page.evaluate(AXE)
    pale = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        pale[scheme], looks[scheme] = page.evaluate(CONTRAST, looks.get(scheme, []))
    errors, requests = watch.taken()
    return Sight(
        page=name,
        errors=errors,
        requests=requests,
        pictures=pictures,
        too_wide=too_wide,
        light=found + pale["light"],
        dark=pale["dark"],
        seconds=round(time.monotonic() - start, 2),
    )


@functools.cache
def axe_source() -> str:
    file = browser_setup.axe()
    assert file is not None
    return file.read_text(encoding="utf-8")


def survey(site: Path) -> list[Sight]:
    """Look at the pages of a built site."""
    looks: dict[str, list[str]] = {}
    with served(site) as address, opened() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        watch = Watch(page)
        return [look(page, watch, address, name, looks) for name in pages(site)]


@pytest.fixture(scope="session")
def sights(docs_site: Path) -> list[Sight]:
    """What a browser saw on every page. A test that takes it is slow."""
    need_browser()
    file = docs_site.with_name("docs_site_sights.json")
    with FileLock(f"{file}.lock"):
        if not file.exists():
            file.write_text(json.dumps(survey(docs_site)), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":  # python tests/site_survey.py dist/docs
    for sight in survey(Path(sys.argv[1])):
        print(json.dumps(sight, indent=1))
