"""The demo on the site's first page: in a real browser it computes the masks that segzoo computes."""

from __future__ import annotations

import base64
import io
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import DESKTOP, PATIENCE, PHONE, Watch, opened, served
from PIL import Image
from site_build import DOCS, build

import segzoo

sys.path.insert(0, str(DOCS / "_ext"))

import try_it

from segzoo.weights.folder import read_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Browser, Page

COLOUR = (255, 196, 0)


@pytest.fixture(scope="module")
def site(docs_site: Path) -> Iterator[str]:
    if not (docs_site / try_it.FILES).is_dir():
        told = "the site has no demo: run `python tests/browser_setup.py`, which fetches ONNX Runtime Web"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    with served(docs_site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared(browser: Browser, site: str) -> Page:
    """A page that has loaded the model, or will."""
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(4 * PATIENCE)
    page.goto(f"{site}/index.html")
    return page


def give(page: Page, content: bytes, name: str = "image.png") -> str:
    """Choose an image, and return what the page says of it in the end."""
    page.set_input_files(
        ".try-it input[type=file]", {"name": name, "mimeType": "image/png", "buffer": content}
    )
    page.wait_for_function("document.querySelector('.try-it progress').hidden")
    return page.locator(".try-it [role=status]").inner_text()


def seen(page: Page) -> NDArray[np.bool_]:
    """Return the mask that is shown: at full opacity, it has the colour of its class."""
    page.locator("[name=opacity]").fill("1")
    page.wait_for_function("document.querySelector('.try-it').getAttribute('aria-busy') === 'false'")
    told: dict[str, Any] = page.evaluate(
        """([red, green, blue]) => {
            const canvas = document.querySelector('.try-it canvas');
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let bits = '';
            for (let at = 0; at < data.length; at += 4)
                bits += Number(data[at] === red && data[at + 1] === green && data[at + 2] === blue);
            return {bits, width: canvas.width};
        }""",
        COLOUR,
    )
    return np.frombuffer(told["bits"].encode(), np.uint8).reshape(-1, told["width"]) == ord("1")


def png(pixels: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures() -> dict[str, NDArray[Any]]:
    """Return images of the kinds that browsers and segzoo might read differently."""
    with Image.open(DOCS / "images/nuclei.png") as file:
        nuclei = np.asarray(file.convert("RGB"))[:300, :400]
    rng = np.random.default_rng(0)
    grey = nuclei.mean(axis=2) * 37 + rng.integers(0, 37, nuclei.shape[:2]) + 300
    return {
        "colour": nuclei,
        "16 bits": grey.astype(np.uint16),
        "alpha": np.dstack([nuclei, rng.integers(0, 256, nuclei.shape[:2], np.uint8)]),
        "in tiles": np.tile(nuclei, (5, 3, 1))[:1280, :1184],
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", pictures())
def test_the_mask_and_its_objects_are_those_of_segzoo(shared: Page, tmp_path: Path, kind: str) -> None:
    content = png(pictures()[kind])
    (tmp_path / "image.png").write_bytes(content)
    right = segzoo.predict(tmp_path / "image.png", model=try_it.MODEL)
    said = give(shared, content)
    agreement = float((seen(shared) == (right.mask == 1)).mean())
    assert agreement > (0.999 if kind == "in tiles" else 0.9998)
    objects = int(said.partition("Nuclei: ")[2].partition(" ")[0].replace(",", ""))
    assert abs(objects - len(right.instances().classes)) <= (0.02 * objects if kind == "in tiles" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(shared: Page, kind: str) -> None:
    image = base64.b64encode((DOCS / "images/tissue.png").read_bytes()).decode()
    give(shared, b"no image", "notes.png")
    shared.evaluate(
        """async ([kind, image]) => {
            const bytes = await (await fetch(`data:image/png;base64,${image}`)).blob();
            const data = new DataTransfer(), about = {bubbles: true, cancelable: true};
            data.items.add(new File([bytes], 'tissue.png', {type: 'image/png'}));
            if (kind === 'drop')
                document.querySelector('.try-it-drop').dispatchEvent(
                    new DragEvent('drop', {...about, dataTransfer: data}));
            else document.body.dispatchEvent(new ClipboardEvent('paste', {...about, clipboardData: data}));
        }""",
        [kind, image],
    )
    shared.locator(".try-it canvas").wait_for()
    assert "Nuclei: " in shared.locator(".try-it [role=status]").inner_text()


@pytest.mark.slow
def test_what_is_no_image_is_named_and_the_next_image_works(shared: Page) -> None:
    image = (DOCS / "images/tissue.png").read_bytes()
    assert "cannot read notes.png as an image" in give(shared, b"some notes", "notes.png")
    assert "cannot read cut.png as an image" in give(shared, image[:5000], "cut.png")
    assert "cannot read the TIFF file cells.tif" in give(shared, b"II*\0" + bytes(99), "cells.tif")
    assert "Nuclei: " in give(shared, image)
    huge = image[:16] + (9000).to_bytes(4, "big") * 2 + image[24:]
    assert "has 81 megapixels, and this page takes at most 40" in give(shared, huge)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_demo_works_by_keyboard_on_a_phone_in_the_dark(
    browser: Browser, site: str, language: str
) -> None:
    from browser_setup import axe

    page = browser.new_context(viewport=PHONE, color_scheme="dark").new_page()
    page.set_default_timeout(4 * PATIENCE)
    watch = Watch(page)
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(f"{site}/{'zh/' if language == 'zh' else ''}index.html", wait_until="networkidle")
    assert not [name for name in loaded if "onnx" in name]  # nothing large before a click
    page.locator("[data-sample='tissue.png']").focus()
    page.keyboard.press("Enter")
    page.locator(".try-it canvas").wait_for()
    page.locator("[name=threshold]").focus()
    before = page.locator(".try-it [role=status]").inner_text()
    assert before.startswith("细胞核" if language == "zh" else "Nuclei: ")
    page.keyboard.press("End")
    page.wait_for_function(
        "before => document.querySelector('.try-it [role=status]').textContent !== before", arg=before
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.evaluate(axe().read_text(encoding="utf-8"))
    assert page.evaluate("axe.run('.try-it')")["violations"] == []
    assert watch.taken() == ([], [])


@pytest.mark.slow
def test_a_site_without_onnx_runtime_says_what_to_do_instead(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.md").write_text("# segzoo\n\n```{try-it}\n```\n", encoding="utf-8")
    done = build(tmp_path / "site", "-c", str(DOCS), "-D", f"try_it_made={tmp_path}", source=source)
    assert done.returncode == 0
    assert "note: the first page has no demo: SEGZOO_OFFLINE is set" in done.stderr
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "segzoo demo unet-nuclei" in page
    assert "data-try-it" not in page


def test_a_model_that_the_page_cannot_run_stops_the_build() -> None:
    from dataclasses import replace

    config = read_config(try_it.weights())
    assert try_it.facts(config)["percentiles"] == [1.0, 99.8]
    with pytest.raises(try_it.ExtensionError, match="cannot run unet-nuclei"):
        try_it.facts(replace(config, smallest_object=30))
