"""What segzoo-science brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from test_dicom import slice_at, written

from segzoo.testing import check_reader, every_check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("check", every_check("segzoo-science"), ids=str)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


def a_volume(folder: Path) -> Path:
    affine = np.array([[0, 0, 2.5, -9], [-1.5, 0, 0, 8], [0, -0.5, 0, 7], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(-1000, 1000, (4, 3, 5), np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / "a.nii.gz")
    return folder / "a.nii.gz"


def a_file(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 4096, (6, 8), np.uint16)
    return written(folder / "a.dcm", pixels, bits=12, RescaleSlope=1, RescaleIntercept=-1024)


def a_series(folder: Path) -> Path:
    for number in range(3):
        slice_at(folder / f"series/{number}", number, number)
    return folder / "series"


@pytest.mark.parametrize(
    ("name", "example"), [("nifti", a_volume), ("dicom", a_file), ("dicom-series", a_series)]
)
def test_readers_keep_their_promises_with_files(name: str, example: Any):
    check_reader(name, example=example)
