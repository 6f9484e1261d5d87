"""Validation and evaluation predict images of any size, in tiles where memory is short."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import segzoo
from segzoo.evaluation.models import evaluate
from segzoo.interfaces import Sample
from segzoo.prediction import Predictor
from segzoo.prediction.shortage import MemoryShortageError
from segzoo.prediction.tiling import planner
from segzoo.specs import Labels

pytestmark = pytest.mark.slow


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = segzoo.create("unet", num_classes=3, width=4)
    with torch.no_grad():  # batch norms know what they see, and each class has its share of the pixels
        network.train()
        for _ in range(20):
            network(torch.rand(1, 3, 64, 64))
        network.eval()
        network.head.bias -= network(torch.rand(1, 3, 64, 64)).mean(dim=(0, 2, 3))
    return network


def picture(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def eager(network, on_message=lambda _: None):
    return Predictor(network, backend="eager", on_message=on_message)


def whole_of(network, image, **options):
    """Return what the network makes of an image at once."""
    predictor = eager(network)
    predictor.tiler.plan = lambda *_, **__: None
    return predictor(image, **options)


def pooled(network):
    """Return the network, which now sees the whole image."""
    forward = network.forward
    network.forward = lambda x: forward(x) + x.mean(dim=(2, 3), keepdim=True)
    return network


def greedy(network, most):
    """Return the network, which asks for more memory than any machine has where an image is larger."""
    forward = network.forward

    def take(x):
        if x.shape[2] * x.shape[3] > most:
            torch.empty(1 << 55)
        return forward(x)

    network.forward = take
    return network


def test_a_large_image_is_run_in_tiles_that_give_the_mask_and_chances_of_the_whole(network, monkeypatch):
    image, told = picture(1100, 1300), []
    monkeypatch.setattr(planner, "SMALL", 1_000_000)
    found = eager(network, told.append)(image, probabilities=True)
    whole = whole_of(network, image, probabilities=True)
    assert "in 2x2 tiles" in told[0]
    assert len(np.unique(whole.mask)) == 3
    assert np.count_nonzero(found.mask != whole.mask) <= 20  # of 1.4 million: rounding
    assert found.probabilities is not None
    assert np.allclose(found.probabilities, whole.probabilities, atol=5e-4)


def test_tiles_of_a_large_image_do_not_depend_on_the_memory_to_spare(network, monkeypatch):
    image, told = picture(1100, 1300), []
    monkeypatch.setattr(planner, "SMALL", 1_000_000)
    for spare in (10**10, 10**12):
        monkeypatch.setattr(planner, "to_spare", lambda device=None, spare=spare: spare)
        eager(network, told.append)(image)
    assert told[0] == told[1]


def test_where_memory_runs_out_smaller_and_smaller_tiles_are_tried(network):
    image, told = picture(600, 500), []
    found = eager(greedy(network, 256 * 256), told.append)(image)
    assert len(told) == 2
    assert "tiles of 2" in told[-1]
    network.forward = type(network).forward.__get__(network)
    assert np.mean(found.mask != whole_of(network, image).mask) < 0.1  # such tiles are not exact


def test_images_that_do_not_fit_together_are_run_one_by_one(network):
    forward, images = network.forward, [picture(40, 50), picture(40, 50)[::-1]]
    predictor = eager(network)
    alone = [predictor(image).mask for image in images]
    network.forward = lambda x: forward(x if len(x) == 1 else torch.empty(1 << 55))
    found = predictor.segment_prepared([predictor.prepare(image) for image in images])
    assert all(np.array_equal(one.mask, mask) for one, mask in zip(found, alone, strict=True))


def test_a_budget_that_was_named_is_not_mended_by_smaller_tiles(network):
    predictor = Predictor(greedy(network, 0), backend="eager", memory="4GB")
    with pytest.raises(MemoryShortageError, match="an image of 300x400 pixels does not fit in memory"):
        predictor(picture(300, 400))


def test_an_image_that_fits_in_no_tiles_is_an_error_that_names_it(network):
    labels = Labels(classes=("a", "b", "c"))

    class Data:
        def __init__(self):
            self.labels = labels

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Sample(picture(300, 400), np.zeros((300, 400), np.uint8), "slide7")

    with pytest.raises(MemoryShortageError, match=r"slide7: an image of 300x400 pixels .*can't allocate"):
        evaluate(greedy(network, 0), Data())


def test_what_no_tiles_make_fit_is_refused_before_it_begins(network, monkeypatch):
    monkeypatch.setattr(planner, "to_spare", lambda device=None: 1000)
    runs = []
    network.register_forward_hook(lambda *_: runs.append(1))
    predictor = eager(network)
    predictor.tiler.measured()
    runs.clear()
    with pytest.raises(MemoryShortageError, match="too large: memory of 1 kB is too little for 100x100"):
        predictor(picture(100, 100))
    assert not runs


def test_a_network_that_sees_all_is_run_as_a_whole_where_it_fits(network, monkeypatch):
    monkeypatch.setattr(planner, "SMALL", 1_000)
    told = []
    image = picture(96, 64)
    found = eager(pooled(network), told.append)(image)
    assert not told
    assert np.array_equal(found.mask, whole_of(network, image).mask)


def test_other_errors_are_not_taken_for_short_memory():
    class Odd(nn.Module):
        def forward(self, x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    odd = Odd()
    odd.segzoo_config = segzoo.create("unet", num_classes=2, width=4).segzoo_config
    with pytest.raises(RuntimeError, match="mat1"):
        eager(odd)(picture(32, 32))
