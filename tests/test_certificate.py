"""A file that leaves is run where it goes, and says what was measured; one that is wrong does not leave."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import segzoo
from segzoo.errors import FailureError, MissingExtraError, missing_extra
from segzoo.exporting.apart import ProgramApart
from segzoo.exporting.certificate import TIE
from segzoo.exporting.probing import Given, Reference, random_image
from segzoo.runtimes import Port


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=3, in_channels=4, width=4, depth=2).eval()


@pytest.fixture
def reference(small):
    return Reference(small, with_preprocessing=False)


def test_numbers_that_are_no_numbers_and_other_shapes_are_told(reference):
    given = Given(np.zeros((1, 4, 8, 8), np.float32), "random", seed=0)
    right = reference(given.images)
    assert reference.compare(given, right).trouble == ""
    assert "not finite" in reference.compare(given, right * np.nan).trouble
    assert reference.compare(given, right[..., 1:]).trouble == "the file gives 1x3x8x7, the model 1x3x8x8"


def test_another_class_where_two_nearly_tie_is_no_clear_one(reference, monkeypatch):
    logits = np.zeros((1, 3, 1, 4), np.float32)
    logits[0, 0], logits[0, 1, 0] = 1, (1 - TIE / 2, 1 - TIE * 2, 0, 0)
    monkeypatch.setattr(Reference, "__call__", lambda *_: logits)
    other = logits.copy()
    other[0, 1, 0, :2] = 1.1
    found = reference.compare(Given(np.zeros((1, 4, 1, 4), np.float32), "random"), other)
    assert (found.pixels, found.differing, found.clear) == (4, 2, 1)


def test_random_images_are_the_same_on_every_machine():
    assert random_image(0, 20, 33, 3).sum() == 265957
    assert random_image(1, 20, 33, 3).shape == (20, 33, 3)


class Crashing:
    """A runtime that ends its process on the second image."""

    info = None
    inputs = outputs = (Port(name="x", shape=(1, None), dtype="float32"),)
    description = "crashing"
    runs = 0

    def __call__(self, images):
        self.runs += 1
        if self.runs == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        print("what libraries print is no answer")
        return images + 1


def open_crashing(path):
    if path.name == "missing":
        raise missing_extra("this needs what is missing", "onnxruntime")
    return Crashing()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_runtime_that_crashes_ends_its_own_process_alone():
    here = f"{Path(__file__).stem}:open_crashing"
    with ProgramApart(Path("some.onnx"), here, threads=1) as program:
        assert program(np.ones((1, 2), np.float32)).tolist() == [[2, 2]]
        with pytest.raises(
            FailureError, match=r"some\.onnx: the process .* running it on 1x2 \(by SIGKILL\)"
        ):
            program(np.ones((1, 2), np.float32))
    with pytest.raises(MissingExtraError, match="pip install"):
        ProgramApart(Path("missing"), here, threads=1)
