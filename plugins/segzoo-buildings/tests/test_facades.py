"""Facades: the order in which objects are painted, and photographs that are never divided."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, OptionError
from segzoo.testing import check_dataset
from segzoo_buildings import FACADES
from segzoo_buildings.facades import photograph

DATA = os.environ.get("SEGZOO_DATA")
needs_data = pytest.mark.skipif(
    not DATA or not Path(DATA, "facades_coco").is_dir(), reason="SEGZOO_DATA holds no folder facades_coco"
)
#: Category 0 is Roboflow's supercategory, and has the name of category 3.
CATEGORIES = [{"id": 0, "name": "facade", "supercategory": "none"}] + [
    {"id": number, "name": name, "supercategory": "facade"}
    for number, name in enumerate(FACADES.classes)
    if number
]
WINDOW, FACADE = FACADES.classes.index("window"), FACADES.classes.index("facade")
#: By part: photograph and number of the picture of it.
PICTURES = {
    "train": [("A", 0), ("B", 0), ("B", 1), ("C", 0), ("D", 1), ("E", 0)],
    "valid": [("C", 1), ("F", 0), ("G", 0)],
    "test": [("D", 0), ("G", 1), ("H", 0)],
}


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture
def root(tmp_path):
    """Pictures of 16x16 with a window in a facade, listed before it in one file and behind it in another."""
    for part, pictures in PICTURES.items():
        folder = tmp_path / "facades" / part
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number, (name, cut) in enumerate(pictures):
            file = f"IMG_{name}_scaled_{cut}_png_jpg.rf.{'0' * 31}{number}.jpg"
            Image.new("RGB", (16, 16)).save(folder / file)
            images.append({"id": number, "file_name": file, "height": 16, "width": 16})
            shapes = [(WINDOW, box(4, 4, 8, 8)), (FACADE, box(2, 2, 14, 14))]
            for category, shape in shapes if part == "train" else shapes[::-1]:
                one = {"id": len(annotations), "image_id": number, "category_id": category, "iscrowd": 0}
                annotations.append({**one, "segmentation": shape, "bbox": [2, 2, 12, 12], "area": 144})
        file = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        (folder / "_annotations.coco.json").write_text(json.dumps(file))
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_windows_lie_on_facades_whatever_the_order_of_the_file(root, split):
    for sample in open_dataset("facades", root=root, split=split):
        assert sample.mask[5, 5] == WINDOW
        assert sample.mask[3, 3] == FACADE
        assert sample.mask[0, 0] == 0
        assert sorted(np.unique(sample.instances)) == [0, 1, 2]


def test_the_unused_category_of_the_same_name_is_no_class(root):
    dataset = open_dataset("facades", root=root)
    assert dataset.labels == FACADES
    assert len(FACADES.classes) == 11
    assert [remark.kind for remark in dataset.remarks] == ["unused-category"]
    check_dataset("facades", root=root)


def test_no_photograph_is_in_two_parts_and_test_is_that_of_the_files(root):
    parts = {
        split: [photograph(name) for name in open_dataset("facades", root=root, split=split).names]
        for split in ("train", "val", "test")
    }
    assert {split: [name[-1] for name in found] for split, found in parts.items()} == {
        "train": ["A", "B", "B", "E"],
        "val": ["C", "F"],
        "test": ["D", "G", "H"],
    }
    assert len(open_dataset("facades", root=root, split="all")) == 12


def test_pictures_of_a_photograph_stay_together_where_the_data_is_divided_anew(root):
    dataset = open_dataset("facades", root=root, split="all")
    assert sorted(set(dataset.groups)) == [f"IMG_{name}" for name in "ABCDEFGH"]
    assert len(dataset.groups) == len(dataset)


def test_the_data_set_travels_to_another_process(root):
    dataset = open_dataset("facades", root=root)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.names == dataset.names
    assert np.array_equal(again[1].mask, dataset[1].mask)


def test_other_data_is_refused_with_what_was_expected(root, tmp_path):
    with pytest.raises(FailureError, match="holds no facades: expected train, valid and test"):
        open_dataset("facades", root=tmp_path / "facades/train")
    (root / "facades/test").rename(root / "tested")
    with pytest.raises(FailureError, match="no pictures of its own for the part 'test'"):
        open_dataset("facades", root=root, split="test")
    for path in root.rglob("*.json"):
        path.write_text(path.read_text().replace('"window"', '"door"'))
    with pytest.raises(OptionError, match="has no class 'window'"):
        open_dataset("facades", root=root)


@pytest.mark.slow
@needs_data
def test_the_real_parts_share_no_photograph():
    root = Path(DATA or "", "facades_coco")
    parts = {split: open_dataset("facades", root=root, split=split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 264, "val": 62, "test": 59}
    groups = [set(part.groups) for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


@pytest.mark.slow
@needs_data
def test_the_shipped_weights_score_what_their_config_states():
    model = segzoo.load("unet-facades")
    stated = model.segzoo_config.provenance["test"]
    test = open_dataset("facades", root=Path(DATA or "", "facades_coco"), split="test")
    for score in segzoo.evaluate(model, test, metrics=["miou"]):
        assert score.contract == stated[score.metric]["contract"]
        for name, value in score.values.items():
            assert value == pytest.approx(stated[score.metric][name], abs=1e-3)


@pytest.mark.medium
def test_the_shipped_weights_find_the_windows_of_a_facade_at_any_size():
    image = Image.open(Path(__file__).parents[3] / "docs/images/zoo/seen/facade-best.jpg")
    model = segzoo.load("unet-facades")
    small, large = (
        segzoo.predict(image.resize((side, side)), model=model).shares for side in (image.width, 1024)
    )
    assert small["facade"] > 0.4
    assert 0.1 < small["window"] < 0.3
    assert large["window"] == pytest.approx(small["window"], abs=0.02)
