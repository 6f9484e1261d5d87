"""``segzoo tune`` tries values of a recipe, keeps the best, and goes on after anything that stopped it."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crashes import run_apart
from PIL import Image

from segzoo.cli import run
from segzoo.errors import FailureError, OptionError, UsageError
from segzoo.training import tuning
from segzoo.training.entry import TrainingResult
from segzoo.training.recipe.reading import make_recipe, read_recipe, read_search
from segzoo.training.search_space import (
    Choice,
    Range,
    default_space,
    read_space,
    settings_of_searches,
    value_in,
)
from segzoo.training.tuning import BEST, JOURNAL, _Study, tune

optuna = pytest.importorskip("optuna")

SEARCH = {"lr": "1e-3..1e-1:log", "loss": ["dice", "ce-dice"]}


def draw(folder):
    """Write ten images of 16 x 16 with masks."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(10):
        image = random.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(image).save(folder / f"images/{number}.png")
        Image.fromarray((image[..., 0] > 128).astype(np.uint8) * 255).save(folder / f"masks/{number}.png")


def small(data, **values):
    given = {"model_options": {"width": 2, "depth": 2}, "augment": {"crop": {"size": 16}}, "epochs": 2}
    where = {"device": "cpu", "precision": "no", "out": str(Path(data).parent / "run")}
    return make_recipe({"data": str(data), **given, **where, **values})


@pytest.fixture
def recipe(tmp_path):
    draw(tmp_path / "photos")
    return small(tmp_path / "photos")


# ------------------------------------------------------------------------------------- what is tried


@pytest.mark.medium
def test_ranges_and_lists_are_read_as_they_are_written(recipe):
    told = ["lr=1e-5..1e-2:log", "batch_size=4..16:4", "model.width=8..32", "augment.crop.size=16,32"]
    told += ["model.depth=2..4:log", "loss=dice,focal", "encoder_rate=0..1", "bands=[[1,2,3],[3,2,1]]"]
    space = read_space(settings_of_searches(told), recipe)
    assert space == {
        "lr": Range(1e-5, 1e-2, log=True),
        "batch_size": Range(4, 16, step=4, whole=True),
        "model.width": Range(8, 32, whole=True),
        "model.depth": Range(2, 4, log=True, whole=True),
        "augment.crop.size": Choice((16, 32)),
        "loss": Choice(("dice", "focal")),
        "encoder_rate": Range(0, 1),
        "bands": Choice(([1, 2, 3], [3, 2, 1])),
    }


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("lr=1e-2..1e-5", "is an empty range: the first number must be below the second"),
        ("lr=0..1:log", "a logarithmic range must start above 0, got 0"),
        ("lr=a..b", "'a' is not a number; write LOW..HIGH"),
        ("lr=1e-5..1:log:2", "is either logarithmic or in steps, not both"),
        ("lr=1..2:4", "the step must be above 0 and at most 1, got 4"),
        ("lr", "is not a key with values: write one such as lr=1e-5..1e-2:log"),
        ("lrr=1..2", "no recipe has a key 'lrr'; did you mean 'lr'"),
        ("loss=dice", "has only one value to search"),
        ("loss=dice,nope", "no loss is named 'nope'"),
        ("batch_size=0..8", "batch_size must be an integer from 1"),
        ("optimizer.momentum=0.1..0.9", "'adamw' has no such option"),
        ("split.share=0.1,0.2", "trials that differ in it cannot be compared"),
        ("seed=1,2", "trials that differ in it cannot be compared"),
    ],
)
def test_a_search_that_makes_no_sense_is_told_before_anything_is_trained(recipe, word, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        read_space(settings_of_searches([word]), recipe)


def test_what_goes_together_is_asked_of_all_combinations(recipe):
    with pytest.raises(OptionError, match=r"with optimizer=adamw: .*'adamw' has no such option"):
        read_space(
            {"optimizer": "sgd,adamw", "optimizer.momentum": "0.5..0.9"}, replace(recipe, optimizer="sgd")
        )
    with pytest.raises(OptionError, match=r"lr and optimizer\.lr are the same key"):
        read_space({"lr": "0.1..0.2", "optimizer": {"lr": "0.1..0.3"}}, recipe)


@pytest.mark.medium
def test_the_recipe_itself_is_among_what_is_tried_by_itself(recipe):
    coloured = replace(recipe, augment={"color": {}})
    space = default_space(coloured)
    assert list(space) == ["lr", "weight_decay", "loss", "augment.color.strength"]
    assert all(one.holds(value_in(coloured, key)) for key, one in space.items())


def test_a_recipe_says_in_a_table_what_is_to_be_tried_and_trains_as_without(recipe, tmp_path):
    file = tmp_path / "cells.toml"
    file.write_text(f'data = "{recipe.data}"\n[tune]\nlr = "1e-4..1e-2:log"\nmodel.width = [2, 4]\n')
    (tmp_path / "mine.toml").write_text('base = "cells.toml"\nepochs = 3\n')
    space = read_space(read_search(tmp_path / "mine.toml"), read_recipe(tmp_path / "mine.toml"))
    assert space == {"lr": Range(1e-4, 1e-2, log=True), "model.width": Choice((2, 4))}


# ------------------------------------------------------------------------------------- the study


def claim(recipe, **options):
    given = {"pruner": "median", "seed": 0, **options}
    return _Study(recipe, read_space(SEARCH, recipe), Path(recipe.out), **given)


@pytest.mark.medium
def test_two_processes_take_trials_of_their_own_and_lost_ones_are_taken_up(recipe):
    first, lock = claim(recipe)._claim(3)
    second, other = claim(recipe)._claim(3)
    assert (first.number, second.number) == (0, 1)
    assert first.params["loss"] == "ce-dice"  # the recipe itself, whose rate is in the range too
    assert first.params["lr"] == recipe.learning_rate
    lock.release()  # as the system does with that of a process that dies
    third, again = claim(recipe)._claim(3)
    assert (third.number, third.params) == (0, first.params)
    for one in (other, again):
        one.release()


@pytest.mark.medium
def test_a_trial_whose_process_is_killed_again_and_again_is_given_up(recipe):
    for _ in range(4):  # at first, and three times more
        trial, lock = claim(recipe)._claim(2)
        assert trial.number == 0
        lock.release()
    study = claim(recipe)
    trial, lock = study._claim(2)
    lock.release()
    assert trial.number == 1
    assert study.found().trials[0].state == "failed"
    assert "its process was killed 4 times" in study.found().trials[0].error


@pytest.mark.medium
def test_a_journal_that_ends_in_the_middle_of_a_line_is_mended(recipe):
    _, lock = claim(recipe)._claim(1)
    lock.release()
    journal = Path(recipe.out) / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    trial, lock = claim(recipe)._claim(1)
    lock.release()
    assert trial.number == 0
    assert journal.read_bytes().startswith(whole)


@pytest.mark.medium
def test_a_folder_that_holds_another_study_or_something_else_is_left_alone(recipe, tmp_path):
    claim(recipe)
    with pytest.raises(OptionError, match="holds another study: epochs: 2 there, 5 here"):
        claim(replace(recipe, epochs=5))
    with pytest.raises(OptionError, match="seed: 0 there, 1 here"):
        claim(recipe, seed=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / BEST).write_text("mine")
    with pytest.raises(FailureError, match=r"best\.toml"):
        claim(replace(recipe, out=str(tmp_path / "mine")))


@pytest.mark.slow
def test_a_trial_that_fails_is_written_down_and_the_others_go_on(recipe, monkeypatch):
    def fake(one, *, on_validation, **_):
        if one.learning_rate > 0.01:
            raise FailureError("the loss became nan")
        score = 1 - abs(one.learning_rate - 0.004)
        for epoch in (1, 2):
            on_validation(epoch, score)
        return TrainingResult(Path(one.out), score, 2, 1.0, "dice_per_image", {})

    monkeypatch.setattr(tuning, "train", fake)
    monkeypatch.setattr(tuning, "release_memory", lambda: None)
    found = tune(recipe, SEARCH, trials=12, progress=False)
    failed = [one for one in found.trials if one.state == "failed"]
    assert failed
    assert all(one.values["lr"] > 0.01 and one.error == "the loss became nan" for one in failed)
    done = [one for one in found.trials if one.state == "complete"]
    assert found.best is min(done, key=lambda one: abs(one.values["lr"] - 0.004))
    assert read_recipe(found.recipe).learning_rate == found.best.values["lr"]
    assert read_recipe(found.recipe).out == recipe.out
    assert len(list((found.folder / "trials").glob("*.toml"))) == 12
    assert found.to_csv().count("the loss became nan") == len(failed)

    def broken(*_, **__):
        raise FailureError("the disk is full")

    monkeypatch.setattr(tuning, "train", broken)
    with pytest.raises(FailureError, match=r"the first 3 trials all failed.*the disk is full"):
        tune(recipe, SEARCH, trials=12, out=recipe.out + "-2", progress=False)


@pytest.mark.slow
def test_a_trial_that_lags_behind_is_pruned(recipe, monkeypatch):
    asked = []

    def fake(one, *, on_validation, **_):
        score, epoch = 1 - 9 * one.learning_rate, 0
        for epoch in range(1, 9):
            if on_validation(epoch, score):
                break
        asked.append(epoch)
        return TrainingResult(Path(one.out), score, epoch, 1.0, "dice_per_image", {})

    monkeypatch.setattr(tuning, "train", fake)
    monkeypatch.setattr(tuning, "release_memory", lambda: None)
    found = tune(replace(recipe, epochs=8), SEARCH, trials=15, progress=False)
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert pruned
    assert [one.epoch for one in found.trials] == asked
    assert all(2 <= one.epoch < 8 for one in pruned)
    assert set(found.importance) == set(SEARCH)
    assert next(iter(found.importance)) == "lr"


def tuned(data, struck):
    """Tune two trials; the process dies at a validation where ``struck`` says so."""
    validations = 0
    honest = tuning.train

    def train(*arguments, on_validation, **options):
        def watch(epoch, score):
            nonlocal validations
            validations += 1
            if validations == struck:
                os.kill(os.getpid(), signal.SIGKILL)
            return on_validation(epoch, score)

        return honest(*arguments, on_validation=watch, **options)

    tuning.train = train
    tune(small(data), SEARCH, trials=2, progress=False)


@pytest.mark.slow
def test_a_study_that_was_killed_ends_with_the_trials_of_one_that_was_not(tmp_path, capsys):
    for name in ("whole", "killed"):
        draw(tmp_path / name / "photos")
    assert run_apart(tmp_path, tuned, str(tmp_path / "whole/photos"), 0).code == 0
    # In the first trial, then in the second, after an epoch each.
    for struck in (1, 3):
        ended = run_apart(tmp_path, tuned, str(tmp_path / "killed/photos"), struck)
        assert ended.code == -signal.SIGKILL, ended.text
    words = ["--data", str(tmp_path / "killed/photos"), "model.width=2", "model.depth=2", "epochs=2"]
    words += ['augment={"crop":{"size":16}}', "device=cpu", "precision=no", f"out={tmp_path / 'killed/run'}"]
    words += ["--search", "lr=1e-3..1e-1:log", "--search", "loss=dice,ce-dice", "--no-progress"]
    assert run(["tune", *words, "--trials", "2"]) == 0
    assert "next: segzoo train" in capsys.readouterr().out
    whole, killed = (tmp_path / name / "run-tune" for name in ("whole", "killed"))
    rows = [
        [line.split(",")[:4] + line.split(",")[5:] for line in (one / "trials.csv").read_text().splitlines()]
        for one in (whole, killed)
    ]
    assert rows[0] == rows[1]
    assert [row[1] for row in rows[0][1:]] == ["complete", "complete"]
    for trial in ("0001", "0002"):
        weights = [(one / "trials" / trial / "model.safetensors").read_bytes() for one in (whole, killed)]
        assert weights[0] == weights[1]
        assert read_recipe(killed / "trials" / f"{trial}.toml").epochs == 2
        assert not (killed / "trials" / trial / "checkpoints").exists()
    assert read_recipe(whole / BEST).learning_rate == read_recipe(killed / BEST).learning_rate
    # What is done is not done again, and more trials may be asked for.
    assert run(["tune", *words, "--trials", "2"]) == 0
