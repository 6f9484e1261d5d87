"""What a training writes down of itself: its table, its curves, its report."""

from __future__ import annotations

import csv
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_evaluation_page import Page

from segzoo.errors import FailureError
from segzoo.evaluation.samples import ScoredSample
from segzoo.specs import Labels
from segzoo.training.loop.trainer import Run, epoch_text, progress_text
from segzoo.training.report.charts import HEIGHT, WIDTH, Dot, Stroke, lay_out, make_charts
from segzoo.training.report.drawing import draw_curves
from segzoo.training.report.examples import KEPT, LONGEST, thin
from segzoo.training.report.history import Example, Journal
from segzoo.training.report.page import duration

HOSTILE = '<script>alert("1")</script>'
LABELS = Labels(classes=("background", HOSTILE), ignore_index=255)
BEST = "dice_per_image"


def opened(folder, **options) -> Journal:
    return Journal(folder, labels=LABELS, best=BEST, **options)


def entry(epoch: int, **scores: float) -> dict[str, float]:
    return {"epoch": epoch, "step": 10 * epoch, "loss": 1 / epoch, "learning_rate": 1e-3, **scores}


def example(epoch: int, *, name: str = HOSTILE, shape=(20, 30)) -> Example:
    random = np.random.default_rng(epoch)
    target = (np.indices(shape).sum(0) % 7 < 3).astype(np.uint8)
    target[:2] = 255
    prediction = np.where(random.random(shape) < 0.2, 1 - (target == 1), target == 1).astype(np.uint8)
    return Example(name, np.full((*shape, 3), 90, np.uint8), target, prediction, 0.5)


def table(folder) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))


def lines(folder) -> list[dict[str, float]]:
    text = (folder / "history.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in text]


def test_columns_that_come_later_leave_the_table_one_valid_table(tmp_path):
    journal = opened(tmp_path)
    journal.epoch(entry(1))
    journal.epoch(entry(2, dice_per_image=0.5))
    journal.epoch(entry(3))
    journal.epoch(entry(4, dice_per_image=math.nan, iou_pooled=np.float32(0.25)))
    rows = table(tmp_path)
    assert list(rows[0]) == ["epoch", "step", "loss", "learning_rate", BEST, "iou_pooled"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row[BEST] for row in rows] == ["", "0.5", "", ""]
    assert rows[3]["iou_pooled"] == "0.25"
    assert [row.get(BEST) for row in lines(tmp_path)] == [None, 0.5, None, None]


def test_a_training_that_goes_on_after_a_crash_drops_what_it_will_do_again(tmp_path):
    journal = opened(tmp_path)
    for epoch in range(1, 6):
        journal.epoch(entry(epoch, dice_per_image=epoch / 10))
        journal.examples(epoch, [example(epoch)])
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 6, "lo')
    journal = opened(tmp_path)
    assert len(journal.rows) == len(lines(tmp_path)) == 5
    journal.rewind(3)
    journal.epoch(entry(4, dice_per_image=0.9))
    assert [row["epoch"] for row in table(tmp_path)] == ["1", "2", "3", "4"]
    assert journal.best_row is not None
    assert journal.best_row["epoch"] == 4
    journal.write()
    page = (tmp_path / "report.html").read_text()
    assert "epoch 3: 0.5" in page
    assert "epoch 5: 0.5" not in page


def test_a_new_training_in_an_old_folder_begins_with_nothing(tmp_path):
    journal = opened(tmp_path)
    journal.epoch(entry(1, old_score=1.0))
    journal.examples(1, [example(1)])
    journal = opened(tmp_path)
    journal.rewind(0)
    assert journal.rows == []
    journal.epoch(entry(1))
    assert "old_score" not in table(tmp_path)[0]
    journal.write()
    assert "<img" not in (tmp_path / "report.html").read_text()


def test_an_epoch_written_twice_stands_once(tmp_path):
    journal = opened(tmp_path)
    for epoch in (1, 2, 3, 2):
        journal.epoch(entry(epoch))
    assert [row["epoch"] for row in table(tmp_path)] == ["1", "2"]


def test_the_first_of_equal_scores_is_the_best_and_way_up_is_asked_for(tmp_path):
    journal = opened(tmp_path / "up")
    other = opened(tmp_path / "down", higher_is_better=False)
    for epoch, score in enumerate((0.2, 0.7, 0.7, math.nan), 1):
        journal.epoch(entry(epoch, dice_per_image=score))
        other.epoch(entry(epoch, dice_per_image=score))
    assert (journal.best_row or {})["epoch"] == 2
    assert (other.best_row or {})["epoch"] == 1


@pytest.mark.medium
def test_a_long_training_keeps_few_pictures_among_them_the_first_the_best_and_the_latest(tmp_path):
    journal = opened(tmp_path)
    for epoch in range(1, 101):
        journal.examples(epoch, [example(epoch, shape=(8, 8))])
        journal.epoch(entry(epoch, dice_per_image=1.0 if epoch == 42 else 0.1))
    kept = sorted(int(path.stem[2:]) for path in (tmp_path / "examples").glob("1-0*.png"))
    assert len(kept) == KEPT
    assert {1, 42, 100} <= set(kept)
    assert len(list((tmp_path / "examples").iterdir())) == KEPT + 3


@given(st.integers(1, 60), st.integers(3, 12), st.data())
def test_thinning_keeps_both_ends_and_what_must_stay(count, most, data):
    epochs = list(range(1, count + 1))
    best = data.draw(st.sampled_from(epochs))
    left = thin(epochs, most, [best])
    assert len(left) == min(count, most)
    assert left == sorted(set(left))
    assert {1, count, best} <= set(left)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    journal = opened(folder)
    journal.about(
        f'model = "u & net"\ndata = "{folder.name}"\n# {HOSTILE}', {"device": HOSTILE}, {"dice": "a; b"}
    )
    for epoch in (1, 2, 3):
        journal.epoch(entry(epoch, dice_per_image=epoch / 4, seconds=40))
        journal.examples(epoch, [example(epoch), example(epoch, name="second", shape=(700, 300))])
    journal.write()
    return folder, (folder / "report.html").read_text()


@pytest.mark.slow
def test_the_report_is_well_formed_and_asks_nothing_of_any_server(report):
    page = Page(report[1])
    assert not page.open
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    addresses = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)
    assert "http" not in report[1].replace("http-equiv", "")
    assert "<script" not in report[1]


def test_every_picture_of_the_report_is_described_and_small(report):
    images = [attrs for tag, attrs in Page(report[1]).tags if tag == "img"]
    assert len(images) == 2 * (4 + 3)
    assert all(HOSTILE in attrs["alt"] or "second" in attrs["alt"] for attrs in images)
    drawn = [attrs for tag, attrs in Page(report[1]).tags if tag == "svg"]
    assert all("epoch" in attrs["aria-label"] for attrs in drawn)
    stored = [Image.open(path) for path in (report[0] / "examples").glob("2-*.*g")]
    assert {max(picture.size) for picture in stored} == {LONGEST}


def test_the_report_says_what_was_trained_how_well_and_how_to_use_it(report):
    folder, text = report
    for told in ("u &amp; net", "0.7500, epoch 3", "2 min 0 s", "a; b", f"--model {folder}", "dashed line"):
        assert told in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_the_report_of_a_training_that_has_just_begun_can_be_written(tmp_path):
    journal = opened(tmp_path)
    journal.write()
    assert "No epoch has ended yet" in (tmp_path / "report.html").read_text()
    journal.epoch(entry(1))
    journal.write()
    assert not Page((tmp_path / "report.html").read_text()).open
    assert Image.open(tmp_path / "curves.png").width > 400


def test_what_is_written_in_spare_time_waits_until_it_is_a_small_share(tmp_path):
    journal = opened(tmp_path)
    assert journal.write(spare=True)
    assert not journal.write(spare=True)
    assert journal.write()


def test_curves_are_grouped_by_metric_and_classes_apart():
    rows = [entry(1), entry(2, dice_pooled=0.5, dice_per_image=0.4, **{"iou_pooled/cat": 0.3, "hd95_mm": 7})]
    charts = {chart.title: list(chart.lines) for chart in make_charts(rows, 2)}
    assert charts == {
        "loss": ["loss"],
        "dice": ["pooled", "per image"],
        "iou pooled by class": ["cat"],
        "hd95": ["mm"],
        "learning rate": ["learning rate"],
    }


def test_a_higher_value_is_drawn_higher_and_the_best_epoch_is_marked():
    rows = [{"epoch": epoch, "dice_pooled": score} for epoch, score in ((1, 0.1), (3, 0.9), (5, 0.5))]
    (chart,) = make_charts(rows, 3)
    marks = lay_out(chart)
    (line,) = [mark for mark in marks if isinstance(mark, Stroke) and mark.style == "line-0"]
    low, high, middle = line.points
    assert high.y < middle.y < low.y
    assert high.x == pytest.approx((low.x + middle.x) / 2)
    (dashed,) = [mark for mark in marks if isinstance(mark, Stroke) and mark.style == "best"]
    assert {point.x for point in dashed.points} == {high.x}
    assert [mark.point for mark in marks if isinstance(mark, Dot)] == [high]
    assert "0.9 in the best epoch, 3" in chart.told


def test_a_loss_that_falls_far_is_drawn_by_its_logarithm():
    rows = [{"epoch": epoch, "loss": 10.0 ** (1 - epoch)} for epoch in (1, 2, 3)]
    (chart,) = make_charts(rows, None)
    assert chart.logarithmic
    (line,) = [mark for mark in lay_out(chart) if isinstance(mark, Stroke) and mark.style == "line-0"]
    first, second, third = (point.y for point in line.points)
    assert second - first == pytest.approx(third - second)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.integers(1, 10**6))
def test_whatever_the_numbers_are_their_marks_lie_on_the_paper(values, start):
    rows = [{"epoch": start + number, "loss": value} for number, value in enumerate(values)]
    for mark in lay_out(make_charts(rows, start)[0]):
        for x, y in mark.points if isinstance(mark, Stroke) else [mark.point]:
            assert -1e-6 <= x <= WIDTH + 1e-6
            assert -1e-6 <= y <= HEIGHT + 1e-6


def test_thousands_of_epochs_are_drawn_with_hundreds_of_points_and_the_best():
    rows = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 3001)]
    points = make_charts(rows, 1234)[0].lines["loss"]
    assert len(points) < 500
    assert {1, 1234, 3000} <= {point.x for point in points}


def test_the_drawn_curves_show_the_colours_of_their_lines():
    rows = [entry(epoch, dice_pooled=epoch / 9, dice_per_image=epoch / 10) for epoch in range(1, 9)]
    picture = Image.open(io.BytesIO(draw_curves(rows, 8))).convert("RGB")
    colours = {colour for _, colour in picture.getcolors(1 << 20) or ()}
    assert {(0, 114, 178), (194, 78, 0), (255, 255, 255)} <= colours


def test_an_example_is_scored_by_the_dice_of_what_counts():
    target = np.array([[0, 1, 1, 2], [0, 0, 2, 255]], np.uint8)
    prediction = np.array([[0, 1, 0, 2], [1, 1, 2, 1]], np.uint8)
    valid = np.array([[1, 1, 1, 1], [1, 0, 1, 1]], np.bool_)
    labels = Labels(classes=("background", "a", "b", "c"), ignore_index=255)
    found = Example.of(ScoredSample("x", prediction, target, valid=valid), labels)
    assert found.score == pytest.approx((2 * 1 / (2 + 2) + 1) / 2)
    assert found.target[1].tolist() == [0, 255, 2, 255]
    nothing = Example.of(ScoredSample("x", np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)), labels)
    assert nothing.score == 1


def test_a_folder_that_cannot_be_written_or_read_is_said_to_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="cannot write to"):
        opened(tmp_path / "file")
    (tmp_path / "history.jsonl").write_text('no entry\n{"epoch": 1}\n')
    with pytest.raises(FailureError, match="line 1, is not a valid entry"):
        opened(tmp_path)
    (tmp_path / "history.jsonl").unlink()
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "index.json").write_text("[1")
    with pytest.raises(FailureError, match=r"index\.json is damaged"):
        opened(tmp_path)


def test_an_epoch_is_one_line_with_loss_rate_score_and_the_best_score():
    entry = {"epoch": 3, "loss": 0.41234, "learning_rate": 1e-3, "seconds": 65}
    assert epoch_text(entry, 50, column="dice") == "epoch 3/50: loss 0.4123, lr 1.0e-03, 1 min 5 s"
    entry |= {"dice": 0.8, "seconds": 12.3}
    text = epoch_text(entry, 50, column="dice", best=0.8, best_epoch=3)
    assert text == "epoch 3/50: loss 0.4123, lr 1.0e-03, dice 0.8000 (best), 12.3 s"
    text = epoch_text(entry, 50, column="dice", best=0.81, best_epoch=2)
    assert "dice 0.8000 (best 0.8100 in epoch 2)" in text
    assert "dice nan, " in epoch_text(entry | {"dice": math.nan}, 50, column="dice")


def test_a_score_that_stays_at_0_is_a_warning_that_says_what_to_check():
    told = []
    run = SimpleNamespace(
        validator=SimpleNamespace(column="dice", higher_is_better=True),
        best=SimpleNamespace(score=0.0, epoch=1),
        recipe=SimpleNamespace(data="my photos", learning_rate=1e-2),
        epochs=9,
        on_message=told.append,
        _zeros=0,
    )
    scores = (0.0, 0.0, 0.5, 0.0, None, 0.0, 0.0, 0.0)
    for epoch, score in enumerate(scores, 1):
        entry = {"epoch": epoch, "loss": 1.0, "learning_rate": 1e-2, "seconds": 1}
        Run._report_epoch(run, entry if score is None else entry | {"dice": score})
    warnings = [line for line in told if line.startswith("warning: ")]
    assert len(told) - len(warnings) == len(scores)
    (warning,) = warnings
    assert told.index(warning) == 7  # after the third 0 in a row; epochs without a validation do not count
    assert "segzoo data check 'my photos'" in warning
    assert "ignore_index" in warning
    assert "lr=0.001" in warning


def test_the_bar_tells_speed_with_and_without_loading():
    text = progress_text(0.4123, 1e-3, 31.24, 1033.04, 0.81)
    assert text == "loss 0.412, lr 1.0e-03, 31.2 images/s (1,033 without loading), best 0.8100"
    assert progress_text(0.4123, 1e-3, 31.24, math.nan) == "loss 0.412, lr 1.0e-03, 31.2 images/s"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4321, "0.432 s"), (59.7, "1 min 0 s"), (65, "1 min 5 s"), (7260, "2 h 1 min")]
)
def test_times_are_told_as_people_say_them(seconds, told):
    assert duration(seconds) == told
