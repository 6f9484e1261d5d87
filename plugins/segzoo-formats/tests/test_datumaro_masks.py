"""Masks of Datumaro are read by the colours of its ``dataset_meta.json``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError
from segzoo.recognition import chosen, recognise
from segzoo.testing import check_dataset

TOYS = Path(os.environ.get("SEGZOO_DATA", "nowhere")).parent / "formats/datumaro_toys"
COLOURS = [[0, 0, 0], [64, 128, 64], [128, 128, 128]]
META = {"label_map": {"0": "Void", "1": "Leaf", "2": "Stem"}, "segmentation_colors": COLOURS}
VALUES = np.array([[0, 1, 2, 0]])


@pytest.fixture
def root(tmp_path):
    (tmp_path / "dataset_meta.json").write_text(json.dumps({**META, "background_label": "0"}))
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        Image.new("RGB", (4, 1)).save(tmp_path / f"images/image_{number}.png")
        Image.fromarray(np.array(COLOURS, np.uint8)[VALUES]).save(tmp_path / f"masks/gt_{number}.png")
    return tmp_path


def test_colours_are_the_classes_of_the_file_and_names_with_prefixes_pair(root):
    assert chosen(str(root)).name == "datumaro-masks"
    dataset = open_dataset(str(root), split="all")
    assert (dataset.labels.classes, dataset.labels.background) == (("Void", "Leaf", "Stem"), 0)
    np.testing.assert_array_equal(dataset[0].mask, VALUES)
    Image.new("RGB", (4, 1), (128, 128, 128)).save(root / "masks/gt_0.png")
    assert np.unique(dataset[0].mask).tolist() == [2]
    check_dataset("datumaro-masks", root=root, split="all")


def test_another_colour_a_lone_file_and_a_damaged_list_are_named(root):
    Image.new("RGB", (4, 1), (1, 2, 3)).save(root / "masks/gt_0.png")
    with pytest.raises(MaskError, match=r"gt_0\.png holds 1 colours that stand for none of the 3 classes"):
        open_dataset("datumaro-masks", root=root, split="all")[0]
    (root / "masks/gt_1.png").unlink()
    with pytest.raises(FailureError, match=r"files have no partner: images/image_1\.png"):
        open_dataset("datumaro-masks", root=root)
    (root / "dataset_meta.json").write_text(json.dumps({**META, "segmentation_colors": [[0, 0, 0]]}))
    with pytest.raises(FailureError, match=r"dataset_meta\.json does not name classes and their colours"):
        open_dataset("datumaro-masks", root=root)
    (root / "dataset_meta.json").write_text("{}")
    assert recognise(root)[0].name != "datumaro-masks"


@pytest.mark.skipif(not TOYS.is_dir(), reason="needs shared formats")
@pytest.mark.parametrize("inner", ["dataset", "non_standard_dataset"])
def test_datumaro_s_own_files_are_read(inner):
    place = TOYS / "common_semantic_segmentation_dataset" / inner
    dataset = open_dataset(str(place), split="all")
    colours = np.array(dataset.labels.palette)
    for index in range(2):
        mask = np.asarray(Image.open(dataset.files(index)[1]).convert("RGB"))
        np.testing.assert_array_equal(colours[dataset[index].mask], mask)
