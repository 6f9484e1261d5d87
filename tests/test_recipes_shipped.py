"""Every recipe that a plug-in ships reads, builds what it names, and is written and read again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from segzoo import zoo
from segzoo.architecture import build, plan
from segzoo.build import make_loss, make_metric
from segzoo.cli import run
from segzoo.errors import OptionError, PluginError, UsageError
from segzoo.specs import Labels, RecipeSpec
from segzoo.training.augmentation import make_augmentation
from segzoo.training.data.splits import open_splits
from segzoo.training.network import logits, make_network
from segzoo.training.optim.optimizers import make_optimizer
from segzoo.training.optim.schedules import Schedule
from segzoo.training.recipe.files import shipped_text
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.writing import to_toml

#: One that is planned says nothing before it has seen data.
NAMES = [name for name, entry in zoo.registry("recipes").items() if not entry.spec.planner]


def read(name, **values):
    """Read a recipe, with some data where it is for any."""
    spec = zoo.registry("recipes").get(name)
    return read_recipe(name, **({} if spec.data else {"data": "photos"}), **values)


def built(recipe):
    """Build a recipe's network on no device, so that it costs nothing, without fetching anything."""
    options = {**recipe.model_options, "pretrained": False}
    options["num_classes"] = logits(options.get("num_classes"), Labels(classes=("background", "object")))
    if recipe.model_options.get("pretrained") is None:
        del options["pretrained"]
    numbers = {key: options.pop(key) for key in ("num_classes", "in_channels") if key in options}
    with torch.device("meta"):
        return build(plan(recipe.model, **numbers, options=options))


def test_the_programs_that_segzoo_replaces_have_their_recipes():
    programs = {"milesial-carvana", "bubbliiiing-voc", "bubbliiiing-medical", "nested-dsb2018"}
    programs |= {"ascend-dsb2018", "wzmiaomiao-drive", "mindspore-isbi", "neu-seg"}
    assert programs <= set(NAMES)
    assert all(zoo.registry("recipes").get(name).origin for name in programs)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_written_and_read_to_an_equal_one(name, tmp_path):
    recipe, spec = read(name), zoo.registry("recipes").get(name)
    assert recipe.data == (spec.data or "photos")
    assert recipe.out == f"runs/{name}"
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(recipe), encoding="utf-8")
    assert read_recipe(file) == recipe


@pytest.fixture
def four(tmp_path):
    """Write twenty images with masks of four classes; return their folder."""
    random = np.random.default_rng(0)
    for part, shape in (("images", (32, 32, 3)), ("masks", (32, 32))):
        (tmp_path / part).mkdir()
        for number in range(20):
            values = random.integers(0, 4, shape, np.uint8)
            Image.fromarray(values).save(tmp_path / part / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_follows_the_classes_of_other_data(name, four, capsys):
    recipe = read_recipe(name, ["data.classes=4"], data=str(four))
    # What is fetched is left out, and what is large: here it is a matter of classes.
    smaller = {"pretrained": "false", "width": 2}
    words = [f"model.{word}={value}" for word, value in smaller.items() if word in recipe.model_options]
    # Masks of classes alone teach nothing about objects that touch.
    words += ["separator={}"] if recipe.separator else []
    assert run(["train", name, "data.classes=4", *words, "--data", str(four), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "# classes: class 0, class 1, class 2, class 3" in told


@pytest.mark.parametrize("name", NAMES)
def test_every_recipes_loss_takes_the_classes_of_other_data(name):
    recipe, labels = read(name), Labels(classes=("other", "road", "house", "tree"))
    options = {key: value for key, value in recipe.loss_options.items() if value != "balanced"}
    loss = make_loss(recipe.loss, labels, **options)
    random = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (2, 8, 8), generator=random)
    assert torch.isfinite(loss(torch.zeros(2, 4, 8, 8), target))
    assert all(make_metric(metric, labels) for metric in recipe.metrics)


def test_a_number_of_classes_that_the_data_does_not_have_is_refused_with_what_to_do(four):
    recipe = read_recipe(None, ["data.classes=4", "model.num_classes=2", "model.width=2"], data=str(four))
    training, _ = open_splits(recipe.source, recipe.split, metrics=recipe.metrics)
    told = "num_classes=2 does not fit the data, which has 4 classes .*: leave model.num_classes out"
    with pytest.raises(OptionError, match=told):
        make_network(recipe, training)
    with pytest.raises(OptionError, match="num_classes"):
        read_recipe(None, ["model.num_classes=all"], data=str(four))


def test_two_classes_have_one_logit_or_one_each():
    two, three = Labels(classes=("no", "yes")), Labels(classes=("a", "b", "c"))
    assert [logits(None, two), logits("each", two), logits(1, two), logits(2, two)] == [1, 2, 1, 2]
    assert [logits(None, three), logits("each", three), logits(3, three)] == [3, 3, 3]
    overlapping = Labels(classes=("a", "b"), overlapping=True, background=None)
    assert [logits(None, overlapping), logits("each", overlapping)] == [2, 2]


def schedule_of(recipe, model, **steps):
    """Return the schedule of a recipe's optimizer."""
    optimizer = make_optimizer(
        model,
        recipe.optimizer,
        recipe.optimizer_options,
        learning_rate=recipe.scaled_rate,
        encoder_rate=recipe.encoder_rate,
    )
    return Schedule(optimizer, recipe.schedule, recipe.schedule_options, **steps)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_its_parts(name):
    recipe = read(name)
    data = zoo.registry("datasets").get(recipe.data) if recipe.data != "photos" else None
    labels = (data and data.labels) or Labels(classes=("background", "object"))
    augmentation = make_augmentation(recipe.augment, ignore_index=labels.ignore_index)
    assert augmentation.size is not None or recipe.batch_size == 1
    model = built(recipe)
    schedule = schedule_of(recipe, model, steps=600, steps_per_epoch=6)
    rates = list(schedule.rates.values())
    assert max(rates) <= recipe.learning_rate
    for _ in range(600):
        schedule.step()
    assert min(schedule.rates.values()) <= min(rates) or recipe.schedule in ("plateau", "constant", "cosine")
    options = {key: value for key, value in recipe.loss_options.items() if value != "balanced"}
    classes = logits(recipe.model_options.get("num_classes"), labels)
    loss = make_loss(recipe.loss, ignore_index=labels.ignore_index, **options)
    scores = torch.zeros(2, classes, 8, 8)
    assert torch.isfinite(loss(scores, torch.zeros(2, 8, 8, dtype=torch.long)))
    assert all(make_metric(metric, labels) for metric in recipe.metrics)


def test_rates_of_bubbliiiing_are_its_programs():
    recipe = read("bubbliiiing-voc")
    schedule = schedule_of(recipe, torch.nn.Conv2d(1, 1, 1), steps=100, steps_per_epoch=1)
    rates = []
    for _ in range(100):
        rates += schedule.rates.values()
        schedule.step()
    # By epoch: a tenth, quadratic to the third, then half a cosine to a hundredth for the last five.
    assert rates[:4] == pytest.approx([1e-5, 2e-5, 5e-5, 1e-4])
    assert rates[49] == pytest.approx(1e-6 + 0.5 * 9.9e-5, rel=1e-6)
    assert rates[95:] == pytest.approx([1e-6] * 5)


def test_ascends_recipe_differs_from_the_one_that_it_is_based_on_only_where_it_says():
    ascend, nested = read("ascend-dsb2018"), read("nested-dsb2018")
    changed = {"loss": ascend.loss, "optimizer": "adam", "optimizer_options": {"weight_decay": 1e-4}}
    assert replace(nested, **changed, precision="auto", out=ascend.out) == ascend


def test_a_recipes_file_must_be_in_its_package():
    with pytest.raises(UsageError, match=r"not 'package:path/name\.toml'"):
        RecipeSpec(name="mine", file="mine.toml")
    with pytest.raises(UsageError, match="leaves its package"):
        RecipeSpec(name="mine", file="segzoo:../mine.toml")
    with pytest.raises(PluginError, match=r"package 'segzoo' has no file 'training/mine\.toml'"):
        shipped_text(RecipeSpec(name="mine", file="segzoo:training/mine.toml"))
