"""Test-time augmentation and ensembles: means of probabilities, held against means by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import segzoo
from segzoo.errors import OptionError
from segzoo.prediction.combining import Augmented, Ensemble, check_alike


class Engine:
    """Runs a function of images."""

    device = torch.device("cpu")
    description = "plain"

    def __init__(self, function):
        self.function = function
        self.seen = []

    def __call__(self, images):
        self.seen.append(images.clone())
        return self.function(images)


def pointwise(classes):
    """A network that looks at single pixels, so that turning its input turns its output."""
    torch.manual_seed(0)
    return nn.Conv2d(3, classes, 1).requires_grad_(False)


def uneven(classes):
    """A network that answers differently to a turned image."""
    torch.manual_seed(0)
    return nn.Conv2d(3, classes, 3, padding=1).requires_grad_(False)


def chances(logits):
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def answering(*logits):
    return [Engine(lambda images, value=value: torch.tensor(value).view(1, -1, 1, 1)) for value in logits]


ALL = {"flips": ("horizontal", "vertical"), "turns": True}


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 8), (7, 3)])
def test_a_network_that_turns_with_its_image_answers_as_without(classes, size):
    network, images = pointwise(classes), torch.randn(2, 3, *size)
    combined = chances(Augmented(Engine(network), **ALL)(images))
    torch.testing.assert_close(combined, chances(network(images)))


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_the_answer_is_the_mean_over_all_eight_views(classes):
    network, images = uneven(classes), torch.randn(2, 3, 6, 9)
    answers = []
    for turns in range(4):
        answers.append(torch.rot90(chances(network(torch.rot90(images, turns, (2, 3)))), -turns, (2, 3)))
        seen = torch.rot90(images.flip(3), turns, (2, 3))
        answers.append(torch.rot90(chances(network(seen)), -turns, (2, 3)).flip(3))
    logits = Augmented(Engine(network), **ALL)(images)
    assert logits.shape == (2, classes, 6, 9)
    torch.testing.assert_close(chances(logits), torch.stack(answers).mean(dim=0))


@pytest.mark.parametrize(
    ("options", "views"),
    [
        ({"flips": ()}, 1),
        ({"flips": ("horizontal",)}, 2),
        ({"flips": ("vertical",)}, 2),
        ({"flips": ("vertical", "horizontal")}, 4),
        ({"flips": (), "turns": True}, 4),
        ({"flips": ("vertical",), "turns": True}, 8),
        ({"flips": ("horizontal",), "scales": (0.5, 1.0, 1.0)}, 4),
    ],
)
def test_no_view_is_seen_twice_and_none_is_missing(options, views):
    engine = Engine(pointwise(2))
    Augmented(engine, **options)(torch.randn(1, 3, 8, 12))
    assert len(engine.seen) == views
    assert len({(tuple(seen.shape), seen.numpy().tobytes()) for seen in engine.seen}) == views


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 3), ("vertical", 2)])
def test_a_flip_is_the_one_that_it_is_called(flip, axis):
    engine, images = Engine(pointwise(2)), torch.randn(1, 3, 4, 5)
    Augmented(engine, flips=(flip,))(images)
    assert torch.equal(engine.seen[1], images.flip(axis))


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (32, 20)])
@pytest.mark.parametrize("classes", [1, 3])
def test_scales_come_back_at_the_size_of_the_image(size, classes):
    engine = Engine(pointwise(classes))
    images = torch.full((1, 3, *size), 0.7)
    logits = Augmented(engine, **ALL, scales=(0.5, 1.0, 1.5))(images)
    assert logits.shape == (1, classes, *size)
    torch.testing.assert_close(chances(logits), chances(engine.function(images)))
    assert max(round(size[0] * 1.5), 1) in {seen.shape[2] for seen in engine.seen}


def test_sure_answers_stay_sure():
    for logits in ([60.0, 60.0], [-60.0, -60.0], [60.0, 80.0]):
        combined = float(Ensemble(answering([logits[0]], [logits[1]]))(torch.zeros(1, 3, 1, 1)))
        odds = [math.log(sum(math.exp(sign * value) for value in logits) / 2) for sign in (1, -1)]
        expected = odds[0] if logits[0] < 0 else -odds[1]
        assert combined == pytest.approx(expected, rel=1e-6)


def test_an_ensemble_is_the_mean_of_probabilities_by_hand():
    images = torch.zeros(1, 3, 1, 1)
    one = Ensemble(answering([math.log(0.9 / 0.1)], [math.log(0.2 / 0.8)]))(images)
    assert float(one.sigmoid()) == pytest.approx(0.55, rel=1e-6)
    several = Ensemble(answering(np.log([0.7, 0.2, 0.1]).tolist(), np.log([0.1, 0.3, 0.6]).tolist()))(images)
    assert several.softmax(dim=1).flatten().tolist() == pytest.approx([0.4, 0.25, 0.35], rel=1e-6)
    # These logits are logarithms of the mean, not only up to a constant.
    assert several.exp().sum() == pytest.approx(1, rel=1e-6)


def test_an_engine_that_reuses_its_output_is_read_before_it_runs_again():
    buffer = torch.empty(1, 1, 2, 2)
    answers = iter([2.0, -2.0, 1.0, 0.0])
    engine = Engine(lambda images: buffer.fill_(next(answers)))
    combined = Augmented(engine)(torch.zeros(1, 3, 2, 2))
    mean = torch.tensor([2.0, -2.0, 1.0, 0.0]).sigmoid().mean()
    torch.testing.assert_close(combined.sigmoid(), mean.expand(1, 1, 2, 2))


def test_combinations_are_engines_that_can_be_combined():
    both = Ensemble([Augmented(Engine(pointwise(2)), flips=("horizontal",)), Engine(uneven(2))])
    assert both.device == torch.device("cpu")
    assert both.description == "mean of 2 networks: plain; mean over 2 views of each image; plain"
    assert Augmented(both)(torch.randn(1, 3, 4, 4)).shape == (1, 2, 4, 4)


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(OptionError, match="not 'diagonal'"):
        Augmented(Engine(pointwise(1)), flips=("diagonal",))
    with pytest.raises(OptionError, match="scales"):
        Augmented(Engine(pointwise(1)), scales=(0.0,))
    with pytest.raises(OptionError, match="at least one engine"):
        Ensemble([])
    with pytest.raises(OptionError, match="logits of different shapes"):
        Ensemble([Engine(pointwise(2)), Engine(pointwise(3))])(torch.zeros(1, 3, 2, 2))


def test_networks_of_other_classes_or_preprocessing_are_no_ensemble():
    two, three = (segzoo.create("unet", num_classes=n, width=1).segzoo_config for n in (2, 3))
    check_alike([two, two])
    with pytest.raises(OptionError, match=r"same classes: .* number 3"):
        check_alike([two, two, three])
