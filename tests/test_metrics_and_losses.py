"""Scores and losses against naive versions, and their rules at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segzoo import zoo
from segzoo.errors import OptionError
from segzoo.losses.cross_entropy_dice import CrossEntropyDice
from segzoo.metrics.overlap import Overlap
from segzoo.parts import make_loss, make_metric
from segzoo.specs import Labels, numbered_labels

BINARY = Labels(classes=("background", "cell"))


def scores(measure, pairs, labels=BINARY):
    metric = Overlap(labels=labels, measure=measure)
    for prediction, target in pairs:
        metric.update(np.array(prediction, np.uint8), np.array(target, np.uint8))
    return metric.compute()


def test_dice_and_iou_of_a_hand_counted_example():
    pair = ([[1, 1, 0, 0]], [[1, 0, 1, 0]])
    assert scores("dice", [pair]) == {"per_image": 0.5, "pooled": 0.5}
    assert scores("iou", [pair]) == {"per_image": 1 / 3, "pooled": 1 / 3}


def test_per_image_weighs_images_and_pooled_weighs_pixels():
    small, large = ([[1]], [[1]]), ([[1] * 9], [[0] * 9])
    got = scores("iou", [small, large])
    assert got["per_image"] == 0.5
    assert got["pooled"] == pytest.approx(1 / 10)


def test_a_class_in_neither_mask_scores_1_in_its_image():
    assert scores("dice", [([[0]], [[0]])])["per_image"] == 1


def test_ignored_pixels_count_for_nothing():
    labels = Labels(classes=("a", "b"), ignore_index=255)
    assert scores("dice", [([[1, 1]], [[1, 255]])], labels)["pooled"] == 1


def test_masks_of_two_sizes_are_refused():
    with pytest.raises(OptionError, match=r"\(1, 1\).*\(2, 2\)"):
        Overlap(labels=BINARY).update(np.zeros((1, 1), np.uint8), np.zeros((2, 2), np.uint8))


def test_nothing_counted_is_not_a_number():
    assert np.isnan(Overlap(labels=BINARY).compute()["pooled"])


@pytest.mark.parametrize("name", zoo.metrics.names())
@given(seed=st.integers(0, 10**6))
def test_every_metric_merges_shards_to_what_one_pass_counts(name, seed):
    random, labels = np.random.default_rng(seed), numbered_labels(4)
    pairs = [random.integers(0, 4, (2, 5, 6)).astype(np.uint8) for _ in range(4)]
    whole, left, right = (make_metric(name, labels) for _ in range(3))
    for index, (prediction, target) in enumerate(pairs):
        whole.update(prediction, target)
        (left if index % 2 else right).update(prediction, target)
    left.merge(right)
    assert left.compute() == pytest.approx(whole.compute())


@pytest.mark.parametrize("name", zoo.metrics.names())
def test_every_metric_scores_a_perfect_mask_1_and_states_its_contract(name):
    metric = make_metric(name, numbered_labels(3))
    mask = np.array([[0, 1], [2, 2]], np.uint8)
    metric.update(mask, mask)
    assert set(metric.compute().values()) == {1.0}
    assert "background left out" in metric.contract


@given(seed=st.integers(0, 10**6))
def test_iou_never_exceeds_dice(seed):
    pairs = np.random.default_rng(seed).integers(0, 2, (3, 2, 4, 4))
    dice, iou = scores("dice", pairs), scores("iou", pairs)
    assert all(iou[key] <= dice[key] + 1e-12 for key in dice)


def naive_loss(logits, target, smoothing=1.0):
    """Cross-entropy plus 1 - Dice of the foreground, pixel by pixel in NumPy; one logit."""
    chance = 1 / (1 + np.exp(-logits))
    entropy = -np.mean(target * np.log(chance) + (1 - target) * np.log(1 - chance))
    common, total = (chance * target).sum(), chance.sum() + target.sum()
    return entropy + 1 - (2 * common + smoothing) / (total + smoothing)


def test_the_loss_agrees_with_a_naive_one():
    random = np.random.default_rng(0)
    logits, target = random.normal(size=(2, 1, 5, 6)), random.integers(0, 2, (2, 5, 6))
    got = CrossEntropyDice()(torch.tensor(logits), torch.tensor(target))
    assert float(got) == pytest.approx(naive_loss(logits[:, 0], target), rel=1e-5)


def test_two_logits_cost_what_their_difference_costs_as_one():
    logits, target = torch.randn(2, 1, 5, 6), torch.randint(0, 2, (2, 5, 6))
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    loss = CrossEntropyDice()
    assert float(loss(two, target)) == pytest.approx(float(loss(logits, target)), rel=1e-5)


@pytest.mark.parametrize("name", zoo.losses.names())
@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("size", [1e4, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_loss_and_its_gradient_stay_finite_on_extreme_input(name, classes, size, dtype):
    logits = (torch.randn(2, classes, 8, 8) * size).to(dtype).requires_grad_()
    for target in (torch.zeros(2, 8, 8).long(), torch.full((2, 8, 8), 255)):
        loss = make_loss(name, ignore_index=255)(logits, target)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()


def test_ignored_pixels_have_no_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    target = torch.tensor([[[0, 255], [2, 1]]])
    CrossEntropyDice(ignore_index=255)(logits, target).backward()
    assert (logits.grad[..., 0, 1] == 0).all()
    assert (logits.grad[..., 1, 1] != 0).any()


def test_an_option_that_a_loss_does_not_have_is_named():
    with pytest.raises(OptionError, match="gamma"):
        make_loss("ce-dice", gamma=2)
