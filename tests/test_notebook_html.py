"""What notebooks show of segmentations and models: HTML that stands alone, and plain text."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from IPython.core.formatters import HTMLFormatter, PlainTextFormatter
from PIL import Image

import segzoo
from segzoo import Segmentation
from segzoo.specs import Labels

if TYPE_CHECKING:
    from conftest import Run

NUCLEI = Labels(classes=("background", "nucleus"), palette=((0, 0, 0), (255, 196, 0)))


class Page(HTMLParser):
    """Reads HTML, and fails where an element is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def shown(thing: Any) -> Page:
    """Return what IPython shows, which must stand alone."""
    html = HTMLFormatter()(thing)
    assert html is not None
    assert not re.search(r"https?:|<script|<link|<style|url\(", html)
    return Page(html)


def picture(image: dict[str, str | None]) -> Image.Image:
    return Image.open(BytesIO(b64decode((image["src"] or "").partition("base64,")[2])))


def half(height: int, width: int, *, channels: int = 3, labels: Labels = NUCLEI) -> Segmentation:
    """Return a segmentation whose right half is class 1."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    image = np.full((height, width, channels), 200, np.uint8)
    return Segmentation(mask, labels, image)


def test_a_segmentation_shows_overlay_mask_size_and_shares() -> None:
    page = shown(half(30, 40))
    overlay, mask = page.images
    assert overlay["alt"] == "The image, its classes outlined: background 50.0 %, nucleus 50.0 %"
    assert mask["alt"] == "The classes in their colours: background 50.0 %, nucleus 50.0 %"
    assert "Segmentation 40 x 30 pixels, 2 classes" in page.text
    assert "nucleus 600 50.00 %" in page.text
    colours = np.asarray(picture(mask).convert("RGB"))
    assert colours.shape == (30, 40, 3)
    assert (colours[:, 20:] == (255, 196, 0)).all()
    assert picture(overlay).size == (40, 30)


def test_small_pictures_are_shown_larger_and_large_ones_as_thumbnails() -> None:
    small = shown(half(20, 40)).images[1]
    assert (small["width"], small["height"]) == ("160", "80")
    large = shown(half(1000, 4000)).images
    assert [picture(one).size for one in large] == [(320, 80), (320, 80)]
    thumbnail = np.asarray(picture(large[1]))
    assert (thumbnail[:, :160] == 0).all()
    assert (thumbnail[:, 160:] == 1).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (700, 3), (400, 500)])
def test_images_of_any_size_and_number_of_channels_are_shown(channels: int, size: tuple[int, int]) -> None:
    assert len(shown(half(*size, channels=channels)).images) == 2


def test_names_are_escaped_wherever_they_stand() -> None:
    name = '<img src=x onerror="alert(1)">'
    page = shown(half(8, 8, labels=Labels(classes=("background", name))))
    assert len(page.images) == 2
    assert name in page.text
    assert page.images[0]["alt"] == f"The image, its classes outlined: background 50.0 %, {name} 50.0 %"


def test_classes_that_are_absent_are_folded_away() -> None:
    labels = Labels(classes=("background", "cat", "dog", "sheep"))
    page = shown(half(8, 8, labels=labels))
    assert page.text.index("cat") < page.text.index("2 more classes, not in this image")
    assert page.text.index("2 more classes") < page.text.index("dog")
    assert "1 more class, not in this image" in shown(half(8, 1)).text


def test_more_classes_than_a_palette_holds_are_shown_in_their_colours() -> None:
    labels = Labels(classes=tuple(f"class {index}" for index in range(300)))
    mask = np.arange(300, dtype=np.uint16).reshape(15, 20)
    found = Segmentation(mask, labels, np.zeros((15, 20, 3), np.uint8))  # pyright: ignore[reportArgumentType]
    page = shown(found)
    assert picture(page.images[1]).mode == "RGB"
    assert "288 more classes" in page.text


def test_plain_text_of_a_segmentation_is_a_line() -> None:
    told = "<Segmentation of 40 x 30 pixels: background 50.0 %, nucleus 50.0 %>"
    assert repr(half(30, 40)) == told
    assert PlainTextFormatter()(half(30, 40)) == told


# -- models


def test_a_model_shows_what_it_is_expects_and_reaches() -> None:
    page = shown(segzoo.load("unet-nuclei-1"))
    for told in (
        "Segmenter segzoo:unet",
        "parameters 1,942,577",
        "stride 16 at the coarsest",
        "images 3 channels",
        "background nucleus",
        "preprocessing Channels are RGB; values are divided by 255",
        "threshold 0.5",
        "trained on dsb2018",
        "licence Apache-2.0",
        "test iou per image 0.8489 [0.8184, 0.8736]",
        "iou = TP / (TP + FP + FN)",
    ):
        assert told in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_model_without_weights_claims_no_scores_and_no_licence() -> None:
    text = shown(segzoo.create("unet", num_classes=30, width=4)).text
    assert "logits 30" in text
    assert "18 more" in text
    assert "licence" not in text
    assert "scores" not in text
    assert "threshold" not in text


def test_a_network_of_somebody_s_own_parts_is_shown_too() -> None:
    made = segzoo.create("unet", num_classes=2, width=4)
    bare = segzoo.Segmenter(made.encoder, made.decoder, num_classes=3)  # pyright: ignore[reportArgumentType]
    assert "logits 3" in shown(bare).text
    assert repr(bare).splitlines()[1].endswith(" parameters")


def test_plain_text_of_a_model_begins_with_what_it_is_and_keeps_torch_s_tree() -> None:
    lines = repr(segzoo.create("unet", num_classes=1, width=4)).splitlines()
    assert lines[0] == "Segmenter("
    assert re.fullmatch(r"  segzoo:unet, 1 logit, [\d,]+ parameters", lines[1])
    assert lines[2] == "  (encoder): PlainEncoder("


def test_names_of_a_model_are_escaped() -> None:
    from dataclasses import replace

    model = segzoo.create("unet", num_classes=2, width=4)
    config: Any = model.segzoo_config
    labels = Labels(classes=("background", "<b>bold</b>"))
    claim = {"claimed": "<i>best</i>", "data": "<u>ours</u>"}
    model.segzoo_config = replace(config, labels=labels, licence="<s>", provenance=claim)
    text = shown(model).text
    for told in ("<b>bold</b>", "<i>best</i>", "<u>ours</u>", "<s>"):
        assert told in text


@pytest.mark.slow
def test_what_notebooks_show_imports_no_torch(python: Run) -> None:
    code = "import segzoo.notebooks, sys; print('torch' in sys.modules)"
    assert python("-c", code).stdout == "False\n"
