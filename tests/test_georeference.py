"""Where a TIFF lies on the ground, which value is no measurement, and what its bands are called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from segzoo.errors import missing_extra
from segzoo.images import open_image, tiffs
from segzoo.images.georeference import EXTRA, PLACING, placing_tags, read_geo_tags
from segzoo.images.intensity import missing
from segzoo.interfaces import GeoReference

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.interfaces import ImageInfo

UTM = (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633, 3076, 0, 1, 9001)


def tiff(path: Path, *tags: tuple[int, str, Any], bands: int = 1) -> Path:
    """A TIFF of 4 x 6 pixels with tags of its own: number, kind and value."""
    shape = (4, 6) if bands == 1 else (4, 6, bands)
    extra = [(code, kind, len(value) if kind != "s" else 0, value, True) for code, kind, value in tags]
    look: Any = {"photometric": "minisblack"} if bands == 1 else {"photometric": "rgb"}
    tifffile.imwrite(path, np.zeros(shape, np.uint8), extratags=extra, metadata=None, **look)
    return path


def tags_of(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        return {tag.code: tag.value for tag in page.tags}


SCALED = ((33550, "d", (0.5, 0.25, 0.0)), (33922, "d", (0.0, 0.0, 0.0, 500_000.0, 4_000_000.0, 0.0)))


def test_scale_and_tie_point_place_a_tiff_with_unequal_sides_of_a_pixel(tmp_path: Path):
    path = tiff(tmp_path / "a.tif", *SCALED, (34735, "H", UTM))
    found = read_geo_tags(tags_of(path))
    assert found.geo == GeoReference(
        transform=(0.5, 0, 500_000, 0, -0.25, 4_000_000), crs="EPSG:32633", metre=1.0
    )


def test_pillow_and_tifffile_give_one_place(tmp_path: Path):
    path = tiff(tmp_path / "a.tif", *SCALED, (34735, "H", UTM), (42113, "s", "0"))
    with Image.open(path) as image:
        tags: Any = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
        assert read_geo_tags(tags).geo == read_geo_tags(tags_of(path)).geo
        assert read_geo_tags(tags).nodata == 0


def test_a_rotated_image_is_placed_by_its_matrix(tmp_path: Path):
    matrix = (17.0, 5.0, 0.0, 100.0, 10.0, -8.5, 0.0, 200.0, *[0.0] * 7, 1.0)
    found = read_geo_tags(tags_of(tiff(tmp_path / "a.tif", (34264, "d", matrix))))
    assert found.geo == GeoReference(transform=(17, 5, 100, 10, -8.5, 200))


def test_tie_points_of_pixel_centres_are_moved_to_corners(tmp_path: Path):
    keys = (1, 1, 0, 2, 1025, 0, 1, 2, 2048, 0, 1, 4326)
    found = read_geo_tags(tags_of(tiff(tmp_path / "a.tif", *SCALED, (34735, "H", keys))))
    assert found.geo == GeoReference(transform=(0.5, 0, 499_999.75, 0, -0.25, 4_000_000.125), crs="EPSG:4326")


def test_a_system_without_a_code_is_told_by_its_parameters(tmp_path: Path):
    keys = (1, 1, 0, 8, 1024, 0, 1, 1, 2048, 0, 1, 32767, 2056, 0, 1, 7019, 3072, 0, 1, 32767)
    keys = (*keys, 3074, 0, 1, 32767, 3075, 0, 1, 10, 3088, 34736, 1, 0, 3089, 34736, 1, 1)
    path = tiff(tmp_path / "a.tif", *SCALED, (34735, "H", keys), (34736, "d", (10.0, 52.0)))
    geo = read_geo_tags(tags_of(path)).geo
    assert geo is not None
    assert geo.crs == "+proj=laea +lon_0=10 +lat_0=52 +ellps=GRS80 +units=m +no_defs"


def test_a_tiff_without_a_place_has_none(tmp_path: Path):
    found = read_geo_tags(tags_of(tiff(tmp_path / "a.tif", (34735, "H", UTM))))
    assert found.geo is None
    assert not found.placing


@pytest.mark.parametrize(
    "tags",
    [
        {33550: (0.0, 0.0, 0.0), 33922: (0.0,) * 6},
        {33550: ("a",), 33922: 3},
        {34264: (float("nan"),) * 16},
        {34735: (1, 1, 0, 9, 3072), 42112: "<GDALMetadata><Item", 42113: "no number"},
        {42112: '<!DOCTYPE a [<!ENTITY b "c">]><GDALMetadata/>'},
    ],
)
def test_damaged_tags_place_nothing(tags: dict[int, Any]):
    assert read_geo_tags(tags) == read_geo_tags({})


def test_bands_are_called_as_described_or_by_their_declared_colours(tmp_path: Path):
    text = (
        "<GDALMetadata>"
        '<Item name="COLORINTERP" sample="0" role="colorinterp">Blue</Item>'
        '<Item name="COLORINTERP" sample="1" role="colorinterp">Undefined</Item>'
        '<Item name="DESCRIPTION" sample="2" role="description">Near infrared</Item>'
        "</GDALMetadata>"
    )
    path = tiff(tmp_path / "a.tif", (42112, "s", text), bands=3)
    assert read_geo_tags(tags_of(path), 3).bands == ("blue", "", "Near infrared")


@pytest.mark.parametrize(
    ("crs", "metre"), [("EPSG:32633", 1.0), ("EPSG:2263", 1200 / 3937), ("EPSG:4326", 0)]
)
@pytest.mark.parametrize("transform", [(0.5, 0, 9, 0, -0.25, 8), (17, 5, 100, 10, -8.5, 200)])
def test_what_places_a_mask_is_read_back_as_it_was(transform: Any, crs: str, metre: float):
    geo = GeoReference(transform=transform, crs=crs, metre=metre)
    assert read_geo_tags(placing_tags(geo)).geo == geo


def test_the_tags_of_the_image_are_repeated_in_its_mask(tmp_path: Path):
    tags = tags_of(tiff(tmp_path / "a.tif", *SCALED, (34735, "H", UTM)))
    found = read_geo_tags(tags)
    assert found.geo is not None
    assert placing_tags(found.geo, found.placing) == {code: tags[code] for code in PLACING if code in tags}


def test_a_pixel_has_no_measurement_where_all_bands_hold_the_declared_value():
    pixels = np.array([[[0, 0], [0, 7]]], np.uint8)
    found = missing(pixels, 0)
    assert found is not None
    assert found.tolist() == [[True, False]]


def test_nan_is_no_measurement_in_any_band_and_without_being_declared():
    pixels = np.array([[[1, np.nan], [2, 3]]], np.float32)
    found = missing(pixels, None)
    assert found is not None
    assert found.tolist() == [[True, False]]


def test_a_declared_value_is_rounded_as_its_pixels_are():
    pixels = np.array([[[-3.4e38], [1]]], np.float32)
    found = missing(pixels, -3.4e38)
    assert found is not None
    assert found.tolist() == [[True, False]]


@pytest.mark.parametrize("nodata", [None, -9999, 0.5, 300, float("nan")])
def test_a_value_that_no_pixel_can_hold_hides_none(nodata: float | None):
    assert missing(np.zeros((2, 2, 1), np.uint8), nodata) is None


def info_of(path: Path) -> ImageInfo:
    with open_image(path) as image:
        return image.info


def test_an_opened_tiff_says_where_it_lies_and_repeats_its_tags(tmp_path: Path):
    path = tiff(tmp_path / "a.tif", *SCALED, (34735, "H", UTM), (42113, "s", "0"))
    info = info_of(path)
    assert info.geo == GeoReference(
        transform=(0.5, 0, 500_000, 0, -0.25, 4_000_000), crs="EPSG:32633", metre=1
    )
    assert info.nodata == 0
    assert info.extra[EXTRA] == {code: tags_of(path)[code] for code in (33550, 33922, 34735)}


def test_without_tifffile_an_image_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tiff(tmp_path / "a.tif", *SCALED, (34735, "H", UTM))
    whole = info_of(path)

    def missing() -> Any:
        raise missing_extra("this TIFF needs tifffile", "tiff")

    monkeypatch.setattr(tiffs, "load_tifffile", missing)
    assert info_of(path).geo == whole.geo


def test_declared_colours_name_bands_and_titles_those_that_have_no_other_name(tmp_path: Path):
    items = "".join(
        f'<Item name="{role.upper()}" sample="{band}" role="{role}">{name}</Item>'
        for role, band, name in (
            ("colorinterp", 0, "Blue"),
            ("description", 0, "B02"),
            ("description", 3, "Near infrared"),
        )
    )
    tag = (42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)
    look: Any = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 6, 4), np.uint16), extratags=[tag], **look)
    assert info_of(tmp_path / "a.tif").bands == ("blue", "band 2", "band 3", "Near infrared")


def test_tags_that_went_through_json_place_a_mask_all_the_same(tmp_path: Path):
    info = info_of(tiff(tmp_path / "a.tif", *SCALED, (34735, "H", UTM)))
    assert info.geo is not None
    kept = json.loads(json.dumps(info.extra[EXTRA]))
    assert read_geo_tags(placing_tags(info.geo, kept)).geo == info.geo


@pytest.mark.parametrize(
    ("unit", "size", "told"), [("um", (0.25, 0.5), "um"), ("\\u00B5m", (0.25, 0.5), "um"), ("inch", None, "")]
)
def test_imagej_says_how_large_pixels_are(tmp_path: Path, unit: str, size: Any, told: str):
    pixels = np.zeros((3, 4, 6), np.uint16)
    metadata = {"axes": "CYX", "unit": unit}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    info = info_of(tmp_path / "a.tif")
    assert (info.pixel_size, info.unit) == (size, told)


@pytest.mark.parametrize(
    ("units", "size", "told"),
    [(("nm", "nm"), (0.25, 0.5), "um"), (("mm", "mm"), (250, 500), "mm"), (("mm", "µm"), None, "")],
)
def test_ome_says_how_large_pixels_are(tmp_path: Path, units: Any, size: Any, told: str):
    metadata = {
        "axes": "CYX",
        "PhysicalSizeX": 500,
        "PhysicalSizeXUnit": units[1],
        "PhysicalSizeY": 250,
        "PhysicalSizeYUnit": units[0],
    }
    pixels = np.zeros((3, 4, 6), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=metadata, photometric="minisblack")
    info = info_of(tmp_path / "a.ome.tif")
    assert (info.pixel_size, info.unit) == (size, told)


def test_a_hyperstack_with_its_axes_of_one_is_read_whole(tmp_path: Path):
    pixels = np.arange(3 * 4 * 6, dtype=np.uint16).reshape(3, 4, 6)
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "CYX"})
    with open_image(tmp_path / "a.tif") as image:
        assert np.array_equal(image.read(), pixels.transpose(1, 2, 0))


def test_one_band_in_planes_is_read(tmp_path: Path):
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    path = tmp_path / "a.tif"
    look: Any = {"driver": "GTiff", "height": 4, "width": 6, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", interleave="band", alpha="unspecified", **look) as file:
        file.write(pixels[None])
    assert tags_of(path)[284] == 2
    with open_image(path) as image:
        assert np.array_equal(image.read()[..., 0], pixels)
