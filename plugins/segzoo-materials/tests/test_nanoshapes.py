"""NanoShapes: mosaics that mix sources, five folds by source, and a category that nothing has."""

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
from segzoo_materials import SHAPES
from segzoo_materials.nanoshapes import WHOLE

DATA = os.environ.get("SEGZOO_DATA")
needs_data = pytest.mark.skipif(
    not DATA or not Path(DATA, "nanoshapes_coco").is_dir(),
    reason="SEGZOO_DATA holds no folder nanoshapes_coco",
)
CATEGORIES = [
    {"id": 0, "name": "Octohedrons", "supercategory": "none"},
    *(
        {"id": number, "name": name, "supercategory": "Octohedrons"}
        for number, name in enumerate(("Cube", "Octahedron", "Sphere"), 1)
    ),
]


def source(name):
    return name.rpartition("/")[2].partition(".rf.")[0]


@pytest.fixture
def root(tmp_path):
    """Images of 12x12, of each in train two mosaics, with a small cube on a large sphere that it overlaps."""
    parts = {
        "train": [
            f"source{number:02}_png.rf.{digits}{'0' * 24}.jpg"
            for number, whole in enumerate(sorted(WHOLE))
            for digits in (whole, "aaaaaaaa", "bbbbbbbb")
        ],
        "test": [f"other{number}_png.rf.{number}{'c' * 31}.jpg" for number in range(4)],
    }
    for part, files in parts.items():
        (tmp_path / part).mkdir()
        images, annotations = [], []
        for number, file in enumerate(files):
            Image.new("RGB", (12, 12)).save(tmp_path / part / file)
            images.append({"id": number, "file_name": file, "height": 12, "width": 12})
            for category, size in ((1, 3), (3, 6)):
                corners = [2, 2, 2 + size, 2, 2 + size, 2 + size, 2, 2 + size]
                one = {"id": len(annotations), "image_id": number, "category_id": category, "iscrowd": 0}
                annotations.append({**one, "segmentation": [corners], "bbox": [2, 2, 6, 6], "area": 36})
        file = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(file))
    return tmp_path


def names(root, split, **options):
    return open_dataset("nanoshapes", root=root, split=split, **options).names


def test_five_folds_divide_the_images_by_source_and_use_no_mosaic(root):
    tested = []
    for fold in range(5):
        parts = [names(root, split, fold=fold) for split in ("train", "val", "test")]
        assert [len(part) for part in parts] == [24, 4, 7]
        assert len({source(name) for part in parts for name in part}) == 35
        tested += parts[2]
    assert sorted(tested) == sorted(names(root, "all"))
    assert not set(tested) & set(names(root, "mosaics"))


def test_mosaics_are_a_part_of_their_own(root):
    assert len(names(root, "mosaics")) == 62
    assert all("aaaaaaaa" in name or "bbbbbbbb" in name for name in names(root, "mosaics"))


def test_a_particle_that_overlaps_a_larger_one_lies_on_it_and_is_counted(root):
    dataset = open_dataset("nanoshapes", root=root, split="all")
    assert dataset.labels == SHAPES
    for sample in dataset:
        assert sample.mask[3, 3] == SHAPES.classes.index("cube")
        assert sample.mask[6, 6] == SHAPES.classes.index("sphere")
        assert sorted(np.unique(sample.instances)) == [0, 1, 2]
    check_dataset("nanoshapes", root=root)


def test_the_misspelt_supercategory_is_no_class(root):
    dataset = open_dataset("nanoshapes", root=root)
    assert dataset.remarks[0].examples == ("Octohedrons (id 0)",)
    assert not any("cto" in name and name != "octahedron" for name in dataset.labels.classes)


def test_the_data_set_travels_to_another_process(root):
    dataset = open_dataset("nanoshapes", root=root)
    assert pickle.loads(pickle.dumps(dataset)).names == dataset.names


@pytest.mark.parametrize("fold", [-1, 5, 1.5])
def test_a_fold_that_there_is_not_is_an_error(root, fold):
    with pytest.raises(OptionError, match="fold must lie in 0 to 4"):
        open_dataset("nanoshapes", root=root, fold=fold)


def test_a_folder_without_the_files_says_what_was_expected(tmp_path):
    with pytest.raises(FailureError, match="holds no NanoShapes: expected train and test"):
        open_dataset("nanoshapes", root=tmp_path)


def test_another_version_whose_mosaics_are_unknown_is_refused(root):
    file = root / "train/_annotations.coco.json"
    said = json.loads(file.read_text())
    said["images"] = [one for one in said["images"] if sorted(WHOLE)[0] not in one["file_name"]]
    file.write_text(json.dumps(said))
    with pytest.raises(FailureError, match="30 of the 31 images that are known to be no mosaics"):
        open_dataset("nanoshapes", root=root)


@pytest.mark.slow
@needs_data
def test_the_real_export_has_one_whole_image_of_each_source():
    root = Path(DATA or "", "nanoshapes_coco")
    whole, mosaics = names(root, "all"), names(root, "mosaics")
    assert len({source(name) for name in whole}) == len(whole) == 35
    assert len(mosaics) == 62
    counted = [
        len(np.unique(one.instances)) - 1 for one in open_dataset("nanoshapes", root=root, split="all")
    ]
    assert sum(counted) == 2574


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("fold", range(5))
def test_the_real_images_that_validate_and_test_have_all_shapes(fold):
    for split in ("val", "test"):
        dataset = open_dataset("nanoshapes", root=Path(DATA or "", "nanoshapes_coco"), split=split, fold=fold)
        assert set().union(*(np.unique(one.mask).tolist() for one in dataset)) == {0, 1, 2, 3}


@pytest.mark.slow
@needs_data
def test_the_shipped_weights_score_what_their_config_states():
    model = segzoo.load("unet-nanoparticles")
    stated = model.segzoo_config.provenance["test"]
    test = open_dataset("nanoshapes", root=Path(DATA or "", "nanoshapes_coco"), split="test")
    for score in segzoo.evaluate(model, test, metrics=["miou", "ap"]):
        assert score.contract == stated[score.metric]["contract"]
        for name, value in score.values.items():
            assert value == pytest.approx(stated[score.metric][name], abs=1e-2)


@pytest.mark.medium
def test_the_shipped_weights_count_spheres_that_touch():
    image = Path(__file__).parents[3] / "docs/images/zoo/seen/nanoparticles-many.jpg"
    found = segzoo.predict(image, model="unet-nanoparticles")
    assert 480 < len(found.instances().areas) < 540  # 510 are outlined
    assert found.shares["sphere"] > 0.2
