"""A step divides its batch where memory is short, and says so; nothing else about it changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segzoo.build import make_loss
from segzoo.errors import FailureError
from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.prediction.shortage import is_short_of_memory
from segzoo.training.data.loader import Batch
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.step import TrainStep
from segzoo.training.optim.freezing import Freezing


class Greedy(nn.Module):
    """Asks for more memory than any machine has where it is given more than ``fits`` images."""

    def __init__(self, fits):
        super().__init__()
        self.head, self.fits, self.seen = nn.Conv2d(3, 1, 1), fits, []

    def forward(self, images):
        if len(images) > self.fits:
            torch.empty(2**50)
        self.seen.append(len(images))
        return [self.head(images)]


def stepper(fits, told):
    torch.manual_seed(0)
    accelerator = make_accelerator("cpu", "no", out="runs")
    model = Greedy(fits)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    prepared = accelerator.prepare(optimizer)
    loss = DeepSupervision(make_loss("ce"))
    freezing = Freezing(model, 0)
    return model, TrainStep(
        model, prepared, loss, accelerator, freezing=freezing, clip=1.0, on_message=told.append
    )


def batch(images):
    random = torch.Generator().manual_seed(1)
    pixels = torch.randn(images, 3, 8, 8, generator=random)
    masks = torch.randint(0, 2, (images, 8, 8), generator=random, dtype=torch.uint8)
    return Batch(pixels, masks, torch.arange(images))


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_stays_so():
    told = []
    model, steps = stepper(2, told)
    steps.step(batch(8))
    assert model.seen == [2, 2, 2, 2]
    assert steps.accumulate == 4
    assert "every batch of 8 is now processed in 2 parts" in told[0]
    assert "every batch of 8 is now processed in 4 parts" in told[1]
    steps.step(batch(8))
    assert model.seen == [2] * 8
    assert len(told) == 2


@pytest.mark.slow
def test_parts_give_the_step_of_the_whole_even_where_they_are_not_equal():
    results = []
    for fits in (7, 4):
        model, steps = stepper(fits, [])
        found = steps.step(batch(7))
        results.append((found.loss, model.head.weight.detach().clone()))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-6)


@pytest.mark.slow
def test_an_image_that_does_not_fit_alone_is_an_error_that_says_what_helps():
    _, steps = stepper(0, [])
    with pytest.raises(FailureError, match=r"not even one image fits into memory.*crop.size smaller"):
        steps.step(batch(4))


def test_other_errors_are_not_taken_for_short_memory():
    assert is_short_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_short_of_memory(MemoryError())
    assert not is_short_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_short_of_memory(ValueError("out of memory"))


def test_the_clock_counts_the_parts_of_a_step_only_while_it_runs():
    _, steps = stepper(8, [])
    steps.step(batch(2))
    assert steps.clock.seconds == {}
    steps.clock.runs = True
    steps.step(batch(2))
    assert set(steps.clock.seconds) == {"forward", "backward", "optimizer"}
    assert all(seconds > 0 for seconds in steps.clock.seconds.values())
