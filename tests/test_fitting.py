"""Before several processes train each tries a step, and all take the parts that the smallest needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from segzoo.build import make_loss
from segzoo.errors import FailureError
from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.training.fitting import fit_memory
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.step import TrainStep
from segzoo.training.optim.freezing import Freezing

#: What two processes run; the second has the memory for one image, the first for four.
PROGRAM = """
import os
import torch
from torch import nn
from tests.test_fitting import stepper
from segzoo.training.fitting import fit_memory
told = []
steps = stepper(4, told, prepare=True, fewer=True)
fit_memory(steps, (4, 3, 8, 8))
steps.model(torch.zeros(1, 3, 8, 8))[0].sum().backward()
os.write(1, (" ".join(["parts", str(steps.accumulate), *told]) + "\\n").encode())  # at once: two share it
"""


class Greedy(nn.Module):
    """Asks for more memory than any machine has where it is given more than ``fits`` images."""

    def __init__(self, fits):
        super().__init__()
        self.fits, self.body = fits, nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 1, 1))

    def forward(self, images):
        if len(images) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return [self.body(images)]


def stepper(fits, told, *, prepare=False, fewer=False):
    accelerator = make_accelerator("cpu", "no", out="runs")
    model = Greedy(1 if fewer and accelerator.process_index == 1 else fits).train()
    optimizer = accelerator.prepare(torch.optim.SGD(model.parameters(), 0.1))
    called = accelerator.prepare_model(model) if prepare else model
    loss, freezing = DeepSupervision(make_loss("ce")), Freezing(model, 0)
    return TrainStep(
        called, optimizer, loss, accelerator, freezing=freezing, clip=1.0, on_message=told.append
    )


@pytest.mark.slow
def test_trying_a_step_finds_its_parts_and_changes_nothing():
    told = []
    steps = stepper(3, told)
    before = {key: value.clone() for key, value in steps.model.state_dict().items()}
    torch.manual_seed(0)
    fit_memory(steps, (8, 3, 8, 8))
    drawn = torch.rand(3)
    assert steps.accumulate == 4
    assert len(told) == 1
    assert "every process takes its 8 images of a batch in 4 parts" in told[0]
    assert all(torch.equal(before[key], value) for key, value in steps.model.state_dict().items())
    assert all(one.grad is None for one in steps.model.parameters())
    assert all(module.training for module in steps.model.modules())
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.slow
def test_what_fits_is_not_spoken_of():
    told = []
    steps = stepper(8, told)
    fit_memory(steps, (8, 3, 8, 8))
    assert (steps.accumulate, told) == (1, [])


@pytest.mark.slow
def test_a_single_image_that_does_not_fit_is_an_error_that_says_what_helps():
    with pytest.raises(FailureError, match=r"not even one image.*20.00 GiB.*crop.size smaller"):
        fit_memory(stepper(0, []), (4, 3, 8, 8))


@pytest.mark.slow
def test_two_processes_take_the_parts_that_the_smaller_needs(tmp_path, request):
    program = tmp_path / "program.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(request.config.rootpath)!r})\n{PROGRAM}")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("parts 4 memory is short") == 2
