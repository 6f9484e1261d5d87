"""Cityscapes, KITTI and Mapillary Vistas: the numbers in masks become the classes that are trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import chosen, recognise
from segzoo.testing import check_dataset

TOYS = Path(os.environ.get("SEGZOO_DATA", "nowhere")).parent / "formats/datumaro_toys"
needs_toys = pytest.mark.skipif(not TOYS.is_dir(), reason="needs shared formats")


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)


def frame(root, part, name, values, kind="labelIds", masks="gtFine"):
    city = name.split("_")[0]
    values = np.atleast_2d(values)
    save(root / f"leftImg8bit/{part}/{city}/{name}_leftImg8bit.png", np.zeros((*values.shape, 3), np.uint8))
    save(root / f"{masks}/{part}/{city}/{name}_{masks}_{kind}.png", values)


IDS = np.arange(34, dtype=np.uint8)
TRAINED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def test_ids_become_the_19_classes_and_void(tmp_path):
    frame(tmp_path, "train", "ulm_000000_000019", IDS)
    dataset = open_dataset(str(tmp_path))
    mask = dataset[0].mask[0].tolist()
    assert mask == [TRAINED.index(number) if number in TRAINED else 255 for number in range(34)]
    assert (dataset.labels.classes[0], dataset.labels.classes[18]) == ("road", "bicycle")
    assert dataset.names == ["train/ulm/ulm_000000_000019"]
    check_dataset("cityscapes", root=tmp_path, split="all")


def test_all_30_classes_or_some_can_be_asked_for(tmp_path):
    frame(tmp_path, "train", "ulm_000000_000019", IDS)
    every = open_dataset("cityscapes", root=tmp_path, classes="all")
    assert every[0].mask[0].tolist() == [255] * 4 + list(range(30))
    some = open_dataset("cityscapes", root=tmp_path, classes="car,person")
    assert some.labels.classes == ("background", "car", "person")
    assert some[0].mask[0, [3, 4, 24, 26]].tolist() == [255, 0, 2, 1]
    with pytest.raises(OptionError, match="no class 'cra'; did you mean 'car'"):
        open_dataset("cityscapes", root=tmp_path, classes=["cra"])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("labelTrainIds", np.array([0, 18, 255, 19], np.uint8)),
        ("instanceIds", np.array([7, 33000, 3, 0], np.uint16)),
    ],
)
def test_other_masks_mean_the_same(tmp_path, kind, values):
    frame(tmp_path, "val", "ulm_0_1", values, kind)
    assert open_dataset("cityscapes", root=tmp_path, split="val")[0].mask[0].tolist() == [0, 18, 255, 255]


def test_coarse_masks_and_folders_of_archives_are_found(tmp_path):
    frame(tmp_path / "a", "train_extra", "bonn_0_1", IDS, masks="gtCoarse")
    (tmp_path / "a/gtCoarse").rename(tmp_path / "gtCoarse")
    reading = chosen(str(tmp_path))
    assert (reading.name, reading.summary) == ("cityscapes", "Cityscapes, 19 classes, masks in gtCoarse")
    assert open_dataset(str(tmp_path)).names == ["train_extra/bonn/bonn_0_1"]
    with pytest.raises(OptionError, match=r"the split 'val' of .* is empty: it has train_extra"):
        open_dataset(str(tmp_path), split="val")


def test_two_data_sets_side_by_side_are_not_taken_for_one(tmp_path):
    for name in ("first", "second"):
        frame(tmp_path / name, "train", "ulm_0_1", IDS)
    assert [one.name for one in recognise(tmp_path / "first")] == ["cityscapes"]
    assert "cityscapes" not in [one.name for one in recognise(tmp_path)]


def test_what_has_no_partner_and_what_has_no_meaning_is_named(tmp_path):
    frame(tmp_path, "train", "ulm_0_1", np.array([40], np.uint8))
    with pytest.raises(MaskError, match=r"_labelIds\.png holds the values 40, which Cityscapes'"):
        open_dataset("cityscapes", root=tmp_path)[0]
    save(tmp_path / "leftImg8bit/train/ulm/ulm_0_2_leftImg8bit.png", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(FailureError, match=r"1 files have no mask: .*ulm_0_2_leftImg8bit\.png"):
        open_dataset("cityscapes", root=tmp_path)


@needs_toys
@pytest.mark.parametrize("inner", ["dataset", "train_dataset"])
def test_datumaro_s_cityscapes_is_read_from_either_kind_of_masks(inner):
    dataset = open_dataset(str(TOYS / "cityscapes_dataset" / inner), split="test")
    assert [dataset[index].mask.tolist() for index in range(2)] == [
        [[255, 255, 14, 14, 14]],
        [[16, 16, 3, 255, 255]],
    ]


@pytest.mark.parametrize(("folder", "factor"), [("semantic", 1), ("instance", 256)])
def test_kitti_has_cityscapes_ids(tmp_path, folder, factor):
    for number in range(5):
        save(tmp_path / f"training/image_2/{number:06}_10.png", np.zeros((1, 3, 3), np.uint8))
        values = np.array([[0, 7, 33]]) * factor + (folder == "instance")
        save(tmp_path / f"training/{folder}/{number:06}_10.png", values.astype(np.uint16))
    dataset = open_dataset(str(tmp_path))
    assert dataset[0].mask.tolist() == [[255, 0, 18]]
    parts = [open_dataset(str(tmp_path), split=split).names for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [3, 1, 1]


CONFIG = {
    "labels": [
        {"color": [165, 42, 42], "readable": "Bird", "name": "animal--bird", "evaluate": True},
        {"color": [0, 0, 0], "readable": "Unlabeled", "name": "void--unlabeled", "evaluate": False},
        {"color": [1, 2, 3], "readable": "Curb", "name": "construction--barrier--curb", "evaluate": True},
    ]
}


def test_vistas_reads_the_newest_version_and_leaves_out_what_is_not_evaluated(tmp_path):
    for version, values in (("v2.0", [[0, 1, 2]]), ("v1.2", [[2, 1, 0]])):
        (tmp_path / f"config_{version}.json").write_text(json.dumps(CONFIG))
        save(tmp_path / f"training/{version}/labels/a.png", np.array(values, np.uint8))
    save(tmp_path / "training/images/a.jpg", np.zeros((1, 3, 3), np.uint8))
    reading = chosen(str(tmp_path))
    assert reading.summary.endswith("3 labels, parts as folders; data.version=1.2 reads the older classes")
    dataset = open_dataset(str(tmp_path))
    assert dataset.labels.classes == ("Bird", "Curb")
    assert dataset[0].mask.tolist() == [[0, 255, 1]]
    assert open_dataset(str(tmp_path), version=1.2)[0].mask.tolist() == [[1, 255, 0]]
    check_dataset("mapillary-vistas", root=tmp_path, split="all")
    (tmp_path / "config_v2.0.json").write_text('{"labels": [{"color": 3}]}')
    with pytest.raises(FailureError, match=r"config_v2\.0\.json is no configuration"):
        open_dataset("mapillary-vistas", root=tmp_path)


@needs_toys
def test_datumaro_s_other_streets_are_recognised_and_boxes_are_not():
    assert len(open_dataset(str(TOYS / "kitti_dataset/kitti_segmentation"), split="all")) == 2
    assert len(open_dataset(str(TOYS / "mapillary_vistas_dataset"), split="val")) == 2
    for boxes in ("kitti_detection", "kitti_3d", "kitti_raw"):
        with pytest.raises(FailureError):
            open_dataset(str(TOYS / "kitti_dataset" / boxes))
