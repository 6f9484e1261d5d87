"""DSB2018 from an archive or a folder, and the shipped weights on it."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, ImageError
from segzoo.interfaces import Dataset
from segzoo.recognition import recognise
from segzoo.testing import check_dataset
from segzoo_medical.dsb2018 import DSB2018, split_of

DATA = os.environ.get("SEGZOO_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="SEGZOO_DATA names no folder of data sets")
IDS = [f"image{number}" for number in range(20)]


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()


def files():
    """Twenty RGBA images of 8x9 with two nuclei each, as Kaggle lays them out."""
    for name in IDS:
        yield f"{name}/images/{name}.png", png(np.full((8, 9, 4), 77, np.uint8))
        for number, rows in enumerate((slice(0, 2), slice(5, 8))):
            mask = np.zeros((8, 9), np.uint8)
            mask[rows, 3:6] = 255
            yield f"{name}/masks/{name}-{number}.png", png(mask)


@pytest.fixture(params=["zip", "folder", "folder of zip", "nested zip"])
def root(request, tmp_path):
    if request.param == "folder":
        for name, data in files():
            path = tmp_path / "stage1_train" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path
    prefix = "stage1_train/" if request.param == "nested zip" else ""
    with zipfile.ZipFile(tmp_path / "stage1_train.zip", "w") as archive:
        for name, data in files():
            archive.writestr(prefix + name, data)
    return tmp_path if request.param == "folder of zip" else tmp_path / "stage1_train.zip"


def test_images_lose_their_alpha_and_masks_are_the_union_of_instances(root):
    dataset = DSB2018(root, "all")
    assert isinstance(dataset, Dataset)
    assert [dataset[i].name for i in range(20)] == sorted(IDS)
    sample = dataset[0]
    assert sample.image.shape == (8, 9, 3)
    assert sorted(np.unique(sample.instances)) == [0, 1, 2]
    assert np.array_equal(sample.mask, (sample.instances > 0).astype(np.uint8))
    assert sample.mask.sum() == 3 * 5
    check_dataset(dataset)


def test_the_archive_and_its_folders_are_recognised(root):
    assert [one.name for one in recognise(root)] == ["dsb2018"]


def test_the_split_is_by_hash_and_complete(root):
    parts = [DSB2018(root, split).names for split in ("train", "val", "test")]
    assert sorted(itertools.chain(*parts)) == sorted(IDS)
    assert all(split_of(name) == "train" for name in parts[0])


def test_a_data_set_travels_to_another_process(root):
    dataset = DSB2018(root, "all")
    dataset[0]
    assert pickle.loads(pickle.dumps(dataset))[3].name == dataset[3].name


def test_a_broken_archive_is_named(tmp_path):
    (tmp_path / "stage1_train.zip").write_bytes(b"PK\3\4 but no more")
    with pytest.raises(FailureError, match=r"stage1_train\.zip is damaged: it is cut short"):
        DSB2018(tmp_path)


def test_a_damaged_image_in_the_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "stage1_train.zip", "w") as archive:
        archive.writestr("a/images/a.png", b"no png")
    with pytest.raises(ImageError, match=r"a/images/a\.png cannot be read"):
        DSB2018(tmp_path, "all")[0]


@pytest.mark.slow
@needs_data
def test_the_real_archive_holds_what_its_readme_says():
    assert [len(open_dataset("dsb2018", split=split)) for split in ("train", "val", "test")] == [536, 68, 60]


@needs_data
@pytest.mark.slow
def test_the_shipped_weights_score_what_their_config_states():
    model = segzoo.load("unet-nuclei")
    stated = model.segzoo_config.provenance["test"]
    for score in segzoo.evaluate(model, open_dataset("dsb2018", split="test")):
        assert score.contract == stated[score.metric]["contract"]
        for name, value in score.values.items():
            assert value == pytest.approx(stated[score.metric][name], abs=1e-4)


@pytest.mark.slow
def test_the_shipped_weights_are_small_and_find_the_nuclei_of_the_sample():
    model = segzoo.load("unet-nuclei")
    assert sum(p.numel() for p in model.parameters()) <= 4_000_000
    folder = Path(__file__).parents[1] / "src/segzoo_medical/weights/unet-nuclei"
    assert (folder / "model.safetensors").stat().st_size <= 10_000_000
    picture = Path(__file__).parents[3] / "docs/images/nuclei.png"
    share = segzoo.predict(picture, model=model).shares["nucleus"]
    assert 0.2 < share < 0.35
