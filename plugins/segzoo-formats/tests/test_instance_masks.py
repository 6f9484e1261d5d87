"""Masks called by image, class and number are the objects of that image."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError
from segzoo.recognition import chosen, recognise
from segzoo.testing import check_dataset

SHAPES = Path(os.environ.get("SEGZOO_DATA", "nowhere")).parent / "formats/pycococreator_shapes"


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def block(rows, columns, size=(6, 8)):
    mask = np.zeros(size, np.uint8)
    mask[rows, columns] = 255
    return mask


@pytest.fixture
def root(tmp_path):
    for name in ("img", "img_b", "empty"):
        save(tmp_path / "images" / f"{name}.jpg", np.zeros((6, 8, 3)))
    save(tmp_path / "annotations/img_traffic_light_0.png", block(slice(0, 3), slice(0, 4)))
    save(tmp_path / "annotations/img_car_1.png", block(slice(2, 5), slice(0, 4)))
    save(tmp_path / "annotations/img_car_10.png", block(slice(4, 5), slice(0, 4)))
    save(tmp_path / "annotations/img_b_car_0.png", block(slice(0, 6), slice(7, 8)))
    return tmp_path


def test_each_file_is_an_object_and_higher_numbers_lie_on_top(root):
    reading = chosen(str(root))
    assert (reading.name, reading.summary) == (
        "instance-masks",
        "a mask file for each object, IMAGE_CLASS_NUMBER.png in annotations",
    )
    dataset = open_dataset(str(root), split="all")
    assert dataset.labels.classes == ("background", "car", "traffic_light")
    first = dataset[dataset.names.index("images/img")]
    assert first.mask[:, 0].tolist() == [2, 2, 1, 1, 1, 0]
    assert first.instances[:, 0].tolist() == [1, 1, 2, 2, 3, 0]
    assert dataset[dataset.names.index("images/img_b")].mask[0].tolist() == [0] * 7 + [1]
    assert [(one.kind, one.examples) for one in dataset.remarks] == [("no-objects", ("images/empty",))]
    check_dataset("instance-masks", root=root, split="all")


def test_classes_may_overlap_and_folders_may_be_parts(root):
    for part in ("train", "val"):
        for folder in ("images", "annotations"):
            for path in (root / folder).iterdir():
                save(root / part / folder / path.name, np.asarray(Image.open(path)))
    for folder in ("images", "annotations"):
        for path in (root / folder).iterdir():
            path.unlink()
        (root / folder).rmdir()
    dataset = open_dataset(str(root), split="val", overlapping=True)
    assert sorted(dataset.names) == ["val/images/empty", "val/images/img", "val/images/img_b"]
    assert dataset[dataset.names.index("val/images/img")].mask[:, 2, 0].tolist() == [1, 1]


def test_masks_of_no_image_and_of_another_size_are_named(root):
    save(root / "annotations/img_car_2.png", block(slice(0, 1), slice(0, 1), (3, 3)))
    dataset = open_dataset("instance-masks", root=root, split="all")
    with pytest.raises(MaskError, match=r"img_car_2\.png is \(3, 3\), and its image .*img\.jpg is \(6, 8\)"):
        dataset[dataset.names.index("images/img")]
    save(root / "annotations/other_car_2.png", block(slice(0, 1), slice(0, 1)))
    assert recognise(root) == []
    with pytest.raises(FailureError, match=r"1 files have no image: .*annotations/other_car_2\.png"):
        open_dataset("instance-masks", root=root)


def test_a_mask_for_each_image_is_none_of_an_object(tmp_path):
    for number in range(4):
        save(tmp_path / f"images/a{number}.jpg", np.zeros((6, 8, 3)))
        save(tmp_path / f"masks/a{number}_mask_{number}.png", block(slice(0, 3), slice(0, 4)))
    assert "instance-masks" not in [one.name for one in recognise(tmp_path)]


@pytest.mark.skipif(not SHAPES.is_dir(), reason="needs shared formats")
def test_pycococreator_s_shapes_are_read():
    dataset = open_dataset(str(SHAPES), split="all")
    assert dataset.labels.classes == ("background", "circle", "square")
    assert [len(np.unique(sample.instances)) - 1 for sample in dataset] == [1, 4]
    for index, number in enumerate((1000, 1001)):
        files = SHAPES.glob(f"annotations/{number}_*.png")
        every = [np.asarray(Image.open(path).convert("L")) > 0 for path in files]
        np.testing.assert_array_equal(dataset[index].mask > 0, np.any(every, axis=0))
