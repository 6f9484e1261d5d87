"""NIfTI volumes by slices, and masks that go back to where their image lies."""

from __future__ import annotations

import gzip
import io
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest

from segzoo.errors import ImageError, MissingExtraError, OptionError
from segzoo.images import open_image
from segzoo.interfaces import ImageInfo
from segzoo_science import nifti
from segzoo_science.nifti import find_layout, open_nifti, write_nifti

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Every order and direction in which a file may store the axes of the body.
ORIENTATIONS = ["".join(letters) for axes in permutations(("RL", "AP", "SI")) for letters in product(*axes)]
#: A head: its first axis goes to the right, the second to the front, the third up.
HEAD = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
SIZES = np.diag([1.0, 2.0, 3.0, 1.0])


def written(path: Path, array: NDArray[Any], affine: Any = SIZES, **header: Any) -> Path:
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units(*header.pop("units", ("mm", "sec")))
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def turned(path: Path, axes: str) -> Path:
    """The head as a file that stores its axes so."""
    plain = nibabel.Nifti1Image(HEAD, SIZES)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(SIZES), nibabel.orientations.axcodes2ornt(axes)
    )
    nibabel.save(plain.as_reoriented(change), path)
    return path


def volume(path: Path, **options: Any) -> tuple[NDArray[Any], ImageInfo]:
    with open_nifti(path, **options) as image:
        return np.stack([image.read(page) for page in range(image.info.pages)]), image.info


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_axial_slices_show_the_front_above_and_the_right_at_the_left(tmp_path: Path, axes: str):
    found, info = volume(turned(tmp_path / "a.nii", axes))
    assert np.array_equal(found[..., 0], HEAD.transpose(2, 1, 0)[:, ::-1, ::-1])
    assert (info.pages, info.height, info.width) == (4, 3, 2)
    assert (info.pixel_size, info.unit, info.page_axis) == ((2, 1), "mm", "z")


@pytest.mark.parametrize(
    ("axis", "order", "size"),
    [("coronal", (1, 2, 0), (3, 1)), ("sagittal", (0, 2, 1), (3, 2)), ("axial", (2, 1, 0), (2, 1))],
)
def test_slices_go_along_the_axis_that_was_chosen(tmp_path: Path, axis: str, order: Any, size: Any):
    found, info = volume(turned(tmp_path / "a.nii", "LPS"), axis=axis)
    assert np.array_equal(found[..., 0], HEAD.transpose(order)[:, ::-1, ::-1])
    assert info.pixel_size == size


def test_a_large_compressed_volume_is_read_by_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nifti, "_MOST_KEPT", 10)
    image = nibabel.Nifti1Image(np.stack([HEAD / 7 - 1000.0, HEAD / 7], axis=3), SIZES)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii.gz")
    found, info = volume(tmp_path / "a.nii.gz", fourth="pages")
    wanted = HEAD.transpose(2, 1, 0)[:, ::-1, ::-1] / 7
    assert info.dtype == found.dtype.name == "float32"
    assert np.allclose(found[..., 0], np.concatenate([wanted - 1000, wanted]), atol=2e-2)


def test_a_single_slice_is_shown_in_its_plane(tmp_path: Path):
    found, _ = volume(written(tmp_path / "a.nii", HEAD[:, :1]))
    assert np.array_equal(found[0, ..., 0], HEAD[:, 0].T[::-1, ::-1])


@pytest.mark.parametrize("axis", ["", "coronal", "sagittal"])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_a_mask_has_the_axes_and_the_affine_of_its_image(tmp_path: Path, axes: str, axis: str):
    path = turned(tmp_path / "a.nii.gz", axes)
    found, info = volume(path, axis=axis)
    (tmp_path / "mask.nii.gz").write_bytes(packed((found[..., 0] > 11).astype(np.uint8), info))
    image, mask = nibabel.load(path), nibabel.load(tmp_path / "mask.nii.gz")
    assert np.array_equal(np.asarray(mask.dataobj), np.asarray(image.dataobj) > 11)
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, image.affine)
    for code in ("sform_code", "qform_code"):
        assert mask.header[code] == image.header[code]
    assert mask.header.get_zooms() == image.header.get_zooms()


def packed(mask: NDArray[Any], info: ImageInfo) -> bytes:
    file = io.BytesIO()
    write_nifti(file, mask, info)
    return file.getvalue()


def test_a_mask_of_a_flat_image_is_flat(tmp_path: Path):
    path = written(tmp_path / "a.nii", HEAD[:, :, 0])
    found, info = volume(path)
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(packed((found[..., 0] > 5).astype(np.uint8), info)))
    assert mask.shape == (2, 3)


def test_a_mask_of_slices_of_another_format_lies_where_its_affine_says():
    affine = [[-0.5, 0, 0, 9], [0, -0.25, 0, 8], [0, 0, 2, 7], [0, 0, 0, 1]]
    info = ImageInfo(height=3, width=4, dtype="int16", bands=("grey",), pages=2, extra={"affine": affine})
    pages = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(packed(pages, info)))
    assert np.array_equal(np.asarray(mask.dataobj), pages.transpose(2, 1, 0))
    assert np.array_equal(mask.affine, affine)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_values_are_scaled_as_the_header_says(tmp_path: Path, suffix: str):
    image = nibabel.Nifti1Image(HEAD / 7 - 1000.0, SIZES)
    image.set_data_dtype(np.int16)  # nibabel finds the slope with which they fit
    nibabel.save(image, tmp_path / f"a{suffix}")
    found, info = volume(tmp_path / f"a{suffix}")
    assert info.dtype == found.dtype.name == "float32"
    assert np.allclose(found[..., 0], HEAD.transpose(2, 1, 0)[:, ::-1, ::-1] / 7 - 1000, atol=1e-3)


def test_values_that_nothing_scales_keep_their_type(tmp_path: Path):
    found, info = volume(written(tmp_path / "a.nii", HEAD, cal_min=-100, cal_max=300))
    assert info.dtype == found.dtype.name == "int16"
    assert info.window == (-100, 300)


@pytest.mark.parametrize(("unit", "told"), [("micron", "um"), ("meter", "m"), ("unknown", "mm")])
def test_the_unit_of_voxels_is_told(tmp_path: Path, unit: str, told: str):
    assert volume(written(tmp_path / "a.nii", HEAD, units=(unit, "sec")))[1].unit == told


def test_four_axes_are_refused_with_what_to_say(tmp_path: Path):
    path = written(tmp_path / "a.nii", np.stack([HEAD, HEAD + 100], axis=3))
    with (
        pytest.raises(ImageError, match=r"four axes \(2, 3, 4, 2\).*time.*fourth=bands.*fourth=pages"),
        open_nifti(path),
    ):
        pass


def test_a_fourth_axis_may_be_bands_or_pages(tmp_path: Path):
    path = written(tmp_path / "a.nii.gz", np.stack([HEAD, HEAD + 100], axis=3))
    one = HEAD.transpose(2, 1, 0)[:, ::-1, ::-1]
    bands, info = volume(path, fourth="bands")
    assert info.bands == ("band 1", "band 2")
    assert np.array_equal(bands, np.stack([one, one + 100], axis=3))
    pages, info = volume(path, fourth="pages")
    assert (info.pages, info.page_axis) == (8, "time and z")
    assert np.array_equal(pages[..., 0], np.concatenate([one, one + 100]))


def test_options_of_the_reader_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "a.nii", np.stack([HEAD, HEAD + 100], axis=3))
    monkeypatch.setenv("SEGZOO_READER_OPTIONS", "dicom: nifti:axis=coronal,fourth=bands")
    with open_image(path) as image:
        assert (image.info.pages, image.info.bands) == (3, ("band 1", "band 2"))
    monkeypatch.setenv("SEGZOO_READER_OPTIONS", "nifti:axes=coronal")
    with pytest.raises(OptionError, match=r"no option 'axes'; it has axis, fourth"), open_image(path):
        pass


def test_a_fourth_axis_of_one_is_none(tmp_path: Path):
    assert volume(written(tmp_path / "a.nii", HEAD[..., None]))[1].pages == 4


def test_axes_without_a_direction_are_taken_as_stored():
    assert find_layout((2, 3, 4), np.diag([1.0, 1.0, 0.0, 1.0]), "").axes == (2, 1, 0)


def test_colours_are_refused(tmp_path: Path):
    colours = np.zeros((2, 3, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    with (
        pytest.raises(ImageError, match="values of type RGB"),
        open_nifti(written(tmp_path / "a.nii", colours)),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"no volume", b"\0" * 400])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="no NIfTI file, or is damaged"), open_nifti(path):
        pass


@pytest.mark.parametrize("option", [{"axis": "oblique"}, {"fourth": "time"}])
def test_an_option_of_another_value_is_refused(tmp_path: Path, option: Any):
    path = written(tmp_path / "a.nii", HEAD)
    with pytest.raises(OptionError, match=next(iter(option))), open_nifti(path, **option):
        pass


def test_without_nibabel_the_line_that_installs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "a.nii", HEAD)

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(nifti, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'segzoo-science\[nifti\]'"), open_nifti(path):
        pass
