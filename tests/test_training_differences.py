"""What differs between two trainings is told value by value; datasets are told apart without decoding."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from segzoo.datasets.cached import Cached
from segzoo.interfaces import Sample
from segzoo.specs import Labels
from segzoo.training.differences import differences, fingerprint, recipe_differences
from segzoo.training.recipe.schema import Recipe


def test_equal_trainings_differ_in_nothing():
    saved = {"model": {"width": 16}, "sizes": [1, [2, 3]], "score": math.nan, "loss": None}
    now = {"loss": None, "score": math.nan, "sizes": (1, (2, 3)), "model": {"width": 16}}
    assert differences(saved, now) == []


def test_every_value_that_differs_has_a_line_with_both():
    saved = {
        "model": {"name": "unet", "width": 16, "norm": None},
        "lr": 0.1,
        "crop": [256, 256],
        "flag": True,
    }
    now = {"model": {"name": "unet", "width": 32, "depth": 4}, "lr": 0.1, "crop": (256, 128), "flag": 1}
    assert differences(saved, now) == [
        "model.width: 16 there, 32 here",
        "model.norm: None there, nothing here",
        "model.depth: nothing there, 4 here",
        "crop: [256, 256] there, [256, 128] here",
        "flag: True there, 1 here",
    ]


def test_a_mapping_in_place_of_a_value_is_a_difference():
    assert differences({"loss": "dice"}, {"loss": {"name": "dice"}}) == [
        "loss: 'dice' there, {'name': 'dice'} here"
    ]


def test_what_is_ignored_may_differ_with_all_below_it():
    saved, now = (
        {"out": "a", "data": {"root": "x", "name": "m"}},
        {"out": "b", "data": {"root": "y", "name": "n"}},
    )
    assert differences(saved, now, ignore=("out", "data.root")) == ["data.name: 'm' there, 'n' here"]
    assert differences(saved, now, ignore=("out", "data")) == []


def test_order_counts_only_where_it_is_said_to():
    saved, now = {"augment": {"crop": {}, "flip": {}}}, {"augment": {"flip": {}, "crop": {}}}
    assert differences(saved, now) == []
    assert differences(saved, now, ordered=("augment",)) == [
        "augment: in the order (crop, flip) there, (flip, crop) here"
    ]


def test_lines_stay_short():
    (line,) = differences({"names": ["a name"] * 100}, {"names": "0123456789abcdef" * 4})
    assert len(line) < 100
    assert line.endswith("… there, 01234567… here")


class Listed:
    """Samples that can be named without being opened, and cannot be opened."""

    labels = Labels(classes=("background", "cell"), ignore_index=255)

    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        raise AssertionError("it was opened")


class Unlisted(Listed):
    """Samples whose names are known only when they are opened."""

    def __init__(self, names):
        self._names, self.opened = names, 0

    def __len__(self):
        return len(self._names)

    def __getitem__(self, index):
        self.opened += 1
        return Sample(image=np.zeros((1, 1)), mask=np.zeros((1, 1), np.uint8), name=self._names[index])


def test_a_fingerprint_opens_nothing_where_names_are_listed():
    found = fingerprint(Cached(Listed(["a", "b"])))
    assert found == fingerprint(Listed(["a", "b"]))
    assert (found["samples"], found["classes"], found["ignore_index"]) == (2, ["background", "cell"], 255)


@pytest.mark.parametrize("kind", [Listed, Unlisted])
def test_other_samples_have_another_fingerprint(kind):
    prints = [
        fingerprint(kind(names)) for names in (["a", "b"], ["b", "a"], ["a", "c"], ["a"], ["ab", ""], [])
    ]
    assert len({print_["names"] for print_ in prints}) == len(prints)


def test_few_samples_are_opened_where_names_are_not_listed():
    many = Unlisted([str(number) for number in range(1000)])
    fingerprint(many)
    assert many.opened == 4


def test_a_recipe_of_an_older_version_is_the_same_and_one_with_steps_in_another_order_is_not():
    recipe = Recipe(data="photos", augment={"flip": {}, "color": {}})
    saved = {name: value for name, value in asdict(recipe).items() if name != "supervision"}
    assert recipe_differences({**saved, "workers": 9}, recipe) == []
    (told,) = recipe_differences({**saved, "augment": {"color": {}, "flip": {}}}, recipe)
    assert told.startswith("augment: in the order (color, flip) there")
