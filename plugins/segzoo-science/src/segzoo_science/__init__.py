"""Scientific image files for segzoo: DICOM and NIfTI."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise
from segzoo.specs import ReaderSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_readers() -> list[ReaderSpec]:
    return [
        ReaderSpec(
            name="dicom",
            factory="segzoo_science.dicom:open_dicom",
            suffixes=(".dcm", ".dicom", ".ima"),
            magic=(b"DICM",),
            offset=128,
            summary="DICOM files, rescaled (Hounsfield units for CT), and whole slides; needs pydicom",
        ),
        ReaderSpec(
            name="dicom-series",
            factory="segzoo_science.dicom:open_dicom",
            folders=True,
            claims="segzoo_science.dicom:is_series",
            summary="folders with the DICOM files of one series, slices in anatomical order",
        ),
        ReaderSpec(
            name="nifti",
            factory="segzoo_science.nifti:open_nifti",
            suffixes=(".nii", ".nii.gz"),
            writes="segzoo_science.nifti:write_nifti",
            summary="NIfTI volumes by axial slices, and masks as volumes at the same position; needs nibabel",
        ),
    ]
