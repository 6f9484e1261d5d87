"""Pascal VOC's lists, palettes and void, and what SBD adds."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo.specs import VOC_VOID
from segzoo.testing import check_dataset
from segzoo_voc.labels import VOC

VALUES = np.array([[0, 15, 255, 20]], np.uint8)
NAMES = [f"2007_{number:06}" for number in range(10)]


def write(folder, names, lists=None):
    for inner in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 1)).save(folder / f"JPEGImages/{name}.jpg")
        mask = Image.fromarray(VALUES)
        mask.putpalette([part for index in range(256) for part in (index, 0, 0)])
        mask.save(folder / f"SegmentationClass/{name}.png")
    for part, listed in (lists or {}).items():
        (folder / f"ImageSets/Segmentation/{part}.txt").write_text("\n".join(listed) + "\n")
    return folder


def test_the_palette_is_vocs():
    assert VOC.palette[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert VOC.palette[15] == (192, 128, 128)
    assert VOC.palette[20] == (0, 64, 128)
    assert VOC_VOID == (224, 224, 192)


@pytest.mark.parametrize("inner", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_lists_say_the_parts_and_255_counts_for_nothing(tmp_path, inner):
    write(tmp_path / inner, NAMES[:3], {"train": NAMES[:1], "val": NAMES[1:3]})
    assert open_dataset("voc", root=tmp_path).names == NAMES[:1]
    val = open_dataset("voc2012", root=tmp_path, split="val")
    assert val.names == NAMES[1:3]
    assert val[0].mask.tolist() == VALUES.tolist()
    assert val.labels.ignore_index == 255
    check_dataset("voc2012", root=tmp_path, split="val")


def test_masks_saved_in_colours_are_read(tmp_path):
    write(tmp_path, NAMES[:1], {"train": NAMES[:1]})
    colours = [[VOC.palette[0], VOC.palette[15], VOC_VOID, VOC.palette[20]]]
    Image.fromarray(np.array(colours, np.uint8)).save(tmp_path / f"SegmentationClass/{NAMES[0]}.png")
    assert open_dataset("voc", root=tmp_path)[0].mask.tolist() == VALUES.tolist()


def test_without_lists_nine_of_ten_train_as_the_script_draws_them(tmp_path):
    write(tmp_path, NAMES)
    parts = {
        split: open_dataset("voc", root=tmp_path, split=split).names for split in ("train", "val", "trainval")
    }
    random.seed(0)
    trainval = random.sample(range(10), 10)
    drawn = random.sample(trainval, 9)
    assert parts["train"] == [NAMES[index] for index in sorted(drawn)]
    assert sorted(parts["train"] + parts["val"]) == parts["trainval"] == NAMES


def test_a_list_or_an_image_that_is_missing_is_named(tmp_path):
    write(tmp_path, NAMES[:1], {"train": NAMES[:2]})
    with pytest.raises(FailureError, match=rf"2 files .*{NAMES[1]}\.jpg"):
        open_dataset("voc", root=tmp_path)
    with pytest.raises(FailureError, match=r"there is no .*val\.txt"):
        open_dataset("voc", root=tmp_path, split="val")
    with pytest.raises(OptionError, match="year"):
        open_dataset("voc", root=tmp_path, year=2010)


def test_2007_is_not_taken_for_2012_and_has_a_test_part(tmp_path):
    names = ["000032", "000068"]
    write(tmp_path / "VOCdevkit/VOC2007", names, {"test": names[1:]})
    assert open_dataset("voc2007", root=tmp_path, split="test").names == names[1:]
    with pytest.raises(FailureError, match="no voc2012 data"):
        open_dataset("voc2012", root=tmp_path)
    assert "test" not in zoo.datasets.get("voc2012").splits


def write_sbd(root, name, mask):
    (root / "img").mkdir(parents=True, exist_ok=True)
    (root / "cls").mkdir(exist_ok=True)
    Image.new("RGB", mask.shape[::-1]).save(root / f"img/{name}.jpg")
    savemat(root / f"cls/{name}.mat", {"GTcls": {"Segmentation": mask}})


def test_sbd_adds_to_the_training_part_what_is_not_in_the_validation(tmp_path):
    write(tmp_path / "VOC2012", NAMES[:2], {"train": NAMES[:1], "val": NAMES[1:2]})
    sbd = tmp_path / "benchmark_RELEASE/dataset"
    mask = np.array([[0, 3], [7, 255]], np.uint8)
    for name in ("2008_000001", *NAMES[:2]):
        write_sbd(sbd, name, mask)
    dataset = open_dataset("voc2012", root=tmp_path, split="trainaug")
    assert dataset.names == [NAMES[0], "2008_000001"]
    assert dataset[0].mask.shape == (1, 4)  # VOC's own mask, not SBD's
    assert dataset[1].mask.tolist() == mask.tolist()
    check_dataset(dataset)
    (sbd / "cls/2008_000001.mat").write_bytes(b"no matlab")
    with pytest.raises(MaskError, match=r"2008_000001\.mat"):
        dataset[1]


def test_a_folder_of_masks_made_of_sbd_serves_too(tmp_path):
    folder = write(tmp_path / "VOC2012", NAMES[:3], {"train": NAMES[:1], "val": NAMES[1:2]})
    with pytest.raises(FailureError, match="neither SegmentationClassAug nor SBD"):
        open_dataset("voc2012", root=tmp_path, split="trainaug")
    (folder / "SegmentationClass").rename(folder / "SegmentationClassAug")
    (folder / "SegmentationClass").mkdir()
    assert open_dataset("voc2012", root=tmp_path, split="trainaug").names == [NAMES[0], NAMES[2]]


@pytest.mark.parametrize("inner", ["", "VOC2012", "VOCdevkit/VOC2012", "VOCdevkit/VOC2007"])
def test_2012_is_recognised_by_the_names_of_its_images_wherever_it_lies(tmp_path, inner):
    write(tmp_path / "voc" / inner, NAMES, {"train": NAMES[:7], "val": NAMES[7:]})
    (reading,) = (one for one in recognise(tmp_path / "voc") if one.name == "voc2012")
    assert reading.root == tmp_path / "voc" / inner
    assert open_dataset("voc2012", root=reading.root, split="val").names == NAMES[7:]


@pytest.mark.medium
def test_the_whole_of_2012_is_nobody_s_own(tmp_path):
    write(tmp_path, ["2007_000032"], {"train": ["2007_000032"], "val": ["2008_000001"]})
    for number in range(1000):
        (tmp_path / f"SegmentationClass/2008_{number:06}.png").touch()
    assert [one.name for one in recognise(tmp_path) if one.name != "folder"] == ["voc2012"]


def test_what_may_be_2012_or_somebody_s_own_masks_is_named_and_not_guessed(tmp_path):
    write(tmp_path / "voc", NAMES, {"train": NAMES[:7], "val": NAMES[7:]})
    with pytest.raises(OptionError, match=r"--data voc-masks .*\n.*--data voc2012 "):
        open_dataset(str(tmp_path / "voc"))


def test_2007_has_gaps_between_its_numbers_and_a_person_s_images_have_none(tmp_path):
    write(tmp_path / "real", ["000032", "000063", "009950"], {"train": ["000032"], "val": ["000063"]})
    assert "voc2007" in [one.name for one in recognise(tmp_path / "real")]
    own = [f"{number:06}" for number in range(1, 9)]
    write(tmp_path / "own/VOCdevkit/VOC2007", own, {"train": own[:6], "val": own[6:]})
    assert "voc2007" not in [one.name for one in recognise(tmp_path / "own")]


def test_other_lists_or_a_label_map_are_data_of_one_s_own(tmp_path):
    write(tmp_path / "a", NAMES, {"train": NAMES[:7], "test": NAMES[7:]})
    write(tmp_path / "b", NAMES, {"train": NAMES[:7]})
    (tmp_path / "b/labelmap.txt").write_text("background:0,0,0::\ncat:128,0,0::\n")
    for folder in ("a", "b"):
        assert "voc2012" not in [one.name for one in recognise(tmp_path / folder)]
