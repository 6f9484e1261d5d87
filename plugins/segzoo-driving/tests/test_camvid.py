"""CamVid in SegNet's form: 11 classes, and an eleventh value that counts for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset


@pytest.fixture
def root(tmp_path):
    for part in ("train", "val", "test"):
        for folder, array in ((part, np.zeros((1, 12, 3))), (f"{part}annot", np.arange(12)[None])):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / f"CamVid/{folder}/0001TP_006690.png")
    return tmp_path


def test_void_is_the_ignored_index_and_parts_are_folders(root):
    dataset = open_dataset("camvid", root=root, split="val")
    assert dataset.names == ["val/0001TP_006690"]
    assert dataset[0].mask[0].tolist() == list(range(12))
    assert (len(dataset.labels.classes), dataset.labels.ignore_index) == (11, 11)
    assert len(open_dataset("camvid", root=root, split="all")) == 3
    check_dataset("camvid", root=root, split="all")


def test_a_class_beyond_void_is_an_error(root):
    Image.fromarray(np.full((1, 12), 12, np.uint8)).save(root / "CamVid/valannot/0001TP_006690.png")
    with pytest.raises(MaskError, match="holds the values 12"):
        open_dataset("camvid", root=root, split="val")[0]


def test_a_part_without_masks_is_named(root):
    (root / "CamVid/testannot/0001TP_006690.png").unlink()
    (root / "CamVid/testannot").rmdir()
    with pytest.raises(FailureError, match=r"no folder .*testannot"):
        open_dataset("camvid", root=root, split="test")


def test_camvid_is_recognised_by_the_names_of_its_films(root):
    assert "camvid" in [one.name for one in recognise(root)]
    for path in root.rglob("*.png"):
        path.rename(path.with_name("street.png"))
    assert "camvid" not in [one.name for one in recognise(root)]
