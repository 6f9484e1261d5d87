"""`segzoo train --benchmark` measures a recipe's steps and writes nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segzoo.cli import run
from segzoo.errors import FailureError
from segzoo.machine import flop_counter
from segzoo.training import Recipe, speed
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


@pytest.mark.medium
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


def test_the_backward_pass_of_a_convolution_counts_twice_its_forward_pass():
    kinds = {
        "dense": nn.Conv2d(8, 12, 3),
        "strided": nn.Conv2d(8, 12, 3, stride=2),
        "grouped": nn.Conv2d(8, 12, 3, groups=4),
        "depthwise": nn.Conv2d(8, 8, 3, groups=8, padding=1),
        "transposed": nn.ConvTranspose2d(8, 12, 2, stride=2),
        "grouped and transposed": nn.ConvTranspose2d(8, 12, 2, stride=2, groups=2),
    }
    for name, layer in kinds.items():
        images = torch.rand(2, 8, 9, 11, requires_grad=True)
        with flop_counter() as forward:
            made = layer(images)
        with flop_counter() as backward:
            made.sum().backward()
        groups = layer.groups
        pixels = math.prod((images if "transposed" in name else made).shape[2:])
        by_hand = 2 * 2 * pixels * 8 * 12 * math.prod(layer.kernel_size) // groups
        if name == "depthwise":
            by_hand = 2 * 2 * pixels * 8 * 9
        assert (name, forward.get_total_flops()) == (name, by_hand)
        assert (name, backward.get_total_flops()) == (name, 2 * by_hand)


def test_a_step_that_seems_faster_than_the_machine_is_an_error(monkeypatch, pictures, tmp_path):
    monkeypatch.setattr(speed, "peak_flops", lambda device, precision: 1.0)
    options = {"width": 2, "depth": 2}
    recipe = Recipe(
        data=str(pictures),
        model_options=options,
        augment={"crop": {"size": 16}},
        device="cpu",
        out=str(tmp_path / "run"),
    )
    with pytest.raises(FailureError, match="which is impossible"):
        measure(recipe, steps=1, warmup=1)


@pytest.mark.slow
def test_the_command_prints_it_as_a_table_or_as_json(pictures, tmp_path, capsys):
    words = ["train", "--data", str(pictures), "--benchmark", "--out", str(tmp_path / "run")]
    words += ["model.width=2", "model.depth=2", "crop=16", "batch_size=2", "precision=no"]
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batch_size"] == 2
    assert run(words) == 0
    assert "images/s" in capsys.readouterr().out
