"""A finished training goes on in another folder, with a schedule of its own, and resumes as any other."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo import cli
from segzoo.errors import OptionError
from segzoo.training import Recipe
from segzoo.training.checkpoints import CHECKPOINTS, Checkpoints
from segzoo.training.extension import extending_recipe
from segzoo.training.recipe.reading import read_recipe

pytestmark = pytest.mark.slow

SMALL = {
    "model_options": {"width": 4, "depth": 2},
    "augment": {"crop": {"size": 24}, "flip": {}},
    "batch_size": 4,
    "precision": "no",
    "average": 0.9,
    "progress": False,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Twelve photos of squares, and a training of two epochs in ``run``."""
    root = tmp_path_factory.mktemp("place")
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / "photos" / part).mkdir(parents=True)
    for number in range(12):
        mask = np.zeros((32, 32), np.uint8)
        y, x = random.integers(0, 20, 2)
        mask[y : y + 12, x : x + 12] = 255
        noise = random.integers(0, 60, (32, 32, 3), np.uint8)
        Image.fromarray(noise + (mask // 2)[..., None]).save(root / f"photos/images/{number}.png")
        Image.fromarray(mask).save(root / f"photos/masks/{number}.png")
    segzoo.train(data=str(root / "photos"), out=str(root / "run"), epochs=2, **SMALL)
    return root


def last(folder):
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    return checkpoints.load(checkpoints.latest())


def rows(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_twenty_more_is_a_schedule_of_its_own_behind_the_epochs_that_were(place, capsys):
    out = place / "more"
    words = ["train", "--extend", str(place / "run"), "epochs=+3", "lr=1e-2", "--out", str(out)]
    assert cli.run([*words, "--no-progress"]) == 0
    before, now = rows(place / "run"), rows(out)
    assert [row["epoch"] for row in now] == [1, 2, 3, 4, 5]
    assert now[:2] == before
    assert now[-1]["learning_rate"] < 0.3 * max(row["learning_rate"] for row in now)
    assert max(row["learning_rate"] for row in now[2:]) > 5e-3
    state = last(out)
    assert (state["epoch"], state["recipe"]["epochs"]) == (6, 5)
    assert state["extended"] == {
        "folder": "run",
        "weights": "last",
        "epochs": 2,
        "steps": state["step"] // 5 * 2,
    }
    config = json.loads((out / "config.json").read_text())
    assert config["provenance"]["extended"]["folder"] == "run"
    assert config["provenance"]["epoch"] > 2
    assert str(place) not in json.dumps(config)
    page = (out / "report.html").read_text()
    assert "extended from" in page
    assert "Epochs 1 to 2 belong to the run that this one extends." in page
    assert read_recipe(out).extend == str(place / "run")


def test_it_begins_with_the_last_weights_and_the_state_of_the_optimizer(place):
    before = last(place / "run")["trainee"]
    result = segzoo.train(
        extend=place / "run", epochs="+1", lr=1e-12, optimizer_options={"weight_decay": 0.0},
        out=place / "still", progress=False,
    )  # fmt: skip
    after = last(result.folder)["trainee"]
    weights = [name for name, one in before["model"].items() if one.ndim == 4]
    assert all(torch.allclose(before["model"][name], after["model"][name], atol=1e-6) for name in weights)
    steps = [state["optimizer"]["state"][0]["step"] for state in (before, after)]
    assert steps[1] > steps[0] > 0
    assert after["averaged"] > before["averaged"]


def test_it_begins_with_the_best_weights_where_that_is_said(place):
    best = segzoo.load(place / "run").state_dict()
    result = segzoo.train(
        extend=place / "run", extend_from="best", epochs="+1", lr=1e-12, average=0.0, out=place / "best",
        progress=False,
    )  # fmt: skip
    after = last(result.folder)["trainee"]
    weights = [name for name, one in best.items() if one.ndim == 4]
    assert all(torch.allclose(best[name], after["model"][name], atol=1e-6) for name in weights)
    assert after["optimizer"]["state"][0]["step"] == last(result.folder)["step"] - last(place / "run")["step"]


def test_an_extension_that_stops_goes_on_to_the_same_weights_without_the_run_before(place):
    shutil.copytree(place / "run", place / "first")
    options = {"extend": place / "first", "epochs": "+3", "progress": False}
    segzoo.train(**options, out=place / "whole")
    segzoo.train(**options, out=place / "parts", on_validation=lambda epoch, score: epoch == 3)
    shutil.rmtree(place / "first")
    assert cli.run(["train", "--resume", str(place / "parts"), "--no-progress"]) == 0
    one, other = (
        next((place / name / CHECKPOINTS).iterdir()) / "tensors.safetensors" for name in ("whole", "parts")
    )
    assert one.parent.name == other.parent.name
    assert one.read_bytes() == other.read_bytes()
    assert [row["epoch"] for row in rows(place / "parts")] == [1, 2, 3, 4, 5]
    assert "extended from" in (place / "parts/report.html").read_text()


def test_an_extension_is_extended_in_turn_and_by_steps(place):
    first = segzoo.train(extend=place / "run", epochs="+1", out=place / "once", progress=False)
    second = segzoo.train(extend=first.folder, steps="+2", out=place / "twice", progress=False)
    before, now = last(first.folder), last(second.folder)
    assert now["step"] == before["step"] + 2
    assert now["extended"]["epochs"] == 3
    third = segzoo.train(extend=second.folder, epochs="+1", out=place / "thrice", progress=False)
    assert len(rows(third.folder)) == 5


def test_the_folder_is_the_next_beside_it_where_none_is_said(place):
    (place / "run-2").mkdir()
    result = segzoo.train(extend=place / "run", epochs="+1", progress=False)
    assert result.folder == place / "run-3"


def test_the_working_folder_is_extended_into_one_beside_it(place, monkeypatch):
    shutil.copytree(place / "run", place / "here/unet")
    monkeypatch.chdir(place / "here/unet")
    recipe = extending_recipe(".", ["max_epochs=+1"])
    assert recipe.epochs == 3
    assert recipe.out == str(place / "here/unet-2")


def test_another_optimizer_and_rate_of_the_encoder_begin_anew_and_that_is_told(place, capfd):
    for out, words in (("sgd", ["optimizer=sgd"]), ("groups", ["encoder_rate=0.1"])):
        command = ["train", "--extend", str(place / "run"), "--epochs", "+1", *words]
        assert cli.run([*command, "--out", str(place / out)]) == 0
        assert "the optimizer starts from scratch" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "how much longer should the run in"),
        (["epochs=2"], "epochs=2 is no more than the 2"),
        (["--epochs", "1"], "epochs=1 is no more than the 2"),
        (["epochs=+0"], "no more than the 2"),
        (["epochs=+2", "model.width=8"], "has another network: model_options.width: 4 there, 8 here"),
        (["epochs=+2", "weights=unet-nuclei"], "leave weights out"),
        (["epochs=+2", "default"], "has its own recipe"),
        (["epochs=+2", "--resume"], "--extend and --resume do not go together"),
        (["epochs=+2", "--find-lr"], "--extend and --find-lr do not go together"),
        (["epochs=+2", "extend_from=first"], "extend_from must be"),
    ],
)
def test_what_does_not_fit_is_told_and_leaves_nothing(place, words, told, capsys):
    out = place / "refused"
    assert cli.run(["train", "--extend", str(place / "run"), "--out", str(out), *words]) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_the_run_that_is_extended_is_not_overwritten(place, capsys):
    command = ["train", "--extend", str(place / "run"), "epochs=+2", "--out", str(place / "run")]
    assert cli.run([*command, "--overwrite"]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert len(rows(place / "run")) == 2


def test_a_training_that_is_not_finished_is_to_be_resumed_and_a_folder_without_one_is_refused(
    place, tmp_path
):
    result = segzoo.train(
        data=str(place / "photos"), out=str(tmp_path / "begun"), epochs=3,
        on_validation=lambda epoch, score: True, **SMALL,
    )  # fmt: skip
    with pytest.raises(OptionError, match=re.escape("is not finished: it has done 1 of 3 epochs. Resume it")):
        segzoo.train(extend=result.folder, epochs="+1")
    segzoo.train(
        data=str(place / "photos"), out=str(tmp_path / "steps"), steps=7,
        on_validation=lambda epoch, score: True, **SMALL,
    )  # fmt: skip
    with pytest.raises(OptionError, match=r"it has done \d of 7 steps"):
        segzoo.train(extend=tmp_path / "steps", epochs="+1")
    for folder in (place / "photos", tmp_path / "nowhere"):
        with pytest.raises(OptionError, match="there is no run to extend"):
            segzoo.train(extend=folder, epochs="+1")
    with pytest.raises(OptionError, match="uses the recipe"):
        segzoo.train(Recipe(data="x"), extend=result.folder)


def test_other_classes_are_refused(place, tmp_path):
    for part in ("images", "masks"):
        shutil.copytree(place / "photos" / part, tmp_path / "other" / part)
    for path in (tmp_path / "other/masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 255 * 2).save(path)
    with pytest.raises(OptionError, match="classes"):
        segzoo.train(
            extend=place / "run", epochs="+1", data=str(tmp_path / "other"), data_options={"classes": 3},
            out=tmp_path / "out", progress=False,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
