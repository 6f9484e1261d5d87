"""Masks that number objects give classes to train on, and objects to score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import FailureError, MaskError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = np.array([[0, 0, 7, 7], [0, 300, 300, 7], [2, 2, 0, 0]])


def folder(root: Path, *masks: np.ndarray) -> Path:
    """Write images and masks, as .npy where PNG does not hold the kind of number."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(masks):
        Image.new("RGB", mask.shape[1::-1]).save(root / "images" / f"{number}.png")
        if mask.dtype in (np.uint8, np.uint16):
            Image.fromarray(mask).save(root / "masks" / f"{number}.png")
        else:
            np.save(root / "masks" / f"{number}.npy", mask)
    return root


@pytest.mark.parametrize("kind", ["u2", "i2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_any_whole_number_of_any_type_is_an_object_of_the_one_class(tmp_path: Path, kind: str) -> None:
    sample = FolderDataset(folder(tmp_path, NUMBERS.astype(kind)), "all", instances=True)[0]
    assert sample.mask.dtype == np.uint8
    np.testing.assert_array_equal(sample.mask, NUMBERS > 0)
    assert sample.instances is not None
    assert sample.instances.dtype == np.uint16
    np.testing.assert_array_equal(sample.instances, NUMBERS)


def test_large_numbers_take_32_bits_and_larger_ones_are_given_anew(tmp_path: Path) -> None:
    large, huge = NUMBERS * 1000, NUMBERS.astype(np.int64) << 40
    first, second = FolderDataset(folder(tmp_path, large, huge), "all", instances=True)
    assert first.instances is not None
    assert second.instances is not None
    assert first.instances.dtype == np.int32
    np.testing.assert_array_equal(first.instances, large)
    np.testing.assert_array_equal(second.instances, np.searchsorted([0, 2, 7, 300], NUMBERS))


def test_colours_number_objects_as_coco_counts_them(tmp_path: Path) -> None:
    colours = np.zeros((*NUMBERS.shape, 3), np.uint8)
    colours[NUMBERS == 7] = (7, 0, 0)
    colours[NUMBERS == 300] = (300 % 256, 300 // 256, 0)
    colours[NUMBERS == 2] = (0, 0, 1)
    sample = FolderDataset(folder(tmp_path, colours), "all", instances=True)[0]
    assert sample.instances is not None
    np.testing.assert_array_equal(np.unique(sample.instances), [0, 7, 300, 65536])
    void = FolderDataset(tmp_path, "all", instances=True, ignore_index=255, ignore_colour=[0, 0, 1])[0]
    np.testing.assert_array_equal(void.mask == 255, NUMBERS == 2)


def test_a_mapping_says_which_numbers_are_which_class_and_the_last_that_fits_counts(tmp_path: Path) -> None:
    data = folder(tmp_path, NUMBERS)
    table = {"1-99": "cell", "100-999": "debris", "7": "ignore"}
    dataset = FolderDataset(data, "all", instances=table, ignore_index=255)
    assert dataset.labels.classes == ("background", "cell", "debris")
    np.testing.assert_array_equal(dataset[0].mask, [[0, 0, 255, 255], [0, 2, 2, 255], [1, 1, 0, 0]])
    np.testing.assert_array_equal(dataset[0].instances, np.where(NUMBERS == 7, 0, NUMBERS))
    by_index = FolderDataset(data, "all", instances={"1 to 299": 2, "300": 1}, classes=3)
    np.testing.assert_array_equal(by_index[0].mask, np.select([NUMBERS == 300, NUMBERS > 0], [1, 2]))


def test_a_csv_file_says_it_for_all_images_or_for_each(tmp_path: Path) -> None:
    data = folder(tmp_path, NUMBERS, NUMBERS)
    (data / "objects.csv").write_text(
        "Image; Label; Class\n;1-999; cell\n1.png;7;debris\n", encoding="utf-8-sig"
    )
    dataset = FolderDataset(data, "all", instances="objects.csv")
    assert dataset.labels.classes == ("background", "cell", "debris")
    np.testing.assert_array_equal(dataset[0].mask, NUMBERS > 0)
    np.testing.assert_array_equal(dataset[1].mask, np.select([NUMBERS == 7, NUMBERS > 0], [2, 1]))
    assert dataset.table == data / "objects.csv"


def test_street_scenes_number_objects_behind_their_class(tmp_path: Path) -> None:
    data = folder(tmp_path, np.array([[7, 7, 24001], [24000, 26003, 26003]], np.int32))
    table = {"0": "ignore", "7": "road", "24000-24999": "person", "26000-26999": "car"}
    sample = FolderDataset(data, "all", instances=table, classes="road,person,car", ignore_index=255)[0]
    np.testing.assert_array_equal(sample.mask, [[0, 0, 1], [1, 2, 2]])


def test_what_is_ignored_keeps_its_number_in_files_and_negative_numbers_are_ignored(tmp_path: Path) -> None:
    data = folder(tmp_path, np.array([[0, 1, 255], [-1, 2, 2]]))
    sample = FolderDataset(data, "all", instances=True, ignore_index=255)[0]
    np.testing.assert_array_equal(sample.mask, [[0, 1, 255], [255, 1, 1]])
    np.testing.assert_array_equal(sample.instances, [[0, 1, 0], [0, 2, 2]])
    table = {"1-255": "cell"}
    sample = FolderDataset(data, "all", instances=table, ignore_index=255)[0]
    np.testing.assert_array_equal(sample.instances, [[0, 1, 255], [0, 2, 2]])


def test_objects_are_scaled_with_the_image_and_kept_in_memory_and_on_disk(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", np.kron(NUMBERS, np.ones((4, 4), int)))
    told = {"split": "all", "instances": True, "scale": 0.5}
    for cache in (False, True, tmp_path / "cache", tmp_path / "cache"):
        sample = open_dataset(str(data), cache=cache, **told)[0]
        np.testing.assert_array_equal(sample.instances, np.kron(NUMBERS, np.ones((2, 2), int)))


def test_a_changed_table_brings_back_no_sample_of_the_old_one(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", NUMBERS)
    table = tmp_path / "table.csv"
    for word, wanted in (("cell", 1), ("background", 0)):
        table.write_text(f"number,class\n0-9,background\n1-300,{word}\n")
        told = {"instances": str(table), "classes": "background,cell", "cache": tmp_path / "cache"}
        assert open_dataset(str(data), split="all", **told)[0].mask.max() == wanted


@pytest.mark.parametrize(
    ("mask", "options", "error", "told"),
    [
        (NUMBERS + 0.5, {}, MaskError, "integers"),
        (np.where(NUMBERS == 7, np.nan, NUMBERS), {}, MaskError, "integers"),
        (NUMBERS - 1, {}, MaskError, "objects are numbered from 1"),
        (NUMBERS + 255, {"ignore_index": 255}, MaskError, "it is not clear"),
        (NUMBERS, {"instances": {"1-9": "cell"}}, MaskError, "holds the numbers 300, which have no class"),
        (NUMBERS, {"instances": {"x": "cell"}}, OptionError, "neither a number nor a range"),
        (NUMBERS, {"instances": {"9-1": "cell"}}, OptionError, "ends before it begins"),
        (NUMBERS, {"instances": {"1": "ignore"}}, OptionError, "needs an ignore_index"),
        (NUMBERS, {"instances": {"1": True}}, OptionError, "the class must be"),
        (NUMBERS, {"instances": {"1-9": "cell"}, "classes": "a,b"}, OptionError, "no class 'cell'"),
        (NUMBERS, {"instances": {}}, OptionError, "instances must be true, a table"),
        (NUMBERS, {"instances": 1}, OptionError, "instances must be true, a table"),
        (NUMBERS, {"classes": 3}, OptionError, "the class of each number"),
        (NUMBERS, {"values": [0, 7]}, OptionError, "instances and values exclude each other"),
        (NUMBERS, {"per_class": True}, OptionError, "instances and per_class exclude each other"),
        (NUMBERS, {"instances": "none.csv"}, FailureError, "none.csv cannot be read"),
        (NUMBERS, {"instances": "bad.csv"}, FailureError, "must name the columns number and class"),
        (NUMBERS, {"instances": "empty.csv"}, FailureError, "must name the columns number and class"),
        (NUMBERS, {"instances": "line.csv"}, OptionError, "line.csv, line 3: ''"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    tmp_path: Path, mask: np.ndarray, options: dict, error: type[Exception], told: str
) -> None:
    data = folder(tmp_path, mask)
    (data / "bad.csv").write_text("a,b\n1,2\n")
    (data / "empty.csv").write_text("")
    (data / "line.csv").write_text("number,class\n1,cell\n,cell\n")
    with pytest.raises(error, match=told):
        FolderDataset(data, "all", **{"instances": True, **options})[0]
