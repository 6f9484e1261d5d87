"""ADE20K: 0 is void in the benchmark's masks, and the full archives say classes by colours and lists."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import chosen
from segzoo.testing import check_dataset

TOYS = Path(os.environ.get("SEGZOO_DATA", "nowhere")).parent / "formats/datumaro_toys"


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


@pytest.fixture
def scenes(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    for part, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        save(root / f"images/{part}/{name}.jpg", np.zeros((1, 3, 3)))
        save(root / f"annotations/{part}/{name}.png", [[0, 1, 150]])
    return root


def test_scene_parsing_has_void_at_0_and_names_of_its_list(scenes):
    rows = [f"{number}\t0.1\t5\t1\tthing {number}, other word" for number in range(1, 151)]
    rows[0] = "1\t0.1\t5\t1\tother word"
    (scenes / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]))
    dataset = open_dataset(str(scenes.parent), split="val")
    assert dataset[0].mask.tolist() == [[255, 0, 149]]
    assert dataset.labels.classes[:2] == ("other word", "thing 2")
    assert dataset.labels.background is None
    assert dataset.names == ["validation/ADE_val_00000001"]
    check_dataset("ade20k", root=scenes, split="all")


def test_without_the_list_classes_are_numbered_and_that_is_said(scenes):
    assert "without objectInfo150.txt, so without names" in chosen(str(scenes)).summary
    dataset = open_dataset(str(scenes))
    assert (len(dataset.labels.classes), dataset.labels.classes[149]) == (150, "class 150")
    with pytest.raises(
        OptionError, match=r"the split 'test' of .* is empty: annotations holds training, val"
    ):
        open_dataset(str(scenes), split="test")


def test_a_list_that_is_none_and_a_value_beyond_it_are_refused(scenes):
    save(scenes / "annotations/training/ADE_train_00000001.png", [[0, 1, 151]])
    with pytest.raises(MaskError, match="holds the values 151, which ADE20K's"):
        open_dataset(str(scenes))[0]
    (scenes / "objectInfo150.txt").write_text("wall\n")
    with pytest.raises(FailureError, match=r"objectInfo150\.txt is no list of classes"):
        open_dataset(str(scenes))


def test_plain_folders_of_these_names_are_not_taken_for_ade20k(tmp_path):
    save(tmp_path / "images/training/a.jpg", np.zeros((1, 3, 3)))
    save(tmp_path / "annotations/training/a.png", [[0, 1, 1]])
    assert chosen(str(tmp_path)).name == "folder"


def in_colours(numbers, blues):
    numbers, blues = np.asarray(numbers), np.asarray(blues)
    return np.stack([numbers // 256 * 10, numbers % 256, blues], axis=-1)


def full(root, rows, numbers=((0, 401, 1831),), blues=((0, 30, 200),)):
    save(root / "training/street/1.jpg", np.zeros((1, 3, 3)))
    save(root / "training/street/1_seg.png", in_colours(numbers, blues))
    save(root / "training/street/1_parts_1.png", np.zeros((1, 3, 3)))
    if isinstance(rows, str):
        (root / "training/street/1_atr.txt").write_text(rows)
    else:
        data = {"annotation": {"object": rows}}
        (root / "training/street/1.json").write_text(json.dumps(data), encoding="latin-1")


CAR, PERSON = "car, auto, automobile", "person, individual"
ROWS = f"001 # 0 # 0 # {CAR} # car # \n002 # 0 # 1 # {PERSON} # man # \n001 # 1 # 0 # wheel # wheel # \n"
OBJECTS = [
    {"name": PERSON, "name_ndx": 1831, "parts": {"part_level": 0}},
    {"name": CAR, "name_ndx": 401},
    {"name": "wheel", "name_ndx": 7, "parts": {"part_level": 1}},
]


@pytest.mark.parametrize(("rows", "year"), [(ROWS, 2017), (OBJECTS, 2020)])
def test_the_full_archives_say_classes_by_blue_or_by_number(tmp_path, rows, year):
    full(tmp_path / "images/ADE", rows)
    assert f"full archive of {year}" in chosen(str(tmp_path)).summary
    dataset = open_dataset(str(tmp_path))
    assert dataset.labels.classes == ("background", "car", "person")
    assert dataset[0].mask.tolist() == [[0, 1, 2]]
    some = open_dataset(str(tmp_path), classes=["person"])
    assert some[0].mask.tolist() == [[0, 0, 1]]
    with pytest.raises(OptionError, match="no class 'preson'; did you mean 'person'"):
        open_dataset(str(tmp_path), classes=["preson"])
    check_dataset("ade20k-full", root=tmp_path, split="all")


def test_an_object_that_the_list_does_not_have_and_a_missing_list_are_named(tmp_path):
    full(tmp_path, ROWS, blues=((1, 2, 3),))
    with pytest.raises(MaskError, match=r"holds the numbers 3, which .*1_atr\.txt does not list"):
        open_dataset(str(tmp_path))[0]
    (tmp_path / "training/street/1_atr.txt").unlink()
    with pytest.raises(MaskError, match=r"has neither 1_atr\.txt nor 1\.json beside it"):
        open_dataset("ade20k-full", root=tmp_path)


@pytest.mark.skipif(not TOYS.is_dir(), reason="needs shared formats")
@pytest.mark.parametrize(("year", "classes"), [(2017, ("person", "sky")), (2020, ("car", "person"))])
def test_datumaro_s_archives_are_read(year, classes):
    dataset = open_dataset(str(TOYS / f"ade20k{year}_dataset/dataset"), split="all")
    assert dataset.labels.classes == ("background", *classes)
    assert sorted(np.unique(dataset[0].mask).tolist()) == [0, 1, 2]
