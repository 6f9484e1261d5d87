"""NEU-Seg's two parts, in which one name stands for two images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset


@pytest.fixture
def root(tmp_path):
    for part, value in (("training", 1), ("test", 3)):
        for number in range(40):
            for folder, suffix, pixel in (("images", "jpg", 60 * value), ("annotations", "png", value)):
                path = tmp_path / "NEU_Seg-main" / folder / part / f"{number:06}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((4, 4), pixel, np.uint8)).save(path)
    return tmp_path


def test_a_name_in_both_parts_keeps_its_own_image_and_mask(root):
    dataset = open_dataset("neu-seg", root=root, split="all")
    assert len(set(dataset.names)) == 80
    check_dataset("neu-seg", root=root)
    for sample in dataset:
        part = 1 if sample.name.startswith("training/") else 3
        assert (sample.mask == part).all()
        assert abs(int(sample.image[0, 0, 0]) - 60 * part) <= 2


def test_validation_is_taken_from_training_and_the_test_part_is_whole(root):
    train, val, test = (
        open_dataset("neu-seg", root=root, split=split).names for split in ("train", "val", "test")
    )
    assert len(train) + len(val) == len(test) == 40
    assert 0 < len(val) < 12
    assert not set(train) & set(val)


def test_a_part_without_masks_is_named(root):
    (root / "NEU_Seg-main/annotations/training/000000.png").unlink()
    with pytest.raises(FailureError, match=r"training/000000\.jpg"):
        open_dataset("neu-seg", root=root)


def test_neu_seg_is_recognised_by_numbered_images_of_its_size(root):
    assert "neu-seg" not in [one.name for one in recognise(root)]
    for path in root.rglob("*.jpg"):
        Image.new("L", (200, 200)).save(path)
    assert "neu-seg" in [one.name for one in recognise(root)]
