"""``segzoo train --find-lr`` finds a rate, leaves a table and a plot, and nothing else."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from segzoo.cli import run
from segzoo.errors import FailureError, OptionError
from segzoo.training.rate_test import _smooth, _steepest, find_rate
from segzoo.training.recipe.reading import make_recipe


@pytest.fixture
def photos(tmp_path):
    """Write twelve images whose bright half is the foreground; return their folder."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for number in range(12):
        mask = np.arange(16)[None] < random.integers(4, 12)
        image = np.where(mask, 200, 50) + random.integers(-30, 30, (16, 16))
        Image.fromarray(image.astype(np.uint8)).convert("RGB").save(tmp_path / f"photos/images/{number}.png")
        whole = np.broadcast_to(mask, (16, 16)).astype(np.uint8) * 255
        Image.fromarray(whole).save(tmp_path / f"photos/masks/{number}.png")
    return tmp_path / "photos"


def tiny(photos, **values):
    small = {"model_options": {"width": 2, "depth": 2}, "augment": {"crop": {"size": 16}}, "batch_size": 4}
    given = {"data": str(photos), "device": "cpu", "precision": "no", "out": str(photos.parent / "run")}
    return make_recipe({**given, **small, **values})


def test_the_rate_is_that_of_the_steepest_fall_before_the_minimum():
    rates = np.logspace(-6, 1, 141)
    # A loss that falls around 1e-3 and rises steeply beyond 1.
    losses = 1 - 0.8 / (1 + np.exp(-4 * (np.log10(rates) + 3))) + np.maximum(np.log10(rates), 0) ** 2 * 5
    assert _steepest(rates, _smooth(rates, losses)) == pytest.approx(1e-3, rel=0.3)
    assert _steepest(rates, _smooth(rates, np.linspace(1, 2, 141))) is None


@pytest.mark.slow
def test_a_test_leaves_a_table_and_a_plot_and_can_be_repeated_to_the_digit(photos):
    weights = photos.parent / "run/model.safetensors"
    first = find_rate(tiny(photos), steps=20, progress=False)
    assert sorted(path.name for path in weights.parent.iterdir()) == ["find-lr.csv", "find-lr.png"]
    rows = list(csv.DictReader(first.table.open()))
    assert [float(row["loss"]) for row in rows] == pytest.approx(first.losses, rel=1e-5)
    assert first.rates[0] == 1e-6
    assert np.allclose(np.diff(np.log(first.rates)), np.log(1e7) / 19)
    assert Image.open(first.plot).size[0] > 400
    with pytest.raises(FailureError, match=r"find-lr\.csv"):
        find_rate(tiny(photos), steps=20, progress=False)
    again = find_rate(tiny(photos), steps=20, overwrite=True, progress=False)
    assert again.losses == first.losses
    # The rate that the recipe says changes nothing of what is found.
    other = tiny(photos, learning_rate=0.1, out=str(photos.parent / "other"))
    assert find_rate(other, steps=20, progress=False).losses == pytest.approx(first.losses, rel=1e-3)
    with pytest.raises(OptionError, match="low must be above 0 and below high"):
        find_rate(tiny(photos), low=1, high=1e-3)


@pytest.mark.slow
def test_the_command_says_what_to_do_next_and_goes_with_no_other_way(photos, capsys):
    words = ["--data", str(photos), "crop=16", "model.width=2", "batch_size=4", "device=cpu", "precision=no"]
    words += ["--out", str(photos.parent / "run"), "--no-progress"]
    assert run(["train", *words, "--find-lr"]) == 0
    told = capsys.readouterr().out
    assert "next: the same command with lr=" in told or "the loss falls at no rate" in told
    assert run(["train", *words, "--find-lr", "--dry-run"]) == 2
    assert "--dry-run and --find-lr do not go together" in capsys.readouterr().err
    assert run(["train", "--resume", str(photos.parent / "run"), "--find-lr"]) == 2
    assert "--find-lr and --resume do not go together" in capsys.readouterr().err
    # What was found does not stand in the way of the training.
    assert run(["train", *words, "epochs=1"]) == 0
