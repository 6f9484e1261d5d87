"""DICOM files and series: values, places, order, and messages about files that hold no image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, RLELossless, generate_uid

from segzoo.errors import ImageError, MissingExtraError
from segzoo_science import dicom
from segzoo_science.dicom import is_series, open_dicom

if TYPE_CHECKING:
    from pathlib import Path

CT = "1.2.840.10008.5.1.4.1.1.2"


def written(path: Path, pixels: Any, *, bits: int = 0, **elements: Any) -> Path:
    """A DICOM file of pixels ``(H, W)``, ``(frames, H, W)`` or ``(H, W, 3)``, with elements by keyword."""
    pixels = np.asarray(pixels)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = CT, meta.MediaStorageSOPInstanceUID, "CT"
    data.SeriesInstanceUID = "1.2.3"
    colours = pixels.ndim == 3 and pixels.shape[2] == 3
    data.SamplesPerPixel = 3 if colours else 1
    data.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        data.PlanarConfiguration = 0
    if pixels.ndim == 3 and not colours:
        data.NumberOfFrames = len(pixels)
    data.Rows, data.Columns = pixels.shape[:2] if colours else pixels.shape[-2:]
    data.BitsAllocated = 8 * pixels.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def changed(path: Path, *gone: str, **elements: Any) -> Path:
    """The same file without some elements, and with others."""
    data = pydicom.dcmread(path)
    for name in gone:
        delattr(data, name)
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path)
    return path


def slice_at(path: Path, height: float, value: int, **elements: Any) -> Path:
    """A slice of 3 x 4 voxels of 0.5 x 0.25 mm that lies so high in the body."""
    path.parent.mkdir(exist_ok=True, parents=True)
    place = {"ImagePositionPatient": [-10.0, -20.0, height], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    given = {**place, "PixelSpacing": [0.5, 0.25], **elements}
    return written(path, np.full((3, 4), value, np.int16), **given)


def without_pixels(path: Path, modality: str, **elements: Any) -> Path:
    written(path, np.zeros((2, 2), np.uint8), Modality=modality, **elements)
    return changed(path, "Rows", "Columns", "PixelData")


def test_a_ct_is_in_hounsfield_units_of_the_smallest_type_that_holds_them(tmp_path: Path):
    stored = np.array([[0, 1024], [2024, 4095]], np.uint16)
    path = written(tmp_path / "a.dcm", stored, bits=12, RescaleSlope=1, RescaleIntercept=-1024)
    with open_dicom(path) as image:
        assert image.info.dtype == "int16"
        assert image.read()[..., 0].tolist() == [[-1024, 0], [1000, 3071]]
        assert image.read().dtype == np.int16


def test_a_slope_that_is_no_whole_number_gives_floats(tmp_path: Path):
    stored = np.array([[2, 4]], np.uint16)
    path = written(tmp_path / "a.dcm", stored, RescaleSlope=0.5, RescaleIntercept=0.25)
    with open_dicom(path) as image:
        assert image.info.dtype == "float32"
        assert image.read()[..., 0].tolist() == [[1.25, 2.25]]


def test_a_lookup_table_of_the_modality_is_used(tmp_path: Path):
    table = Dataset()
    table.LUTDescriptor = [4, 0, 16]
    table.LUTData = np.array([0, 10, 20, 1000], "<u2").tobytes()
    table.ModalityLUTType = "US"
    path = written(tmp_path / "a.dcm", np.array([[0, 1, 2, 3]], np.uint8), ModalityLUTSequence=[table])
    with open_dicom(path) as image:
        assert image.read()[..., 0].tolist() == [[0, 10, 20, 1000]]


def test_window_size_of_pixels_padding_and_inverted_greys_are_told(tmp_path: Path):
    path = written(
        tmp_path / "a.dcm",
        np.zeros((2, 2), np.int16),
        PixelSpacing=[0.5, 0.25],
        WindowCenter=[40, 400],
        WindowWidth=[80, 2000],
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=1,
        RescaleIntercept=-1024,
        PixelPaddingValue=-2000,
    )
    with open_dicom(path) as image:
        info = image.info
    assert (info.pixel_size, info.unit) == ((0.5, 0.25), "mm")
    assert info.window == (0, 80)
    assert info.inverted
    assert info.nodata == -3024


def test_colours_are_red_green_and_blue_also_where_they_lie_in_planes(tmp_path: Path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    written(tmp_path / "a.dcm", pixels)
    written(tmp_path / "planes.dcm", pixels, PlanarConfiguration=1)
    changed(tmp_path / "planes.dcm", PixelData=pixels.transpose(2, 0, 1).tobytes())
    for name in ("a.dcm", "planes.dcm"):
        with open_dicom(tmp_path / name) as image:
            assert image.info.bands == ("red", "green", "blue")
            assert np.array_equal(image.read(), pixels)


def test_luminance_and_chroma_become_colours(tmp_path: Path):
    pixels = np.full((2, 2, 3), (150, 44, 21), np.uint8)
    path = written(tmp_path / "a.dcm", pixels, PhotometricInterpretation="YBR_FULL")
    with open_dicom(path) as image:
        assert image.read()[0, 0].tolist() == [0, 255, 1]


def test_a_palette_is_told_and_its_indices_are_the_values(tmp_path: Path):
    levels = {"Red": [0, 0xFFFF], "Green": [0, 0x8000], "Blue": [0, 0]}
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in levels.items():
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [2, 0, 16]
        elements[f"{name}PaletteColorLookupTableData"] = np.array(values, "<u2").tobytes()
    path = written(tmp_path / "a.dcm", np.array([[0, 1]], np.uint8), **elements)
    with open_dicom(path) as image:
        assert image.info.palette == ((0, 0, 0), (255, 128, 0))
        assert image.read()[..., 0].tolist() == [[0, 1]]


def test_frames_are_pages(tmp_path: Path):
    path = written(tmp_path / "a.dcm", np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4), FrameTime=40)
    with open_dicom(path) as image:
        assert (image.info.pages, image.info.page_axis) == (2, "time")
        assert image.read(1)[0, 0, 0] == 12


def test_frames_of_a_volume_have_places_and_scales_of_their_own(tmp_path: Path):
    groups = []
    for height, slope in ((20.0, 2.0), (10.0, 1.0)):
        place, scale, group = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0.0, 0.0, height]
        scale.RescaleSlope, scale.RescaleIntercept = slope, -10
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [scale]
        groups.append(group)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.25], 10
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    path = written(
        tmp_path / "a.dcm",
        np.array([[[1, 2]], [[3, 4]]], np.uint16),
        bits=12,
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
    )
    with open_dicom(path) as image:
        assert (image.info.pages, image.info.page_axis, image.info.dtype) == (2, "z", "int16")
        assert image.info.pixel_size == (0.5, 0.25)
        assert [image.read(page)[0, :, 0].tolist() for page in range(2)] == [[-7, -6], [-8, -6]]
        assert (np.array(image.info.extra["affine"]) @ [0, 0, 1, 1]).tolist() == [0, 0, 20, 1]


def test_packed_pixels_are_unpacked(tmp_path: Path):
    path = written(tmp_path / "a.dcm", np.arange(64, dtype=np.uint16).reshape(8, 8))
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.save_as(tmp_path / "rle.dcm")
    with open_dicom(tmp_path / "rle.dcm") as image:
        assert image.read()[..., 0].tolist() == np.arange(64).reshape(8, 8).tolist()


def test_what_is_packed_in_a_way_that_nothing_here_unpacks_says_what_to_install(tmp_path: Path):
    data = pydicom.dcmread(written(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8)))
    data.file_meta.TransferSyntaxUID = MPEG2MPML
    data.PixelData = pydicom.encaps.encapsulate([b"\0" * 8])
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "mpeg.dcm")
    with open_dicom(tmp_path / "mpeg.dcm") as image, pytest.raises(ImageError, match=r"MPEG2.*pip install"):
        image.read()


def test_a_folder_of_a_series_is_pages_in_their_order_in_the_body(tmp_path: Path):
    for name, height, value in (("a", 30, 3), ("b", 10, 1), ("c", 20, 2)):
        slice_at(tmp_path / name, height, value, InstanceNumber=9 - value)
    assert is_series(tmp_path)
    with open_dicom(tmp_path) as image:
        assert (image.info.pages, image.info.page_axis) == (3, "z")
        assert [image.read(page)[0, 0, 0] for page in range(3)] == [1, 2, 3]


def test_the_voxels_of_a_series_lie_where_its_headers_say(tmp_path: Path):
    for number, height in enumerate((10, 12.5, 15)):
        slice_at(tmp_path / str(number), height, number)
    with open_dicom(tmp_path) as image:
        affine = np.array(image.info.extra["affine"])
    # Column 2 and row 1 of the last slice: DICOM counts towards left and back, an affine to right and front.
    assert (affine @ [2, 1, 2, 1]).tolist() == [-(-10 + 2 * 0.25), -(-20 + 0.5), 15, 1]


def test_slices_without_a_place_are_ordered_by_their_numbers(tmp_path: Path):
    for name, number in (("a", 2), ("b", 10), ("c", 1)):
        written(tmp_path / name, np.full((2, 2), number, np.uint8), InstanceNumber=number)
    with open_dicom(tmp_path) as image:
        assert [image.read(page)[0, 0, 0] for page in range(3)] == [1, 2, 10]


def test_a_series_that_has_changed_is_read_anew(tmp_path: Path):
    for number in (1, 2):
        slice_at(tmp_path / str(number), number, number)
    with open_dicom(tmp_path) as image:
        assert image.info.pages == 2
    slice_at(tmp_path / "3", 3, 3)
    with open_dicom(tmp_path) as image:
        assert image.info.pages == 3


def test_a_gap_between_slices_is_told(tmp_path: Path):
    for number, height in enumerate((1, 2, 3, 5, 6)):
        slice_at(tmp_path / f"{number}.dcm", height, number)
    with (
        pytest.warns(UserWarning, match=r"1 mm apart, but 2\.dcm and 3\.dcm 2 mm: one may be missing"),
        open_dicom(tmp_path),
    ):
        pass


def test_slices_of_several_sizes_are_refused_with_their_names(tmp_path: Path):
    slice_at(tmp_path / "a.dcm", 1, 1)
    slice_at(tmp_path / "b.dcm", 2, 2)
    written(tmp_path / "scout.dcm", np.zeros((9, 9), np.int16))
    with (
        pytest.raises(ImageError, match=r"must have one size.*3x4 \(2, such as a.dcm\), 9x9 \(1, such as"),
        open_dicom(tmp_path),
    ):
        pass


def test_a_folder_of_two_series_is_no_image_and_opening_it_says_so(tmp_path: Path):
    slice_at(tmp_path / "a.dcm", 1, 1)
    slice_at(tmp_path / "b.dcm", 2, 2, SeriesInstanceUID="9.9", SeriesDescription="bone")
    assert not is_series(tmp_path)
    with pytest.raises(ImageError, match=r"holds 2 series.*'bone', such as b.dcm"), open_dicom(tmp_path):
        pass


@pytest.mark.parametrize(
    ("modality", "told"), [("RTSTRUCT", "contours"), ("SR", "a report"), ("XX", "no image")]
)
def test_a_file_without_pixels_says_what_it_holds(tmp_path: Path, modality: str, told: str):
    path = without_pixels(tmp_path / "a.dcm", modality)
    with pytest.raises(ImageError, match=f"has no pixels: it holds {told}"), open_dicom(path):
        pass


def test_a_segmentation_is_no_image(tmp_path: Path):
    path = written(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), Modality="SEG")
    with pytest.raises(ImageError, match="is a segmentation"), open_dicom(path):
        pass


def test_files_without_pixels_beside_a_series_are_left_out(tmp_path: Path):
    slice_at(tmp_path / "b.dcm", 1, 1)
    slice_at(tmp_path / "c.dcm", 2, 2)
    for name in ("a.dcm", "d.dcm"):
        without_pixels(tmp_path / name, "RTSTRUCT", SeriesInstanceUID="7.7")
    (tmp_path / "notes.txt").write_text("two slices")
    assert is_series(tmp_path)
    with open_dicom(tmp_path) as image:
        assert image.info.pages == 2


@pytest.mark.parametrize("names", [[], ["a.txt"], ["one.dcm"]])
def test_a_folder_of_anything_else_is_no_series(tmp_path: Path, names: list[str]):
    for name in names:
        if name.endswith(".dcm"):
            slice_at(tmp_path / name, 1, 1)
        else:
            (tmp_path / name).write_text("words")
    assert not is_series(tmp_path)


def test_the_tiles_of_a_slide_are_one_image_and_some_rows_of_it_can_be_read(tmp_path: Path):
    whole = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    padded = np.pad(whole, ((0, 1), (0, 2)))
    tiles = [padded[y : y + 3, x : x + 4] for y in (0, 3) for x in (0, 4)]
    path = written(tmp_path / "a.dcm", [np.pad(one, ((0, 0), (0, 4 - one.shape[1]))) for one in tiles])
    changed(path, TotalPixelMatrixRows=5, TotalPixelMatrixColumns=7)
    with open_dicom(path) as image:
        assert (image.info.height, image.info.width, image.info.pages) == (5, 7, 1)
        assert np.array_equal(image.read()[..., 0], whole)
        assert np.array_equal(image.rows(0, 2, 4)[..., 0], whole[2:4])


def test_a_damaged_file_is_told(tmp_path: Path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    with pytest.raises(ImageError, match="no DICOM file, or is damaged"), open_dicom(path):
        pass


def test_without_pydicom_the_line_that_installs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8))

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(dicom, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'segzoo-science\[dicom\]'"), open_dicom(path):
        pass
