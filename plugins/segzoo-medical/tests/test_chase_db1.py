"""CHASE_DB1's children and observers, and the shipped weights on it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset
from segzoo.training.data.splits import open_splits
from segzoo.training.recipe.reading import read_recipe

DATA = os.environ.get("SEGZOO_DATA")
needs_data = pytest.mark.skipif(
    not DATA or not Path(DATA, "chase_db1").is_dir(), reason="SEGZOO_DATA holds no folder chase_db1"
)
EYES = [f"Image_{child:02}{side}" for child in range(1, 15) for side in "LR"]


@pytest.fixture
def chase(tmp_path):
    """Eyes of 4x6 pixels in masks of one bit; observer 2 draws the columns that observer 1 does not."""
    folder = tmp_path / "CHASEDB1"
    folder.mkdir()
    vessels = np.tile([False, True], (4, 3))
    for number, eye in enumerate(EYES):
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(folder / f"{eye}.jpg")
        Image.fromarray(vessels).save(folder / f"{eye}_1stHO.png")
        Image.fromarray(~vessels).save(folder / f"{eye}_2ndHO.png")
    (folder / "LICENSE.md").write_text("terms")
    return tmp_path


def names(root, split):
    return open_dataset("chase-db1", root=root, split=split).names


def test_parts_are_whole_children_and_the_customary_eight_images_test(chase):
    parts = {split: names(chase, split) for split in ("train", "val", "test")}
    assert {split: len(found) for split, found in parts.items()} == {"train": 16, "val": 4, "test": 8}
    children = {split: {name[:-1] for name in found} for split, found in parts.items()}
    assert not children["train"] & children["val"]
    assert parts["test"] == EYES[20:]
    assert names(chase, "all") == sorted(parts["train"] + parts["val"]) + parts["test"] == EYES


def test_the_eyes_of_a_child_stay_together_in_folds_of_any_recipe(chase):
    for fold in range(4):
        recipe = read_recipe(
            "unet-vessels", ["split.folds=4", f"split.fold={fold}", "split.order=shuffled"], root=str(chase)
        )
        train, val = ({name[:-1] for name in part.names} for part in open_splits(recipe.source, recipe.split))
        assert val
        assert not train & val


def test_an_observer_is_chosen_and_never_mixed_with_the_other(chase):
    first, second = (open_dataset("chase-db1", root=chase, observer=observer) for observer in (1, 2))
    for one, other in zip(first, second, strict=True):
        assert one.mask[0].tolist() == [0, 1] * 3
        assert other.mask[0].tolist() == [1, 0] * 3
    with pytest.raises(OptionError, match="observer must be 1 or 2, got 3"):
        open_dataset("chase-db1", root=chase, observer=3)


def test_masks_of_one_bit_are_read_as_classes_and_every_pixel_counts(chase):
    check_dataset("chase-db1", root=chase)
    dataset = open_dataset("chase-db1", root=chase)
    assert dataset.labels.ignore_index is None
    assert dataset[0].mask.dtype == np.uint8
    assert dataset[0].field_of_view is None


def test_a_drawing_that_is_missing_is_named_with_its_observer(chase):
    (chase / "CHASEDB1/Image_03R_2ndHO.png").unlink()
    assert len(open_dataset("chase-db1", root=chase)) == 16
    with pytest.raises(FailureError, match=r"Image_03R_2ndHO\.png, observer 2's drawing of Image_03R\.jpg"):
        open_dataset("chase-db1", root=chase, observer=2)


def test_a_folder_without_the_images_says_what_was_expected(tmp_path):
    with pytest.raises(FailureError, match=r"no CHASE_DB1 data: expected Image_01L\.jpg"):
        open_dataset("chase-db1", root=tmp_path)


def test_chase_db1_is_recognised_by_its_names(chase):
    assert "chase-db1" in [one.name for one in recognise(chase)]
    for eye in EYES:
        (chase / f"CHASEDB1/{eye}_1stHO.png").unlink()
    assert "chase-db1" not in [one.name for one in recognise(chase)]


@pytest.mark.slow
@needs_data
def test_the_real_vessels_are_seven_percent_of_the_pixels_and_observers_differ():
    root = Path(DATA or "", "chase_db1")
    first, second = (
        [sample.mask for sample in open_dataset("chase-db1", root=root, split="test", observer=observer)]
        for observer in (1, 2)
    )
    assert {mask.shape for mask in first + second} == {(960, 999)}
    assert 0.05 < np.mean([mask.mean() for mask in first]) < 0.09
    assert all((one != other).any() for one, other in zip(first, second, strict=True))


@pytest.mark.slow
@needs_data
def test_the_shipped_weights_score_what_their_config_states():
    model = segzoo.load("unet-vessels")
    stated = model.segzoo_config.provenance["test"]
    test = open_dataset("chase-db1", root=Path(DATA or "", "chase_db1"), split="test")
    for score in segzoo.evaluate(model, test, metrics=["dice"]):
        assert score.contract == stated[score.metric]["contract"]
        for name, value in score.values.items():
            assert value == pytest.approx(stated[score.metric][name], abs=1e-3)


@pytest.mark.slow
def test_the_shipped_weights_find_vessels_in_the_images_of_their_picture():
    folder = Path(__file__).parents[3] / "docs/images/zoo/seen"
    model = segzoo.load("unet-vessels")
    for name in ("best", "worst"):
        assert 0.08 < segzoo.predict(folder / f"vessels-{name}.jpg", model=model).shares["vessel"] < 0.25
