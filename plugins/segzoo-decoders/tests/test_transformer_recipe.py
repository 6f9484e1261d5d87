"""The recipe `transformer` is SegFormer's: rates step for step, and what is not decayed."""

from __future__ import annotations

import pytest
import torch

import segzoo
from segzoo.training.optim.optimizers import make_optimizer
from segzoo.training.optim.schedules import Schedule
from segzoo.training.recipe.reading import read_recipe


def published(step: int, *, height: float) -> float:
    """Return the rate of mmcv's `poly` policy, power 1, to 0 in 160,000 steps, under a linear warm-up."""
    regular = height * (1 - step / 160_000)
    if step >= 1500:
        return regular
    return regular * (1 - (1 - step / 1500) * (1 - 1e-6))


def stepped():
    """Return the recipe, and the optimizer and the schedule that it makes for a narrow network."""
    recipe = read_recipe("transformer", data="photos")
    small = {"depths": (1, 1, 1, 1), "widths": (4, 4, 8, 8), "heads": (1, 1, 1, 1)}
    model = segzoo.create("segformer/mit", num_classes=2, encoder=small, decoder={"width": 8})
    optimizer = make_optimizer(
        model,
        recipe.optimizer,
        recipe.optimizer_options,
        learning_rate=recipe.scaled_rate,
        encoder_rate=recipe.encoder_rate,
    )
    schedule = Schedule(
        optimizer, recipe.schedule, recipe.schedule_options, steps=recipe.steps, steps_per_epoch=1263
    )
    return recipe, model, optimizer, schedule


def test_the_rates_of_every_group_are_the_published_ones_at_every_step():
    recipe, _, optimizer, schedule = stepped()
    assert (recipe.steps, recipe.batch_size, recipe.augment["crop"]["size"]) == (160_000, 16, 512)
    heights = {"encoder": 6e-5, "encoder, no decay": 6e-5, "rest": 6e-4, "rest, no decay": 6e-4}
    assert {group["name"] for group in optimizer.param_groups} == set(heights)
    for step in range(1600):
        wanted = {name: published(step, height=height) for name, height in heights.items()}
        assert schedule.rates == pytest.approx(wanted, rel=1e-9, abs=0)
        schedule.step()
    for step in range(1600, 160_000, 997):
        assert schedule.rate(6e-5, step) == pytest.approx(published(step, height=6e-5), rel=1e-9)
    assert schedule.rate(6e-5, 160_000) == 0


def test_it_decays_all_but_norms():
    recipe, model, optimizer, _ = stepped()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    decays = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    for name, parameter in model.named_parameters():
        assert decays[id(parameter)] == (0.0 if "norm" in name else 0.01), name
    assert recipe.clip == 0
