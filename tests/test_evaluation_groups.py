"""Scores of groups of images: by tags of a dataset, and by what names have in common."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.datasets.cached import Cached
from segzoo.datasets.subset import Subset
from segzoo.errors import OptionError
from segzoo.evaluation import score_model, score_predictions
from segzoo.evaluation.classes import Renumbered
from segzoo.interfaces import Sample
from segzoo.specs import Labels, numbered_labels

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (12, 16)


def truth(index: int) -> np.ndarray:
    return (np.random.default_rng(index).random(SIZE) < 0.4).astype(np.uint8)


class Tagged:
    """Five noisy images, of which the last has no source."""

    labels = numbered_labels(2)
    names = ("a_0", "a_1", "b_2", "b_3", "c_4")
    tags = tuple(
        {"stain": stain} | ({"source": source} if source else {})
        for stain, source in (("dark", "x"), ("dark", "y"), ("purple", "x"), ("purple", "y"), ("dark", ""))
    )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        mask = truth(index)
        noise = np.random.default_rng(index).integers(0, 200, (*SIZE, 3), np.uint8)
        return Sample(image=noise, mask=mask, name=self.names[index])


class Untagged:
    """One image of which nothing more is known."""

    labels = numbered_labels(2)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return Tagged()[index]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return segzoo.create("unet", num_classes=2, width=2, depth=2)


@pytest.mark.medium
def test_groups_are_scored_as_if_they_were_all_there_is(model):
    dataset = Tagged()
    told = {"metrics": ["dice", "roc-auc", "ap"], "resamples": 50}
    found = score_model(model, dataset, by=["stain", "source"], **told)
    assert [(one.by, one.name, one.images) for one in found.groups] == [
        ("stain", "dark", 3),
        ("stain", "purple", 2),
        ("source", "none", 1),
        ("source", "x", 2),
        ("source", "y", 2),
    ]
    for group, places in zip(found.groups, ([0, 1, 4], [2, 3], [4], [0, 2], [1, 3]), strict=True):
        alone = score_model(model, Subset([dataset], [(0, place) for place in places]), **told)
        assert group.scores == alone.scores
        assert group.intervals == alone.intervals
    assert score_model(model, dataset, **told).scores == found.scores


def test_groups_of_more_images_than_the_bootstrap_draws_leave_the_total_as_it_is(model, monkeypatch):
    monkeypatch.setattr("segzoo.evaluation.evaluator.GROUPS", 2)
    told = {"metrics": ["iou"], "resamples": 30}
    plain = score_model(model, Tagged(), **told)
    grouped = score_model(model, Tagged(), by=["stain"], **told)
    assert (grouped.scores, grouped.intervals, grouped.classes) == (
        plain.scores,
        plain.intervals,
        plain.classes,
    )


def test_a_regular_expression_groups_by_names(model):
    found = score_model(model, Tagged(), by=["^([ab])_", "[0-9]$"], resamples=0)
    assert [(one.name, one.images) for one in found.groups] == [
        ("a", 2),
        ("b", 2),
        ("none", 1),
        *((digit, 1) for digit in "01234"),
    ]


@pytest.mark.parametrize(
    ("word", "told"),
    [("stian", "its tags are stain, source"), ("(", "nor a valid regular expression: .*unterminated")],
)
def test_a_word_that_groups_nothing_is_an_error_that_lists_the_tags(model, word, told):
    with pytest.raises(OptionError, match=told):
        score_model(model, Tagged(), by=[word])


def test_tags_go_through_what_chooses_keeps_and_renumbers_samples():
    dataset = Tagged()
    labels = Labels(classes=("other", "thing"))
    for around in (Cached(dataset), Renumbered(dataset, labels, [0, 1]), Subset([dataset], [(0, 3), (0, 4)])):
        assert [dict(one) for one in around.tags] == [dict(one) for one in dataset.tags[-len(around) :]]
    assert Subset([Cached(Untagged())], [(0, 0)]).tags == [{}]


@pytest.mark.medium
def test_the_command_tables_groups_and_its_report_has_them(tmp_path: Path, capsys):
    for part in ("predictions", "truths"):
        (tmp_path / part).mkdir()
        for index, name in enumerate(Tagged.names):
            Image.fromarray(truth(index)).save(tmp_path / part / f"{name}.png")
    folders = ["--predictions", str(tmp_path / "predictions"), "--truth", str(tmp_path / "truths")]
    assert run(["evaluate", *folders, "--by", "^[a-z](?=_)", "--report", str(tmp_path / "report")]) == 0
    printed = capsys.readouterr().out
    assert "^[a-z](?=_)  images  per_image" in printed
    assert [line.split()[:3] for line in printed.splitlines() if line.startswith("b ")] == [
        ["b", "2", "1.0000"]
    ] * 2
    data = json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["images"]) for one in data["groups"]] == [("a", 2), ("b", 2), ("c", 1)]
    assert data["groups"][0]["scores"][0]["intervals"]["pooled"] == [1, 1]
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert "<td>2</td>" in page
    assert "^[a-z](?=_)</th>" in page
    assert run(["evaluate", *folders, "--by", "stain"]) == 2
    assert "it has no tags" in capsys.readouterr().err
    found = score_predictions(tmp_path / "predictions", tmp_path / "truths", by=["^[a-z]"], resamples=0)
    assert [one.images for one in found.groups] == [2, 2, 1]
