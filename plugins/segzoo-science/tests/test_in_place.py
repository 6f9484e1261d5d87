"""Masks of volumes go back as volumes that lie where their images lie."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
import torch
from test_dicom import slice_at

import segzoo
from segzoo.cli import run
from segzoo.prediction.sources import find

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AFFINE = np.array([[0, 0, 2.5, -9], [-1.5, 0, 0, 8], [0, -0.5, 0, 7], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of an untrained U-Net's weights, for one band."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, in_channels=1, width=2, depth=2)
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume whose axes run to the back, down and to the right: three axial slices of 4 x 5."""
    array = np.random.default_rng(0).integers(0, 256, (4, 3, 5), np.uint8)
    path = tmp_path / "images/head.nii.gz"
    path.parent.mkdir()
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)
    return path


@pytest.fixture
def predict(weights: str, tmp_path: Path) -> Callable[..., int]:
    def predicted(path: Path, *words: str) -> int:
        return run(["predict", str(path), "--model", weights, "--out", str(tmp_path / "out"), *words])

    return predicted


def mask_of(tmp_path: Path, name: str = "head_mask.nii.gz") -> Any:
    return nibabel.load(tmp_path / "out" / name)


def test_the_mask_of_a_volume_has_its_shape_axes_and_affine(volume, predict, tmp_path):
    assert predict(volume, "--outputs", "mask,overlay") == 0
    mask = mask_of(tmp_path)
    assert mask.shape == (4, 3, 5)
    assert np.array_equal(mask.affine, AFFINE)
    assert mask.get_data_dtype() == np.uint8
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "head_mask.nii.gz",
        "manifest.jsonl",
        *(f"head_{page}_overlay.png" for page in range(3)),
    }


def test_the_voxels_of_a_mask_are_those_of_its_slices(volume, predict, tmp_path):
    assert predict(volume, "--outputs", "mask") == 0
    gathered = np.asarray(mask_of(tmp_path).dataobj)
    (tmp_path / "out").rename(tmp_path / "before")
    assert predict(volume, "--outputs", "mask:npy") == 0
    for page in range(3):
        mask = np.load(tmp_path / "out" / f"head_{page}_mask.npy")
        # The axes of the file run to the back, down and to the right.
        assert np.array_equal(gathered[:, 2 - page, ::-1], mask)


@pytest.mark.parametrize("output", ["mask:nii", "binary:nii.gz", "values:nii.gz"])
def test_other_outputs_of_classes_may_be_volumes_too(volume, predict, tmp_path, output):
    assert predict(volume, "--outputs", output) == 0
    name, _, suffix = output.partition(":")
    assert mask_of(tmp_path, f"head_{name}.{suffix}").shape == (4, 3, 5)


def test_a_series_of_dicom_files_gives_a_volume_where_it_is_asked_for(predict, tmp_path):
    for number, height in enumerate((1, 3, 5)):
        slice_at(tmp_path / f"series/{number}.dcm", height, number)
    assert predict(tmp_path / "series", "--outputs", "mask:nii.gz") == 0
    mask = mask_of(tmp_path, "series_mask.nii.gz")
    assert mask.shape == (4, 3, 3)
    assert nibabel.aff2axcodes(mask.affine) == ("L", "P", "S")
    assert mask.header.get_zooms() == (0.25, 0.5, 2)


@pytest.mark.medium
def test_resuming_does_all_pages_of_a_volume_that_is_gone_and_none_of_one_that_is_there(
    volume, predict, tmp_path, capsys
):
    assert predict(volume, "--outputs", "mask,areas") == 0
    assert predict(volume, "--outputs", "mask,areas", "--resume") == 0
    assert "3 were done before" in capsys.readouterr().out
    (tmp_path / "out/head_mask.nii.gz").unlink()
    assert predict(volume, "--outputs", "mask,areas", "--resume") == 0
    assert "done before" not in capsys.readouterr().out
    assert mask_of(tmp_path).shape == (4, 3, 5)


def test_no_two_objects_of_a_volume_have_one_number(volume, predict, tmp_path):
    assert predict(volume, "--outputs", "objects", "--threshold", "0.01", "--batch", "2") == 0
    gathered = np.asarray(mask_of(tmp_path, "head_objects.nii.gz").dataobj)
    (tmp_path / "out").rename(tmp_path / "before")
    assert predict(volume, "--outputs", "objects:npy", "--threshold", "0.01") == 0
    before = 0
    for page in range(3):
        numbers = np.load(tmp_path / "out" / f"head_{page}_objects.npy").astype(np.int64)
        expected = np.where(numbers > 0, numbers + before, 0)
        assert np.array_equal(gathered[:, 2 - page, ::-1], expected)
        before += numbers.max()
    assert before > 1


def test_a_volume_that_is_there_is_not_replaced(volume, predict, tmp_path, capsys):
    assert predict(volume, "--outputs", "mask") == 0
    assert predict(volume, "--outputs", "mask") == 1
    assert "head_mask.nii.gz exists" in capsys.readouterr().err


def test_every_page_is_recorded_with_its_volume(volume, predict, tmp_path):
    assert predict(volume, "--outputs", "mask") == 0
    lines = (tmp_path / "out/manifest.jsonl").read_text().splitlines()
    assert [list(json.loads(line)["outputs"]) for line in lines] == [["head_mask.nii.gz"]] * 3


def test_a_volume_is_not_written_where_one_of_its_pages_fails(predict, tmp_path, capsys):
    for number in range(3):
        slice_at(tmp_path / f"series/{number}.dcm", number, number)
    path = tmp_path / "series/1.dcm"
    path.write_bytes(path.read_bytes()[:-10])
    assert predict(tmp_path / "series", "--outputs", "mask:nii.gz") == 1
    told = capsys.readouterr().err
    assert "series_mask.nii.gz is not written: it needs the masks of all pages" in told
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_runs_that_share_the_work_take_whole_volumes(volume, predict, tmp_path):
    other = volume.with_name("tail.nii.gz")
    other.write_bytes(volume.read_bytes())
    assert predict(volume.parent, "--outputs", "mask", "--shard", "1/2") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["head_mask.nii.gz"]
    assert predict(volume.parent, "--outputs", "mask", "--shard", "2/2") == 0
    assert mask_of(tmp_path, "tail_mask.nii.gz").shape == (4, 3, 5)


def test_files_of_several_series_in_one_folder_are_found_without_a_suffix(tmp_path):
    slice_at(tmp_path / "export/IM0001", 1, 1)
    slice_at(tmp_path / "export/1.2.840.17", 1, 1, SeriesInstanceUID="9.9")
    (tmp_path / "export/LOCKFILE").write_text("no image")
    found = find([tmp_path / "export"]).images
    assert [source.path.name for source in found] == ["1.2.840.17", "IM0001"]


def test_series_in_a_folder_of_folders_are_images_of_their_own(tmp_path):
    for patient in ("a", "b"):
        for number in range(2):
            slice_at(tmp_path / f"patients/{patient}/{number}", number, number)
    found = find([tmp_path / "patients"]).images
    assert [source.name for source in found] == ["a_0", "a_1", "b_0", "b_1"]


def test_some_pages_of_a_volume_have_files_of_their_own_and_no_volume(volume, predict, tmp_path, capsys):
    assert predict(volume, "--pages", "0,2") == 2
    assert "the mask of a volume needs all pages" in capsys.readouterr().err
    assert predict(volume, "--pages", "0,2", "--outputs", "mask:png") == 0
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == ["head_0_mask.png", "head_2_mask.png"]
