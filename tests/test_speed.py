"""`segzoo train --benchmark` measures a recipe's steps and writes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segzoo.cli import run
from segzoo.training import Recipe
from segzoo.training.speed import PARTS, measure


@pytest.fixture
def pictures(tmp_path):
    """Four images of noise with their masks."""
    root = tmp_path / "pictures"
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(4):
            noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(noise).save(root / part / f"images/{number}.png")
            Image.fromarray((noise[..., 0] // 128) * 255).save(root / part / f"masks/{number}.png")
    return root


def test_a_measurement_adds_up(pictures, tmp_path):
    recipe = Recipe(
        data=str(pictures),
        model_options={"width": 4, "depth": 2},
        augment={"crop": {"size": 16}},
        batch_size=2,
        precision="no",
        device="cpu",
        out=str(tmp_path / "run"),
    )
    found = measure(recipe, steps=3, warmup=1)
    assert set(found.milliseconds) == set(PARTS)
    step = sum(found.milliseconds.values())
    assert found.images_per_second == pytest.approx(2000 / step)
    assert found.images_per_second_computing > found.images_per_second
    assert found.share == pytest.approx(
        found.flops / found.peak_flops * 1e3 / (step - found.milliseconds["data"])
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_operations_counted_are_those_of_the_convolutions(pictures, tmp_path):
    counted = []
    for batch in (1, 2):
        recipe = Recipe(
            data=str(pictures),
            model_options={"width": 4, "depth": 2},
            augment={"crop": {"size": 16}},
            batch_size=batch,
            precision="no",
            device="cpu",
            out=str(tmp_path / "run"),
        )
        counted.append(measure(recipe, steps=1, warmup=1).flops)
    assert counted[1] == 2 * counted[0]


@pytest.mark.slow
def test_the_command_prints_it_as_a_table_or_as_json(pictures, tmp_path, capsys):
    words = ["train", "--data", str(pictures), "--benchmark", "--out", str(tmp_path / "run")]
    words += ["model.width=2", "model.depth=2", "crop=16", "batch_size=2", "precision=no"]
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batch_size"] == 2
    assert run(words) == 0
    assert "images/s" in capsys.readouterr().out
