"""The layout keeps segzoo's contract, and a converted checkpoint computes the same as before."""

import pytest
import torch

import segzoo
from segzoo.errors import WeightsError
from segzoo.testing import check_layout

THEIRS = {"encoder": "backbone", "decoder": "neck", "head": "classifier"}


@pytest.fixture
def model():
    return segzoo.create("unet", num_classes=3, in_channels=1, width=4, depth=3).eval()


@pytest.fixture
def checkpoint(model, tmp_path):
    """Return a checkpoint in the program's format."""
    parts = {name: name.partition(".") for name in model.state_dict()}
    names = {name: f"{THEIRS[part]}.{rest}" for name, (part, _, rest) in parts.items()}
    torch.save({names[name]: tensor for name, tensor in model.state_dict().items()}, tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


def test_the_layout_keeps_its_contract():
    check_layout("template")


def test_a_converted_checkpoint_computes_what_it_computed_before(model, checkpoint, tmp_path):
    converted = segzoo.load(segzoo.convert(checkpoint, tmp_path / "ours"))
    images = torch.rand(1, 1, 20, 30)
    assert torch.equal(converted(images), model(images))


def test_a_tensor_too_many_is_named(checkpoint, tmp_path):
    torch.save({**torch.load(checkpoint), "classifier.scale": torch.ones(1)}, checkpoint)
    with pytest.raises(WeightsError, match=r"classifier\.scale"):
        segzoo.convert(checkpoint, tmp_path / "ours")
