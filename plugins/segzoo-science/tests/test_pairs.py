"""Volumes with volumes of labels are a data set, slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

from segzoo.build import open_dataset
from segzoo.cli import run
from segzoo.errors import FailureError

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


def test_the_doctor_knows_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = volumes(tmp_path, *(f"v{number}" for number in range(4)), depth=3)
    run(["data", "check", str(root)])
    told = capsys.readouterr().out
    assert "12" in told
    assert "no partner" not in told
