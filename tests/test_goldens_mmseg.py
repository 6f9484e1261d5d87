"""Checkpoints of MMSegmentation compute, converted, the logits that it computed."""

from __future__ import annotations

import pytest
import torch
from goldens.libraries import FOLDER, LibraryGolden, names

import segzoo

#: What takes less than a second.
FAST = ("mmseg_pspnet_r50d8",)
GOLDENS = [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in names("mmseg_")]


def converted(golden, folder, **meta):
    return segzoo.load(segzoo.convert(golden.write(folder, **meta), folder / "converted"))


@pytest.mark.parametrize("name", GOLDENS)
def test_a_checkpoint_of_mmsegmentation_computes_its_logits(name, tmp_path):
    golden = LibraryGolden(name)
    model = converted(golden, tmp_path)
    with torch.no_grad():
        assert golden.error(model(golden.images)) <= golden.tolerance


@pytest.mark.medium
def test_images_classes_and_colours_are_those_of_the_checkpoint(tmp_path):
    config = converted(LibraryGolden("mmseg_pspnet_r50d8"), tmp_path).segzoo_config
    assert config.preprocessing.channels == "rgb"
    assert config.preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert config.preprocessing.std == pytest.approx((0.229, 0.224, 0.225))
    assert config.labels.classes == tuple(f"class_{index}" for index in range(7))
    assert config.labels.palette[1] == (37, 91, 53)
    assert config.labels.background is None


def test_a_file_that_mmengine_wrote_is_read_with_nothing_of_it_installed(tmp_path):
    model = segzoo.load(segzoo.convert(FOLDER / "mmseg_container_unet.pth", tmp_path / "converted"))
    golden = LibraryGolden("mmseg_container_unet")
    with torch.no_grad():
        assert golden.error(model(golden.images)) <= 1e-5
    assert model.segzoo_config.labels.classes == ("background", "vessel")
    assert model.segzoo_config.labels.palette == ((120, 120, 120), (6, 230, 230))
    assert model.segzoo_config.labels.background == 0


@pytest.mark.medium
def test_windows_of_the_program_are_those_of_its_slide_mode(tmp_path):
    """What segzoo computes for each window, averaged as the program does, is what the program computes."""
    golden = LibraryGolden("mmseg_unet_s5d16")
    model = converted(golden, tmp_path)
    images, crop, stride = golden.images, 64, 42
    height, width = images.shape[2:]
    total, counts = torch.zeros(1, 2, height, width), torch.zeros(1, 1, height, width)
    for top in (*range(0, height - crop, stride), height - crop):
        for left in (*range(0, width - crop, stride), width - crop):
            window = (..., slice(top, top + crop), slice(left, left + crop))
            with torch.no_grad():
                total[window] += model(images[window])
            counts[window] += 1
    assert golden.error(total / counts, "slide_logits") <= golden.tolerance
