"""``segzoo train`` finds its recipe, shows it, follows it and goes on with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segzoo.cli import run
from segzoo.training.recipe.reading import read_recipe

TINY = """\
epochs = 1
batch_size = 4
precision = "no"
device = "cpu"

[model]
name = "unet"
width = 2
depth = 2

[augment.crop]
size = 16
"""


@pytest.fixture
def photos(tmp_path):
    """Write twenty images with masks and a recipe; return their folder."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for number in range(20):
        image = random.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"photos/images/{number}.png")
        Image.fromarray((image[..., 0] > 128).astype(np.uint8) * 255).save(
            tmp_path / f"photos/masks/{number}.png"
        )
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    return tmp_path


def test_a_dry_run_prints_a_recipe_that_can_be_kept_and_trains_nothing(photos, capsys):
    out = photos / "run"
    words = [str(photos / "tiny.toml"), "lr=1e-2", "augment.flip=true", "model.depth=3", "epochs=5"]
    options = ["--data", str(photos / "photos"), "--out", str(out), "--epochs", "7", "--dry-run"]
    assert run(["train", *words, *options]) == 0
    told = capsys.readouterr().out
    kept = photos / "kept.toml"
    kept.write_text(told, encoding="utf-8")
    recipe = read_recipe(kept)
    # Options win over words, as both win over the file.
    assert (recipe.learning_rate, recipe.epochs, recipe.batch_size) == (0.01, 7, 4)
    assert recipe.model_options == {"width": 2, "depth": 3}
    assert list(recipe.augment) == ["crop", "flip"]
    assert recipe.out == str(out)
    assert not out.exists()
    assert "# 16 images to train on, 2 to validate with" in told
    assert "# classes: background, foreground" in told
    assert "# unet: 1,959 parameters" in told


def test_a_recipe_is_found_by_its_name_and_needs_no_file(photos, capsys):
    data = ["--data", str(photos / "photos"), "--dry-run"]
    assert run(["train", "microscopy", *data, "model.width=2"]) == 0
    assert "[augment.elastic]" in capsys.readouterr().out
    assert run(["train", *data, "--model", "unet/plain", "encoder.width=2"]) == 2
    assert "no recipe has a key 'encoder.width'" in capsys.readouterr().err
    assert run(["train", *data, "--model", "unet/plain", "model.encoder.widths=[2,4]"]) == 0
    assert 'out = "runs/unet-plain"' in capsys.readouterr().out


def test_what_is_wrong_is_told_with_its_line_before_data_is_looked_for(photos, capsys):
    file = photos / "tiny.toml"
    file.write_text(TINY.replace("batch_size", "batchsize"), encoding="utf-8")
    assert run(["train", str(file), "--data", "nowhere"]) == 2
    assert f"{file}, line 2: no recipe has a key 'batchsize'; did you mean 'batch_size'" in (
        capsys.readouterr().err
    )
    assert run(["train", "tiny"]) == 2
    assert "no recipe is named 'tiny'" in capsys.readouterr().err
    assert run(["train"]) == 2
    assert "no data to train on" in capsys.readouterr().err
    assert run(["train", "default", "other", "--data", "nowhere"]) == 2
    assert "'other' is not a setting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--resume"], "say what to resume: --resume FOLDER"),
        (["--resume", "nowhere"], "no run to resume in nowhere: the folder does not exist"),
        (["default", "--dry-run", "--folds"], "--dry-run and --folds do not go together"),
        (["--resume", "runs/unet", "--minutes", "5"], "--resume and --minutes do not go together"),
        (["default", "--dry-run", "--benchmark"], "--dry-run and --benchmark do not go together"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_looked_at(words, told, capsys):
    assert run(["train", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_dry_run_is_told_as_json_where_that_is_asked_for(photos, capsys):
    assert run(["train", "--data", str(photos / "photos"), "--dry-run", "--json", "model.width=2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recipe"]["model_options"] == {"width": 2}
    assert told["classes"] == ["background", "foreground"]


def test_resume_takes_a_folder_or_what_the_recipe_says(photos, capsys):
    (photos / "run").mkdir()
    file = photos / "run/recipe.toml"
    file.write_text(TINY + f'[data]\nname = "{photos / "photos"}"\n', encoding="utf-8")
    assert run(["train", "--resume", str(photos / "run")]) == 2
    assert f"no run to resume in {photos / 'run'}" in capsys.readouterr().err
    assert run(["train", "--resume", str(file), f"out={photos / 'run'}"]) == 2
    assert f"no run to resume in {photos / 'run'}" in capsys.readouterr().err
    assert run(["train", "--resume", str(photos / "run"), "default"]) == 2
    assert "has its own recipe" in capsys.readouterr().err


@pytest.mark.slow
def test_a_recipe_is_followed_and_gone_on_with_by_its_folder(photos, capsys):
    words = [str(photos / "tiny.toml"), "--data", str(photos / "photos"), "--no-progress"]
    out = str(photos / "run")
    # With what happens on the way, which goes elsewhere than what programs read.
    assert run(["train", *words, "--out", out, "--json", "--progress"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["epoch"], told["metric"]) == (out, 1, "dice_per_image")
    assert 0 < told["best"] == told["scores"]["dice_per_image"]
    assert read_recipe(out).epochs == 1
    assert run(["train", *words, "--out", out]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert run(["train", "--resume", out, "--no-progress"]) == 0
    assert f"segzoo predict IMAGES --model {out}" in capsys.readouterr().out
    assert run(["train", *words, "--out", out, "--overwrite"]) == 0


@pytest.mark.slow
def test_every_fold_is_trained_where_that_is_asked_for(photos, capsys):
    words = [str(photos / "tiny.toml"), "--data", str(photos / "photos"), "--no-progress"]
    out = photos / "folds"
    assert run(["train", *words, "--out", str(out), "--folds", "split.folds=2"]) == 0
    told = capsys.readouterr().out
    assert "FOLD 0" in told
    assert "each of 2 folds" in told
    assert (out / "fold-1/recipe.toml").is_file()
