"""DRIVE's fields of view and observers, and ISBI's folds."""

from __future__ import annotations

import os
from collections import deque

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

needs_data = pytest.mark.skipif(
    "SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA names no folder of datasets"
)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def drive(tmp_path):
    """Eyes of 4x6 that are seen on the left half; observer 2 draws the columns that observer 1 does not."""
    vessels = np.tile([0, 255], (4, 3))
    view = np.tile([255] * 3 + [0] * 3, (4, 1))
    for part, numbers in (("training", range(21, 41)), ("test", range(1, 3))):
        for number in numbers:
            folder, stem = tmp_path / "DRIVE" / part, f"{number:02}_{part}"
            save(folder / f"images/{stem}.tif", np.full((4, 6, 3), number))
            save(folder / f"1st_manual/{number:02}_manual1.png", vessels)
            save(folder / f"2nd_manual/{number:02}_manual2.png", 255 - vessels)
            save(folder / f"mask/{stem}_mask.png", view)
    return tmp_path


def test_outside_the_field_of_view_nothing_counts(drive):
    dataset = open_dataset("drive", root=drive, split="test")
    sample = dataset[0]
    assert sample.mask[0].tolist() == [0, 1, 0, 255, 255, 255]
    assert sample.field_of_view[0].tolist() == [True] * 3 + [False] * 3
    assert dataset.labels.ignore_index == 255
    check_dataset(dataset)


def test_the_second_observer_is_another_truth_of_the_test_part_alone(drive):
    second = open_dataset("drive", root=drive, split="test", observer=2)
    assert second[0].mask[0, :3].tolist() == [1, 0, 1]
    with pytest.raises(OptionError, match="observer must be 1, or 2 with split='test'"):
        open_dataset("drive", root=drive, split="train", observer=2)


def test_four_of_twenty_training_images_validate(drive):
    assert [len(open_dataset("drive", root=drive, split=split)) for split in ("train", "val", "all")] == [
        16,
        4,
        22,
    ]
    assert open_dataset("drive", root=drive, split="val").names[0] == "25_training"


def test_a_drawing_that_the_archive_lacks_is_named(drive):
    (drive / "DRIVE/test/1st_manual/01_manual1.png").unlink()
    with pytest.raises(FailureError, match=r"no .*01_manual1\.gif.*leaves out"):
        open_dataset("drive", root=drive, split="test")


@pytest.fixture
def isbi(tmp_path):
    for name, pages in (("volume", np.arange(30)), ("labels", np.arange(30) % 2 * 255)):
        first, *others = (Image.fromarray(np.full((2, 3), page, np.uint8)) for page in pages)
        first.save(tmp_path / f"train-{name}.tif", save_all=True, append_images=others)
    return tmp_path


def pages(root, split, **options):
    return [
        int(sample.image[0, 0, 0]) for sample in open_dataset("isbi2012", root=root, split=split, **options)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fold", range(5))
def test_contiguous_folds_are_blocks_of_six_slices(isbi, fold):
    test, val, train = (pages(isbi, split, fold=fold) for split in ("test", "val", "train"))
    assert test == list(range(6 * fold, 6 * fold + 6))
    assert val[0] == 6 * ((fold + 1) % 5)
    assert sorted(test + val + train) == list(range(30))


@pytest.mark.slow
@pytest.mark.parametrize("fold", range(5))
def test_shuffled_folds_are_those_of_the_program(isbi, fold):
    order = np.arange(30)
    np.random.RandomState(0).shuffle(order)
    turned = deque(order.tolist())
    turned.rotate(6 * fold)
    found = {split: pages(isbi, split, fold=fold, folds="shuffled") for split in ("train", "val", "test")}
    assert found["train"] == list(turned)[:24]
    assert found["val"] == found["test"] == list(turned)[24:]


@pytest.mark.slow
def test_masks_belong_to_their_slices_and_folds_must_exist(isbi):
    for sample in open_dataset("isbi2012", root=isbi, split="all"):
        assert (sample.mask == sample.image[0, 0, 0] % 2).all()
    check_dataset("isbi2012", root=isbi)
    with pytest.raises(OptionError, match="0 to 4"):
        open_dataset("isbi2012", root=isbi, fold=5)
    with pytest.raises(OptionError, match="contiguous or shuffled"):
        open_dataset("isbi2012", root=isbi, folds="random")


@pytest.mark.slow
@needs_data
def test_the_real_membranes_are_22_percent():
    samples = list(open_dataset("isbi2012", split="all"))
    assert len(samples) == 30
    assert {sample.image.shape for sample in samples} == {(512, 512, 1)}
    assert np.mean([sample.mask == 0 for sample in samples]) == pytest.approx(0.22, abs=0.01)


def test_drive_is_recognised_by_its_folders_and_fields_of_view_are_no_masks(drive):
    assert "drive" in [one.name for one in recognise(drive)]
    for part in ("training", "test"):
        (drive / "DRIVE" / part / "1st_manual").rename(drive / "DRIVE" / part / "vessels")
    assert "drive" not in [one.name for one in recognise(drive)]


def test_isbi_is_recognised_by_its_two_stacks(tmp_path):
    for name in ("train-volume.tif", "train-labels.tif"):
        save(tmp_path / "isbi" / name, np.zeros((4, 4)))
    assert [one.name for one in recognise(tmp_path)] == ["isbi2012"]
    (tmp_path / "isbi/README.md").write_text("a file beside them is not the data")
    assert recognise(tmp_path / "isbi/README.md") == []
