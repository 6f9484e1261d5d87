"""A recipe or one sentence comes out of whatever is given, and what does not begin leaves nothing behind."""

from __future__ import annotations

import inspect
import math
import random

import numpy as np
import pytest
from PIL import Image

from segzoo import cli, zoo
from segzoo.errors import FailureError, UsageError
from segzoo.plugins import resolve
from segzoo.training import Recipe, train
from segzoo.training.optim.optimizers import optimizer_defaults
from segzoo.training.optim.schedules import schedule_defaults
from segzoo.training.parts import factories
from segzoo.training.recipe.keys import ALIASES, all_keys
from segzoo.training.recipe.reading import make_recipe, read_recipe

WORDS = [
    *("-1", "0", "1e9", "99999999999999999999", "9" * 5000, "-0.5", "1.5", "nan", "inf", "-inf", "1e400"),
    *("", "null", "true", "[]", "{}", "[1,2]", "[[1]]", '["a"]', '{"a":1}', '{"a":{"b":{}}}', "x", "[nan]"),
    *("[null]", "[" * 2000, "1979-05-27", "0x10", "10**6", "\0", "\u202e", "'", "="),
]
VALUES = [
    *(None, -1, 0, 10**9, 10**400, 1.5, math.nan, math.inf, -math.inf, "", True, [], {}, [1, 2], ["a"]),
    *({"a": 1}, {1: 2}, {"a": [{}]}, "x", [math.nan], b"x", object(), complex(1, 2), len, [None]),
]
#: Values that must be refused, whatever else is.
REFUSED = {
    "seed": [-1, 1.5, math.nan, 2**63, "x", True, [1]],
    "epochs": [0, -1, 1e9, math.inf, None],
    "steps": [-1, 10**12],
    "batch_size": [0, -1, 10**9],
    "workers": [-1, 10**6],
    "learning_rate": [0, -1, math.nan, math.inf, "x", [0.1]],
    "encoder_rate": [-1, math.nan, math.inf],
    "clip": [-1, math.nan, math.inf],
    "average": [1, -0.1, math.nan],
    "out": ["", " ", "a\0b"],
    "mean": [[math.nan] * 3],
    "metrics": [[], [1]],
    "crop": [0, -1, 10**9, 1.5, [1, 2, 3], math.nan],
    "split.share": [0, 1, -0.1, 1.1, math.nan, "x"],
    "split.folds": [1, -1, 2.5],
    "loss.weights": [[math.nan, 1], [-1, 1], "x", 1, [], ["a", "b"], [math.inf, 1]],
    "optimizer.weight_decay": [-1, math.nan, math.inf],
    "optimizer.eps": [10**20],
    "schedule.warmup": [1, -0.1, math.nan],
    "epoch": [1],
}


def keys() -> list[tuple[dict[str, str], str]]:
    """Return every key of a recipe, and of every part that it may name, with the part that has it."""
    found: list[tuple[dict[str, str], str]] = [({}, key) for key in all_keys()]
    found += [
        ({}, f"split.{key}") for key in ("share", "folds", "fold", "seed", "order", "of", "file", "train")
    ]
    found += [({}, f"resize.{key}") for key in ("mode", "scale", "height", "width", "fill", "restore")]
    for part, defaults in (("optimizer", optimizer_defaults), ("schedule", schedule_defaults)):
        names = factories(f"{part}s")
        found += [({part: name}, f"{part}.{key}") for name in names for key in defaults(name)]
    for name in zoo.losses.names():
        options = inspect.signature(resolve(zoo.losses.get(name).factory)).parameters
        found += [({"loss": name}, f"loss.{key}") for key in options if key not in ("ignore_index", "terms")]
    return [
        *found,
        ({}, ""),
        ({}, "a..b"),
        ({}, "epochs.a"),
        ({}, "model_options.x"),
        ({}, "augment.nothing.x"),
    ]


def names_of(key: str) -> set[str]:
    """Return the words of which an error should hold one: of the key, and of what it stands for."""
    return {part for name in (key, ALIASES.get(key, "")) for part in name.split(".") if part} or {""}


@pytest.mark.medium
def test_every_key_takes_hostile_values_or_refuses_them_in_a_sentence_that_names_it() -> None:
    chance = random.Random(13)
    chosen = chance.sample([(*key, value) for key in keys() for value in (*WORDS, *VALUES)], 1500)
    for base, key, value in chosen:
        for by_word in (False, True):
            try:
                if by_word:
                    read_recipe(None, ["data=photos", f"{key}={value}"], **base)
                else:
                    make_recipe({"data": "photos", **base, key: value})
            except UsageError as error:
                told = str(error)
                assert any(name in told for name in names_of(key)) or "no data to train on" in told, told


@pytest.mark.parametrize("key", REFUSED)
def test_what_no_training_can_mean_is_refused(key: str) -> None:
    for value in REFUSED[key]:
        with pytest.raises(UsageError):
            make_recipe({"data": "photos", key: value})


def test_python_s_own_recipes_are_held_to_the_same_ranges() -> None:
    for values in ({"seed": -1}, {"epochs": 0}, {"model": 3}, {"metrics": "dice"}, {"augment": [1]}):
        with pytest.raises(UsageError, match=next(iter(values))):
            Recipe(data="photos", **values)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with six tiny images, which is the current one."""
    for part, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (tmp_path / "photos" / part / kind).mkdir(parents=True)
        for number in range(count):
            picture = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / f"photos/{part}/images/{number}.png")
            Image.fromarray(picture[..., 0] // 128 * 255).save(tmp_path / f"photos/{part}/masks/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


TINY = ("model.width=2", "model.depth=2", "batch_size=2", "crop=16", "steps=1", "device=cpu", "--no-progress")


@pytest.mark.parametrize(
    "word",
    [
        "seed=-1",
        "epochs=0",
        "lr=nan",
        "workers=-1",
        "loss.weights=[1,2,3]",
        "model.width=99999999999999999999",
    ],
)
def test_a_training_that_cannot_begin_leaves_no_folder(photos, word, capsys) -> None:
    assert cli.run(["train", "--data", "photos", *TINY, word]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert list(photos.iterdir()) == [photos / "photos"]


def test_a_training_that_cannot_begin_leaves_a_folder_of_people_as_it_was(photos) -> None:
    (photos / "runs").mkdir()
    (photos / "runs" / "notes.txt").write_text("mine")
    (photos / "photos/train/images/0.png").write_bytes(b"no image")
    recipe = read_recipe(None, [*TINY[:-1], "batch_size=4"], data="photos", out="runs")
    with pytest.raises(FailureError, match=r"0\.png"):
        train(recipe, progress=False)
    assert list((photos / "runs").iterdir()) == [photos / "runs/notes.txt"]


def test_memory_that_ends_while_images_are_loaded_is_told(photos, monkeypatch) -> None:
    from segzoo.training.data.loader import Augmented

    def short(self, key):
        raise MemoryError

    monkeypatch.setattr(Augmented, "__getitem__", short)
    recipe = read_recipe(None, TINY[:-1], data="photos", out="run")
    with pytest.raises(FailureError, match=r"memory ran out \(MemoryError\): use data\.cache=false"):
        train(recipe, progress=False)
    assert not (photos / "run").exists()
