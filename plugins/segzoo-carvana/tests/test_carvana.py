"""Carvana's folders, as Kaggle and as other programs call them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset


def write_car(root, images, masks, name):
    for folder in (images, masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10)).save(root / images / f"{name}.jpg")
    mask = Image.fromarray(np.eye(10, 20).astype(np.uint8))
    mask.putpalette([0, 0, 0, 255, 255, 255])
    mask.save(root / masks / f"{name}_mask.gif")


@pytest.mark.parametrize(
    ("images", "masks"), [("train_hq", "train_masks"), ("train", "train_masks"), ("imgs", "masks")]
)
def test_photographs_are_paired_with_gif_masks(tmp_path, images, masks):
    write_car(tmp_path / "unpacked", images, masks, "0cdf5b5d0ce1_01")
    (sample,) = open_dataset("carvana", root=tmp_path, split="all")
    assert sample.image.shape == (10, 20, 3)
    assert np.array_equal(sample.mask, np.eye(10, 20))
    (half,) = open_dataset("carvana", root=tmp_path, split="all", scale=0.5)
    assert (half.image.shape, half.mask.shape) == ((5, 10, 3), (5, 10))
    check_dataset("carvana", root=tmp_path, split="all")


def test_all_views_of_a_car_are_in_one_part(tmp_path):
    for car in range(40):
        for view in (1, 2):
            write_car(tmp_path, "imgs", "masks", f"{car:012x}_{view:02}")
    parts = [open_dataset("carvana", root=tmp_path, split=split).names for split in ("train", "val", "test")]
    cars = [{name.split("_")[0] for name in part} for part in parts]
    assert sum(map(len, parts)) == 80
    assert sum(map(len, cars)) == 40


def test_a_photograph_without_a_mask_is_named(tmp_path):
    write_car(tmp_path, "imgs", "masks", "a_01")
    (tmp_path / "masks/a_01_mask.gif").unlink()
    with pytest.raises(FailureError, match=r"a_01\.jpg"):
        open_dataset("carvana", root=tmp_path, split="all")


def test_carvana_is_recognised_by_its_cars_and_other_photographs_are_not(tmp_path):
    write_car(tmp_path / "cars", "imgs", "masks", "0cdf5b5d0ce1_01")
    write_car(tmp_path / "other", "imgs", "masks", "my car_01")
    assert "carvana" in [one.name for one in recognise(tmp_path / "cars")]
    assert "carvana" not in [one.name for one in recognise(tmp_path / "other")]
