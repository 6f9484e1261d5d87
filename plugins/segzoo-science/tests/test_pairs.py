"""Volumes with volumes of labels are a dataset, slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest
from PIL import Image
from test_dicom import slice_at

from segzoo.build import open_dataset
from segzoo.cli import run
from segzoo.errors import FailureError
from segzoo.images import open_image
from segzoo_science.nifti import write_nifti

if TYPE_CHECKING:
    from pathlib import Path

AFFINE = np.array([[0, 0, 1.0, 0], [1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])


def volumes(root: Path, *names: str, image: str = "{}.nii.gz", depth: int = 3) -> Path:
    """A folder as the Medical Segmentation Decathlon lays it out: the brightest voxels are the spleen."""
    random = np.random.default_rng(0)
    for name in names:
        voxels = random.integers(0, 256, (4, depth, 5), np.uint8)
        for folder, file, array in (
            ("imagesTr", image.format(name), voxels),
            ("labelsTr", f"{name}.nii.gz", (voxels > 200).astype(np.float64)),
        ):
            (root / folder).mkdir(exist_ok=True, parents=True)
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), root / folder / file)
    return root


@pytest.mark.parametrize("image", ["{}.nii.gz", "{}_0000.nii.gz"])
def test_slices_of_volumes_are_samples_with_their_labels(tmp_path: Path, image: str):
    root = volumes(tmp_path, "spleen_1", "spleen_2", image=image)
    data = open_dataset(str(root), split="all", classes=("background", "spleen"))
    assert len(data) == 6
    for sample in data:
        assert np.array_equal(np.squeeze(sample.image) > 200, sample.mask == 1)


@pytest.mark.medium
def test_a_volume_is_never_divided_between_training_and_validation(tmp_path: Path):
    root = volumes(tmp_path, *(f"v{number}" for number in range(30)))
    parts = {split: open_dataset(str(root), split=split) for split in ("train", "val", "test")}
    owners = [{name.rpartition("/")[0] for name in part.names} for part in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 30


def test_labels_of_another_number_of_slices_are_told(tmp_path: Path):
    root = volumes(tmp_path, "a")
    voxels = np.zeros((4, 2, 5), np.uint8)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), root / "labelsTr/a.nii.gz")
    with pytest.raises(FailureError, match=r"3 pages, its mask .* has 2"):
        open_dataset(str(root), split="all")


@pytest.mark.medium
def test_volumes_of_masks_are_scored_against_volumes_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = volumes(tmp_path / "data", "a", "b")
    (tmp_path / "found").mkdir()
    for name in "ab":
        label = nibabel.load(root / f"labelsTr/{name}.nii.gz")
        mask = np.asarray(label.dataobj).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(mask, label.affine), tmp_path / f"found/{name}_mask.nii.gz")
    for truth in (["--data", str(root), "--split", "all"], ["--truth", str(root / "labelsTr")]):
        assert run(["evaluate", "--predictions", str(tmp_path / "found"), *truth]) == 0
        assert "6 images" in (told := capsys.readouterr().out)
        assert "1.0000" in told


def test_series_of_dicom_files_are_images_whose_labels_are_volumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = tmp_path / "data"
    (root / "masks").mkdir(parents=True)
    for patient in ("p.1", "p.2"):
        for number in range(3):
            slice_at(root / f"images/{patient}/{number}.dcm", 3.0 - number, number)
        with open_image(root / "images" / patient) as series:
            labels = np.stack([series.read(page)[..., 0] > 1 for page in range(3)]).astype(np.uint8)
            with (root / f"masks/{patient}.nii.gz").open("wb") as file:
                write_nifti(file, labels, series.info)
    data = open_dataset(str(root), split="all")
    assert data.names == [f"{patient}/{page:04}" for patient in ("p.1", "p.2") for page in range(3)]
    for sample in data:
        assert np.array_equal(np.squeeze(sample.image) > 1, sample.mask == 1)
    assert [int(sample.image.max()) for sample in data][:3] == [2, 1, 0]
    run(["data", "check", str(root)])
    assert "6 images with masks" in capsys.readouterr().out


def test_files_of_a_series_with_a_mask_each_are_images_each(tmp_path: Path):
    for number in range(2):
        slice_at(tmp_path / f"images/p/{number}.dcm", number, number)
        (tmp_path / "masks/p").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / f"masks/p/{number}.png")
    assert open_dataset(str(tmp_path), split="all").names == ["p/0", "p/1"]


def test_the_doctor_knows_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = volumes(tmp_path, *(f"v{number}" for number in range(4)), depth=3)
    run(["data", "check", str(root)])
    told = capsys.readouterr().out
    assert "12" in told
    assert "no partner" not in told
