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
from segzoo.errors import FailureError, ImageError, OptionError
from segzoo.interfaces import Dataset
from segzoo.recognition import recognise
from segzoo.testing import check_dataset
from segzoo_medical.dsb2018 import DSB2018, split_of

DATA = os.environ.get("SEGZOO_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="SEGZOO_DATA names no folder of datasets")
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


STAINS = {
    "fluorescence": ((9, 9, 9), (120, 120, 120)),
    "bright-field": ((225, 225, 225), (90, 90, 90)),
    "purple on white": ((220, 222, 215), (120, 40, 150)),
    "purple on violet": ((185, 165, 215), (90, 40, 160)),
}


@pytest.fixture
def stained(tmp_path):
    """An image of each stain, 16x24, and one of fluorescence, 16x16; each with a nucleus."""
    sizes = [(name, 24) for name in STAINS] + [("fluorescence", 16)]
    for number, (stain, width) in enumerate(sizes):
        ground, nucleus = STAINS[stain]
        image, mask = np.empty((16, width, 3), np.uint8), np.zeros((16, width), np.uint8)
        image[:], mask[7:10, 7:10] = ground, 255
        image[mask > 0] = nucleus
        for kind, array in (("images", image), ("masks", mask)):
            file = tmp_path / f"image{number}/{kind}/image{number}.png"
            file.parent.mkdir(parents=True)
            file.write_bytes(png(array))
    return tmp_path


def test_samples_tell_their_stain_and_source(stained):
    assert DSB2018(stained, "all").tags == [
        {"stain": "fluorescence", "source": "fluorescence 24x16"},
        {"stain": "bright-field", "source": "bright-field 24x16"},
        {"stain": "purple on white", "source": "purple on white 24x16"},
        {"stain": "purple on violet", "source": "purple on violet 24x16"},
        {"stain": "fluorescence", "source": "fluorescence 16x16"},
    ]


def test_stains_and_sources_are_left_out_or_kept_alone(stained):
    def names(**options):
        return [name[-1] for name in DSB2018(stained, "all", **options).names]

    assert names(only="fluorescence") == ["0", "4"]
    assert names(only=["fluorescence 24x16", "bright-field"]) == ["0", "1"]
    assert names(without="fluorescence, purple on white 24x16") == ["1", "3"]
    assert names(only="fluorescence", without="fluorescence 16x16") == ["0"]
    assert names(only="", without=()) == list("01234")


def test_a_stain_that_no_image_has_is_refused_with_those_that_there_are(stained):
    with pytest.raises(OptionError, match=r"without names no stain or source 'fluoresence'; did you mean"):
        DSB2018(stained, without="fluoresence")
    with pytest.raises(OptionError, match="leave no image"):
        DSB2018(stained, "all", only="fluorescence", without="fluorescence")
    with pytest.raises(OptionError, match="only must name stains or sources, such as 'fluorescence', got 3"):
        DSB2018(stained, only=3)


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
