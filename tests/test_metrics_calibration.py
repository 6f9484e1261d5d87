"""Calibration error, Brier score and likelihood against loops over pixels and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from segzoo.build import make_metric
from segzoo.errors import OptionError
from segzoo.specs import IGNORED, Labels, numbered_labels

BINARY = Labels(classes=("background", "cell"), ignore_index=255)
OVERLAPPING = Labels(classes=("nucleus", "cell"), overlapping=True)
NAMES = ("ece", "brier", "nll")


def image(seed, classes=3, size=(11, 13)):
    """Probabilities ``(K, H, W)`` and a truth that follows them loosely."""
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.ones(classes), size).astype(np.float32)
    truth = np.where(random.random(size) < 0.7, chances.argmax(-1), random.integers(0, classes, size))
    return np.moveaxis(chances, -1, 0), truth.astype(np.uint8)


def scored(name, labels, images, **options):
    metric = make_metric(name, labels, **options)
    for chances, target in images:
        metric.update(np.zeros_like(target), target, probabilities=chances)
    return metric.compute()


def naive_error(confidences, right, bins):
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            (c, r)
            for c, r in zip(confidences, right, strict=True)
            if low < c <= high or (number == 0 and c == 0)
        ]
        if inside:
            total += abs(sum(c for c, _ in inside) - sum(r for _, r in inside)) / len(confidences)
    return total


@pytest.mark.parametrize("bins", [1, 15])
def test_calibration_error_is_that_of_a_loop_over_pixels_and_of_torchmetrics(bins):
    images = [image(seed) for seed in range(3)]
    found = scored("ece", numbered_labels(3), images, bins=bins)
    flat = np.concatenate([chances.reshape(3, -1).T for chances, _ in images]).astype(np.float64)
    truth = np.concatenate([target.ravel() for _, target in images])
    expected = naive_error(flat.max(1), flat.argmax(1) == truth, bins)
    assert found["pooled"] == pytest.approx(expected, abs=1e-9)
    theirs = multiclass_calibration_error(
        torch.from_numpy(flat), torch.from_numpy(truth.astype(int)), num_classes=3, n_bins=bins, norm="l1"
    )
    assert found["pooled"] == pytest.approx(float(theirs), abs=1e-5)
    alone = [scored("ece", numbered_labels(3), [one], bins=bins)["pooled"] for one in images]
    assert found["per_image"] == pytest.approx(np.mean(alone))


def test_brier_score_and_likelihood_are_those_of_loops_over_pixels():
    chances, target = image(0)
    squares, surprises = [], []
    for row in range(target.shape[0]):
        for column in range(target.shape[1]):
            one, true = chances[:, row, column].astype(float), target[row, column]
            squares.append(sum((one[k] - (k == true)) ** 2 for k in range(3)))
            surprises.append(-math.log(one[true]))
    assert scored("brier", numbered_labels(3), [image(0)])["pooled"] == pytest.approx(np.mean(squares))
    assert scored("nll", numbered_labels(3), [image(0)])["pooled"] == pytest.approx(np.mean(surprises))


def test_one_channel_of_two_classes_says_what_two_channels_say():
    chances, target = image(1, classes=2)
    for name in NAMES:
        two, one = (scored(name, BINARY, [(part, target)]) for part in (chances, chances[1:]))
        assert two["pooled"] == pytest.approx(one["pooled"], abs=1e-6)
    assert scored("brier", BINARY, [(chances, target)])["pooled"] == pytest.approx(
        float(np.mean((chances[1].astype(float) - target) ** 2))
    )


def test_classes_that_overlap_are_calibrated_each_by_itself():
    random = np.random.default_rng(0)
    chances = random.random((2, 9, 10)).astype(np.float32)
    target = (random.random((2, 9, 10)) < chances).astype(np.uint8)
    target[1, :3] = IGNORED
    counted = target != IGNORED
    theirs = binary_calibration_error(
        torch.from_numpy(chances[counted]),
        torch.from_numpy(target[counted].astype(int)),
        n_bins=10,
        norm="l1",
    )
    found = scored("ece", OVERLAPPING, [(chances, target)], bins=10)
    assert found["pooled"] == pytest.approx(float(theirs), abs=1e-5)
    p, y = chances[counted].astype(float), target[counted]
    brier = scored("brier", OVERLAPPING, [(chances, target)])["pooled"]
    assert brier == pytest.approx(float(np.mean((p - y) ** 2)))


def test_ignored_pixels_and_those_outside_the_field_of_view_count_for_nothing():
    chances, target = image(2, classes=2)
    for name in NAMES:
        metric = make_metric(name, BINARY)
        hidden = target.copy()
        hidden[:2] = 255
        valid = np.ones(target.shape, bool)
        valid[:, -3:] = False
        metric.update(np.zeros_like(target), hidden, probabilities=chances, valid=valid)
        rest = scored(name, BINARY, [(chances[:, 2:, :-3], target[2:, :-3])])
        assert metric.compute() == pytest.approx(rest)


def test_sure_and_right_scores_0_and_sure_and_wrong_stays_finite():
    target = np.array([[0, 1]], np.uint8)
    sure = np.array([[[0.0, 1.0]]], np.float32)
    for name in NAMES:
        assert scored(name, BINARY, [(sure, target)])["pooled"] == pytest.approx(0, abs=1e-6)
    wrong = {name: scored(name, BINARY, [(1 - sure, target)])["pooled"] for name in NAMES}
    assert wrong == pytest.approx({"ece": 1, "brier": 1, "nll": -math.log(1e-7)})


def test_nothing_counted_is_nan_and_what_fits_not_is_refused():
    target = np.full((2, 3), 255, np.uint8)
    for name in NAMES:
        assert math.isnan(scored(name, BINARY, [(np.full((1, 2, 3), 0.5, np.float32), target)])["pooled"])
        with pytest.raises(OptionError, match="needs probabilities"):
            make_metric(name, BINARY).update(np.zeros_like(target), target)
        with pytest.raises(OptionError, match="must be between 0 and 1"):
            scored(name, BINARY, [(np.full((1, 2, 3), np.nan, np.float32), np.zeros((2, 3), np.uint8))])
    with pytest.raises(OptionError, match="bins must be"):
        make_metric("ece", BINARY, bins=0)


def test_the_bins_stand_in_the_contract():
    assert "15 bins" in make_metric("ece", BINARY).contract
    assert "sum over classes" in make_metric("brier", numbered_labels(4)).contract
