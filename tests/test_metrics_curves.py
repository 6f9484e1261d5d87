"""ROC-AUC and average precision against all pairs of pixels and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from segzoo.build import make_metric
from segzoo.specs import Labels, numbered_labels

BINARY = Labels(classes=("background", "vessel"))
NAMES = ("roc-auc", "average-precision")


def scored(name, images, labels=BINARY, **options):
    metric = make_metric(name, labels, **options)
    for chances, target in images:
        metric.update(np.zeros_like(target), target, probabilities=chances)
    return metric.compute()


def image(seed, levels=0, size=(9, 10)):
    """Return probabilities ``(1, H, W)``, of few levels if told, and a truth that follows them."""
    random = np.random.default_rng(seed)
    chances = random.random((1, *size), np.float32)
    target = (chances[0] + random.normal(0, 0.4, size) > 0.6).astype(np.uint8)
    target[0, :2] = 0, 1
    return (np.round(chances * levels) / np.float32(levels) if levels else chances), target


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([0, 3, 20]))
def test_curves_agree_with_pairs_of_pixels_and_with_torchmetrics(seed, levels):
    images = [image(seed, levels), image(seed + 1, levels)]
    chances = np.concatenate([one.ravel() for one, _ in images])
    truth = np.concatenate([target.ravel() for _, target in images])
    higher = chances[truth == 1][:, None] - chances[truth == 0][None]
    got = {name: scored(name, images) for name in NAMES}
    assert got["roc-auc"]["pooled"] == pytest.approx(((higher > 0) + (higher == 0) / 2).mean())
    sides = torch.tensor(chances), torch.tensor(truth.astype(int))
    assert got["roc-auc"]["pooled"] == pytest.approx(float(binary_auroc(*sides)), abs=1e-6)
    assert got["average-precision"]["pooled"] == pytest.approx(
        float(binary_average_precision(*sides)), abs=1e-6
    )
    assert got["roc-auc"]["per_image"] == pytest.approx(
        np.mean([scored("roc-auc", [one])["pooled"] for one in images])
    )


def test_probabilities_that_differ_in_their_last_bit_are_told_apart():
    half = np.float32(0.5)
    chances = np.array([[[np.nextafter(half, np.float32(0)), half, 1e-40, 0.0, -0.0]]], np.float32)
    target = np.array([[0, 1, 1, 0, 0]], np.uint8)
    # Of six pairs the faint vessel loses one.
    assert scored("roc-auc", [(chances, target)])["pooled"] == pytest.approx(5 / 6)


def test_two_channels_say_what_one_does():
    chances, target = image(0)
    two = np.concatenate([1 - chances, chances])
    for name in NAMES:
        assert scored(name, [(two, target)]) == scored(name, [(chances, target)])


def test_several_classes_are_each_held_against_the_rest():
    random = np.random.default_rng(0)
    target = random.integers(0, 3, (8, 8)).astype(np.uint8)
    chances = random.dirichlet(np.ones(3), (8, 8)).astype(np.float32).transpose(2, 0, 1)
    got = scored("roc-auc", [(chances, target)], numbered_labels(3), per_class=True)
    for index in (1, 2):
        alone = scored("roc-auc", [(chances[index : index + 1], (target == index).astype(np.uint8))])
        assert got[f"pooled/class {index}"] == pytest.approx(alone["pooled"])
    assert got["pooled"] == pytest.approx((got["pooled/class 1"] + got["pooled/class 2"]) / 2)


def test_a_truth_of_one_kind_says_nothing():
    chances, target = image(0)
    assert np.isnan(scored("roc-auc", [(chances, target * 0)])["pooled"])
    assert scored("roc-auc", [(chances, target), (chances, target * 0)])["per_image"] == pytest.approx(
        scored("roc-auc", [(chances, target)])["pooled"]
    )


def test_bins_bound_memory_at_a_small_cost():
    images = [image(seed) for seed in range(5)]
    metric = make_metric("roc-auc", BINARY, bins=256)
    for chances, target in images:
        metric.update(target, target, probabilities=chances)
    assert metric.compute()["pooled"] == pytest.approx(scored("roc-auc", images)["pooled"], abs=0.01)
    assert metric._histograms[0].codes.size <= 512
    assert "256 equal bins" in metric.contract
