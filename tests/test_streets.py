"""A dataset without a background, sky being class 0, from the command line: trained, scored, predicted."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.config import config_of

RECIPE = """\
epochs = 4
batch_size = 4
precision = "no"
device = "cpu"
learning_rate = 0.02

[model]
name = "unet"
width = 4
depth = 2

[augment.letterbox]
size = 24
"""
CLASSES = ("sky", "road", "car")


def street(number):
    """Sky above a road, and on it a car; each has a colour of its own."""
    random = np.random.default_rng(number)
    mask = np.zeros((24, 20), np.uint8)
    mask[int(random.integers(8, 14)) :] = 1
    left = int(random.integers(0, 12))
    mask[16:22, left : left + 8] = 2
    colours = np.array([[90, 140, 240], [110, 110, 110], [220, 30, 30]])
    image = colours[mask] + random.integers(-20, 20, (24, 20, 3))
    return np.clip(image, 0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("streets")
    for part in ("images", "masks"):
        (root / "data" / part).mkdir(parents=True)
    for number in range(30):
        for part, array in zip(("images", "masks"), street(number), strict=True):
            Image.fromarray(array).save(root / f"data/{part}/{number:02}.png")
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    words = ["data.classes=sky,road,car", "data.background=null", "data.ignore_index=255"]
    options = ["--data", str(root / "data"), "--out", str(root / "run")]
    assert run(["train", str(root / "recipe.toml"), *words, *options]) == 0
    return root


@pytest.mark.slow
def test_weights_keep_that_no_class_is_background(trained):
    config = config_of(segzoo.load(trained / "run"))
    assert config.labels.classes == CLASSES
    assert config.labels.background is None


def test_sky_is_scored_by_the_labels_of_the_weights(trained, capsys):
    capsys.readouterr()
    data = ["--data", str(trained / "data"), "--ignore-index", "255", "--metric", "dice", "--resamples", "0"]
    assert run(["evaluate", str(trained / "run"), *data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (score,) = found["scores"]
    assert "classes: sky, road, car (no background)" in score["contract"]
    every = [one["dice"] for one in found["classes"]["scores"]]
    assert score["values"]["pooled"] == pytest.approx(np.mean(every))
    assert run(["evaluate", str(trained / "run"), *data, "--background", "sky", "--json"]) == 0
    (other,) = json.loads(capsys.readouterr().out)["scores"]
    assert other["values"]["pooled"] == pytest.approx(np.mean(every[1:]))


def test_sky_is_drawn_named_and_counted(trained, capsys):
    capsys.readouterr()
    out = trained / "seen"
    outputs = ["--outputs", "mask,overlay,binary,areas,coco"]
    shown = str(trained / "data/images/00.png")
    assert run(["predict", shown, "--model", str(trained / "run"), "--out", str(out), *outputs]) == 0
    assert "sky " in capsys.readouterr().out
    image, truth = street(0)
    with Image.open(out / "00_mask.png") as read:
        mask = np.asarray(read)
    assert (mask == truth).mean() > 0.5
    with Image.open(out / "00_overlay.png") as read:
        assert (np.asarray(read)[mask == 0] != image[mask == 0]).any(axis=-1).mean() > 0.9
    with Image.open(out / "00_binary.png") as read:
        assert np.asarray(read).all()
    with (out / "00_areas.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["class"]: int(row["pixels"]) for row in csv.DictReader(file)}
    assert rows["sky"] == (mask == 0).sum() > 0
    categories = json.loads((out / "00_coco.json").read_text(encoding="utf-8"))["categories"]
    assert [one["name"] for one in categories] == list(CLASSES)


def test_the_report_of_the_training_names_sky(trained):
    page = (trained / "run/report.html").read_text(encoding="utf-8")
    assert "predicted as sky" not in page
    assert "sky" in page
