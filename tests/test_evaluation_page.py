"""The page: one file, nothing from elsewhere, names escaped, pictures described."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from segzoo.evaluation import write_report
from segzoo.evaluation.evaluator import Evaluator
from segzoo.evaluation.page import histogram, interval_plot
from segzoo.evaluation.pictures import LONGEST, error_map
from segzoo.evaluation.results import Interval
from segzoo.evaluation.samples import ScoredSample, named_metrics
from segzoo.specs import Labels, numbered_labels

HOSTILE = '<script>alert("1")</script>'
VOID = {"meta", "img", "circle", "path", "rect", "link", "br"}


class Page(HTMLParser):
    """Collects tags and checks that each is closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def evaluation(labels: Labels, count: int = 4, *, shape=(40, 500), image=True, name=HOSTILE):
    result = Evaluator(named_metrics(["iou", "dice"], labels), labels, worst=2)
    for number in range(count):
        random = np.random.default_rng(number)
        truth = random.integers(0, len(labels.classes), shape, np.uint8)
        found = np.where(random.random(shape) < 0.3, 0, truth).astype(np.uint8)
        picture = random.integers(0, 65535, shape, np.uint16) if image else None
        result.add(ScoredSample(f"{name}{number}", found, truth, image=picture))
    return result.result(subject=HOSTILE, data="d & d", split="test", about={}, resamples=20, seed=0)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    found = evaluation(Labels(classes=("background", HOSTILE, "c")))
    return found, [path.read_text(encoding="utf-8") for path in write_report(found, folder)]


def test_the_page_is_well_formed_and_asks_nothing_of_any_server(report):
    text = report[1][0]
    page = Page(text)
    assert not page.open
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    addresses = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text


def test_names_are_escaped_wherever_they_stand(report):
    assert "<script" not in report[1][0]
    assert "&lt;script&gt;" in report[1][0]
    assert "d &amp; d" in report[1][0]


def test_every_picture_is_described_and_small(report):
    images = [attrs for tag, attrs in Page(report[1][0]).tags if tag == "img"]
    assert len(images) == 2 * 4
    for attrs in images:
        assert HOSTILE in attrs["alt"]
        data = base64.b64decode(attrs["src"].partition("base64,")[2])
        assert max(Image.open(io.BytesIO(data)).size) == LONGEST
    drawings = [attrs for tag, attrs in Page(report[1][0]).tags if tag == "svg"]
    assert all("aria-label" in attrs or attrs.get("aria-hidden") for attrs in drawings)


def test_the_page_knows_dark_and_narrow_screens_and_holds_contracts_and_intervals(report):
    found, (text, _, _) = report
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "max-width: 40rem" in text
    assert text.count("background left out") == 2
    interval = found.intervals["iou"]["pooled"]
    assert f"[{interval.low:.4f}, {interval.high:.4f}]" in text


def test_the_table_has_a_row_per_image_and_the_json_everything(report):
    found, (_, table, data) = report
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["image"] for row in rows] == [image.name for image in found.images]
    assert float(rows[2]["dice"]) == pytest.approx(found.images[2].scores["dice"], abs=1e-5)
    told = json.loads(data)
    assert told["confusion"]["pixels"] == found.confusion.tolist()
    assert {"segzoo", "subject", "data", "split", "labels", "bootstrap", "images"} <= set(told)
    assert all(score["contract"] for score in told["scores"])


def test_a_name_that_a_spreadsheet_takes_for_a_formula_is_defused(tmp_path):
    table = write_report(evaluation(numbered_labels(2), shape=(5, 5), name="=1+"), tmp_path)[1]
    assert "\n'=1+0," in table.read_text()


def test_many_classes_are_shown_by_their_largest_confusions(tmp_path):
    found = evaluation(numbered_labels(40), shape=(20, 20), image=False)
    text = write_report(found, tmp_path)[0].read_text()
    assert "Largest confusions" in text
    assert not Page(text).open


def test_a_single_perfect_image_makes_a_page_too(tmp_path):
    labels = numbered_labels(2)
    result = Evaluator(named_metrics(["iou", "hd95"], labels), labels, worst=3)
    mask = np.eye(6, dtype=np.uint8)
    result.add(ScoredSample("only", mask, mask))
    found = result.result(subject="m", data="d", split=None, about={}, resamples=100, seed=0)
    assert not Page(write_report(found, tmp_path)[0].read_text()).open


def test_errors_are_told_apart():
    target, found = np.array([[0, 1, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 2, 2]], np.uint8)
    counted = np.array([[True, True, True, True, False]])
    assert error_map(target, found, counted, numbered_labels(3)).tolist() == [[0, 1, 2, 3, 4]]


def test_plots_are_drawn_for_what_they_can_show():
    assert interval_plot(0.5, Interval(0.4, 0.6)).startswith("<svg")
    assert interval_plot(12.0, Interval(10.0, 14.0)) == ""
    assert "median 3" in histogram("hd95", [3.0, 3.0])
