"""Every recipe that a plug-in ships reads, builds what it names, and is written and read again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segzoo import zoo
from segzoo.architecture import build, plan
from segzoo.build import make_loss, make_metric
from segzoo.errors import PluginError, UsageError
from segzoo.specs import Labels, RecipeSpec
from segzoo.training.augmentation import make_augmentation
from segzoo.training.optim.optimizers import make_optimizer
from segzoo.training.optim.schedules import Schedule
from segzoo.training.recipe.files import shipped_text
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.writing import to_toml

NAMES = zoo.registry("recipes").names()


def read(name, **values):
    """Read a recipe, with some data where it is for any."""
    spec = zoo.registry("recipes").get(name)
    return read_recipe(name, **({} if spec.data else {"data": "photos"}), **values)


def built(recipe):
    """Build a recipe's network on no device, so that it costs nothing, without fetching anything."""
    options = {"num_classes": 2, **recipe.model_options, "pretrained": False}
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
    classes = recipe.model_options.get("num_classes", 1 if len(labels.classes) == 2 else len(labels.classes))
    loss = make_loss(recipe.loss, ignore_index=labels.ignore_index, **options)
    logits = torch.zeros(2, classes, 8, 8)
    assert torch.isfinite(loss(logits, torch.zeros(2, 8, 8, dtype=torch.long)))
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
    with pytest.raises(PluginError, match=r"package 'segzoo' holds no file 'training/mine\.toml'"):
        shipped_text(RecipeSpec(name="mine", file="segzoo:training/mine.toml"))
