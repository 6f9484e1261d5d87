"""Results that stay where they are on the ground: masks, objects and areas of images that lie on maps."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import tifffile
import torch
from pyproj import Geod, Transformer
from rasterio.io import MemoryFile
from rasterio.transform import Affine

import segzoo
from segzoo.cli import run
from segzoo.images.georeference import EXTRA, read_geo_tags
from segzoo.interfaces import GeoReference, ImageInfo
from segzoo.prediction.outputs import OutputOptions, ground, output_files, write_output, write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels

if TYPE_CHECKING:
    from pathlib import Path

LABELS = Labels(classes=("ground", "roof"))
NORTH_UP = (0.5, 0.0, 500_000.0, 0.0, -0.25, 4_000_000.0)
ROTATED = (0.4, 0.3, 500_000.0, 0.3, -0.4, 4_000_000.0)
UTM = GeoReference(transform=NORTH_UP, crs="EPSG:32633", metre=1.0)


def info_of(geo: GeoReference | None, **more: Any) -> ImageInfo:
    return ImageInfo(height=40, width=60, dtype="uint16", bands=("grey",), geo=geo, **more)


def found(info: ImageInfo | None) -> Segmentation:
    """Two roofs on 40 x 60 pixels, one with a hole: 100 - 4, and 50 pixels."""
    mask = np.zeros((40, 60), np.uint8)
    mask[2:12, 5:15] = mask[20:25, 30:40] = 1
    mask[5:7, 8:10] = 0
    return Segmentation(mask, LABELS, np.zeros((40, 60, 1), np.uint8), info=info)


@pytest.fixture
def without_pyproj(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "_pyproj", lambda: None)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED])
@pytest.mark.parametrize("output", ["mask", "values"])
def test_a_mask_as_tiff_lies_where_its_image_lies(tmp_path: Path, transform: Any, output: str):
    geo = GeoReference(transform=transform, crs="EPSG:32633", metre=1.0)
    path = write_output(found(info_of(geo)), tmp_path / "a.tif", output)
    with rasterio.open(path) as mask:
        assert mask.transform == Affine(*transform)
        assert mask.crs.to_epsg() == 32633
        assert np.array_equal(mask.read(1), found(None).mask)


def test_a_mask_repeats_the_keys_of_a_system_without_a_code(tmp_path: Path):
    system = rasterio.CRS.from_string(
        "+proj=laea +lat_0=52 +lon_0=10 +x_0=1000 +y_0=2000 +ellps=GRS80 +units=m"
    )
    profile: Any = {"driver": "GTiff", "width": 60, "height": 40, "count": 1, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(**profile, crs=system, transform=Affine(*NORTH_UP)) as image:
            image.write(np.zeros((1, 40, 60), np.uint8))
        with tifffile.TiffFile(memory) as file:
            tags = read_geo_tags({tag.code: tag.value for tag in file.pages[0].tags})  # pyright: ignore
    path = write_output(found(info_of(tags.geo, extra={EXTRA: tags.placing})), tmp_path / "a.tif")
    with rasterio.open(path) as mask:
        assert mask.crs == system
        assert mask.transform == Affine(*NORTH_UP)


def test_a_mask_that_is_written_by_rows_lies_where_its_image_lies(tmp_path: Path):
    path = tmp_path / "a.tif"
    with output_files({"mask": path}, LABELS, (40, 60), info=info_of(UTM)) as files:
        for top in range(0, 40, 7):
            files.write(found(None).mask[top : top + 7])
    with rasterio.open(path) as mask:
        assert (mask.transform, mask.crs.to_epsg()) == (Affine(*NORTH_UP), 32633)
        assert np.array_equal(mask.read(1), found(None).mask)


def test_a_mask_of_an_image_that_was_turned_upright_claims_no_place(tmp_path: Path):
    path = write_output(found(info_of(UTM, orientation=6)), tmp_path / "a.tif")
    with rasterio.open(path) as mask:
        assert mask.crs is None


def test_masks_of_an_image_on_the_ground_are_tiff_unless_another_format_is_chosen(tmp_path: Path):
    names = ["mask", "values", "binary", "overlay", "areas"]
    look = OutputOptions(suffixes={"values": "_values.png"})
    paths = write_outputs(found(info_of(UTM)), tmp_path / "a", names, look)
    suffixes = ["a_mask.tif", "a_values.png", "a_binary.tif", "a_overlay.png", "a_areas.csv"]
    assert [path.name for path in paths] == suffixes
    with rasterio.open(paths[2]) as binary:
        assert binary.crs.to_epsg() == 32633
        assert np.unique(binary.read(1)).tolist() == [0, 255]


@pytest.mark.slow
def test_predict_writes_masks_where_images_lie_whole_and_by_rows(tmp_path: Path):
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, width=2, depth=2)
    segzoo.save(model, tmp_path / "weights")
    profile: Any = {"driver": "GTiff", "width": 1800, "height": 2200, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "field.tif", "w", crs="EPSG:32633", transform=Affine(*NORTH_UP), **profile
    ) as file:
        file.write(np.random.default_rng(0).integers(0, 256, (3, 2200, 1800), np.uint8))
    words = ["predict", str(tmp_path / "field.tif"), "--model", str(tmp_path / "weights")]
    words += ["--outputs", "mask,areas", "--out"]
    assert run([*words, str(tmp_path / "whole")]) == 0
    assert run([*words, str(tmp_path / "rows"), "--memory", "40MB"]) == 0
    masks: list[Any] = []
    for folder in ("whole", "rows"):
        with rasterio.open(tmp_path / folder / "field_mask.tif") as mask:
            assert (mask.transform, mask.crs.to_epsg()) == (Affine(*NORTH_UP), 32633)
            masks.append(mask.read(1))
    assert np.mean(masks[0] != masks[1]) < 1e-3
    rows = table(tmp_path / "rows/field_areas.csv")
    total = sum(float(row["square metres"]) for row in rows.values())
    assert total == pytest.approx(2200 * 1800 * 0.125)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [[], ["--memory", "80MB"]])
@pytest.mark.parametrize("nodata", [-9999, np.nan])
def test_pixels_without_a_measurement_are_background_whole_and_by_rows(
    tmp_path: Path, nodata: float, memory: Any
):
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, in_channels=1, width=2, depth=2)
    with torch.no_grad():
        (*_, bias) = (value for name, value in model.named_parameters() if name.endswith("bias"))
        bias.fill_(1e3)  # finds something everywhere
    segzoo.save(model, tmp_path / "weights")
    pixels = np.random.default_rng(0).uniform(0, 1, (2000, 1500)).astype(np.float32)
    pixels[:700, :300] = nodata
    look: Any = {"driver": "GTiff", "width": 1500, "height": 2000, "count": 1, "dtype": "float32"}
    place: Any = {"crs": "EPSG:32633", "transform": Affine(*NORTH_UP), "nodata": nodata}
    with rasterio.open(tmp_path / "field.tif", "w", **look, **place) as file:
        file.write(pixels[None])
    words = [
        "predict",
        str(tmp_path / "field.tif"),
        "--model",
        str(tmp_path / "weights"),
        "--outputs",
        "mask",
    ]
    assert run([*words, "--intensity", "range:0,1", "--out", str(tmp_path / "out"), *memory]) == 0
    with rasterio.open(tmp_path / "out/field_mask.tif") as mask:
        wanted = np.ones((2000, 1500), np.uint8)
        wanted[:700, :300] = 0
        assert np.array_equal(mask.read(1), wanted)


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["class"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(("transform", "each"), [(NORTH_UP, 0.125), (ROTATED, 0.25)])
def test_areas_are_square_metres_where_the_system_counts_in_metres(
    tmp_path: Path, transform: Any, each: float
):
    geo = GeoReference(transform=transform, crs="EPSG:32633", metre=1.0)
    rows = table(write_output(found(info_of(geo)), tmp_path / "a.csv", "areas"))
    assert float(rows["roof"]["square metres"]) == pytest.approx(146 * each)
    assert float(rows["ground"]["square metres"]) == pytest.approx((2400 - 146) * each)


def test_large_areas_are_written_without_exponents(tmp_path: Path):
    geo = GeoReference(transform=(10_000, 0, 0, 0, -10_000, 0), crs="EPSG:32633", metre=1.0)
    rows = table(write_output(found(info_of(geo)), tmp_path / "a.csv", "areas"))
    assert rows["roof"]["square metres"] == "14600000000"


def test_feet_become_square_metres(tmp_path: Path):
    geo = GeoReference(transform=(1, 0, 0, 0, -1, 0), crs="EPSG:2263", metre=1200 / 3937)
    rows = table(write_output(found(info_of(geo)), tmp_path / "a.csv", "areas"))
    assert float(rows["roof"]["square metres"]) == pytest.approx(146 * (1200 / 3937) ** 2)


@pytest.mark.parametrize(("crs", "step"), [("EPSG:4326", 0.01), ("EPSG:3857", 1000)])
def test_degrees_and_mercator_are_measured_on_the_ellipsoid(tmp_path: Path, crs: str, step: float):
    top = 60 if crs == "EPSG:4326" else 8_000_000
    metre = 0.0 if crs == "EPSG:4326" else 1.0
    geo = GeoReference(transform=(step, 0, 10, 0, -step, top), crs=crs, metre=metre)
    rows = table(write_output(found(info_of(geo)), tmp_path / "a.csv", "areas"))
    wanted = 0.0
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for left, right, first, last, sign in ((5, 15, 2, 12, 1), (30, 40, 20, 25, 1), (8, 10, 5, 7, -1)):
        x, y = np.array([left, right, right, left]), np.array([first, first, last, last])
        lon, lat = to_degrees.transform(10 + step * x, top - step * y)
        wanted += sign * abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0])
    assert float(rows["roof"]["square metres"]) == pytest.approx(wanted, rel=1e-4)


def test_areas_by_rows_are_those_of_the_whole(tmp_path: Path):
    info = info_of(GeoReference(transform=(0.01, 0, 10, 0, -0.01, 60), crs="EPSG:4326"))
    whole = write_output(found(info), tmp_path / "whole.csv", "areas").read_text()
    with output_files({"areas": tmp_path / "rows.csv"}, LABELS, (40, 60), info=info) as files:
        for top in range(0, 40, 7):
            files.write(found(None).mask[top : top + 7])
    assert (tmp_path / "rows.csv").read_text() == whole


@pytest.mark.usefixtures("without_pyproj")
def test_without_pyproj_areas_in_degrees_are_left_out_and_it_is_told(tmp_path: Path):
    geo = GeoReference(transform=(0.01, 0, 10, 0, -0.01, 60), crs="EPSG:4326")
    with pytest.warns(UserWarning, match=r"square metres in EPSG:4326 need pyproj: .*\[geo\]"):
        rows = table(write_output(found(info_of(geo)), tmp_path / "a.csv", "areas"))
    assert list(rows["roof"]) == ["class", "index", "pixels", "share", "objects"]


@pytest.mark.parametrize(("unit", "named"), [("um", "square micrometres"), ("mm", "square millimetres")])
def test_areas_are_counted_in_the_unit_of_the_size_of_pixels(tmp_path: Path, unit: str, named: str):
    info = info_of(None, pixel_size=(0.5, 0.25), unit=unit)
    rows = table(write_output(found(info), tmp_path / "a.csv", "areas"))
    assert float(rows["roof"][named]) == pytest.approx(146 * 0.125)


def test_areas_of_an_image_that_says_nothing_of_its_pixels_are_as_they_were(tmp_path: Path):
    text = write_output(found(None), tmp_path / "a.csv", "areas").read_text()
    assert text.splitlines()[0] == "class,index,pixels,share,objects"
    assert write_output(found(info_of(None)), tmp_path / "b.csv", "areas").read_text() == text


def shapes(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def signed_area(ring: list[list[float]]) -> float:
    x, y = np.array(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, (0.5, 0, 500_000, 0, 0.25, 4_000_000)])
def test_geojson_is_in_longitude_and_latitude(tmp_path: Path, transform: Any):
    geo = GeoReference(transform=transform, crs="EPSG:32633", metre=1.0)
    collection = shapes(write_output(found(info_of(geo)), tmp_path / "a.geojson", "geojson"))
    assert list(collection) == ["type", "features"]
    outer, hole = collection["features"][0]["geometry"]["coordinates"]
    a, b, c, d, e, f = transform
    corners = [(a * x + b * y + c, d * x + e * y + f) for x in (5, 15) for y in (2, 12)]
    wanted = sorted(Transformer.from_crs(32633, 4326, always_xy=True).itransform(corners))
    assert np.allclose(sorted(map(tuple, outer[:-1])), wanted, rtol=0, atol=2e-9)
    assert outer[0] == outer[-1]
    assert signed_area(outer) > 0 > signed_area(hole)


def test_geojson_says_the_area_of_each_object(tmp_path: Path):
    collection = shapes(write_output(found(info_of(UTM)), tmp_path / "a.geojson", "geojson"))
    assert [one["properties"]["square metres"] for one in collection["features"]] == [96 * 0.125, 50 * 0.125]


def test_geojson_in_the_system_of_the_image_names_it(tmp_path: Path):
    look = OutputOptions(geojson_crs="image")
    collection = shapes(write_output(found(info_of(UTM)), tmp_path / "a.geojson", "geojson", look))
    assert collection["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    outer, hole = collection["features"][0]["geometry"]["coordinates"]
    assert {tuple(point) for point in outer} == {
        (500_000 + 0.5 * x, 4_000_000 - 0.25 * y) for x in (5, 15) for y in (2, 12)
    }
    assert signed_area(outer) > 0 > signed_area(hole)


def test_geojson_in_pixels_is_as_it_was(tmp_path: Path):
    look = OutputOptions(geojson_crs="pixels")
    placed = shapes(write_output(found(info_of(UTM)), tmp_path / "a.geojson", "geojson", look))
    plain = shapes(write_output(found(None), tmp_path / "b.geojson", "geojson"))
    assert placed["coordinates"] == plain["coordinates"]
    assert [one["geometry"] for one in placed["features"]] == [one["geometry"] for one in plain["features"]]


@pytest.mark.usefixtures("without_pyproj")
def test_without_pyproj_geojson_is_in_the_system_of_the_image_and_it_is_told(tmp_path: Path):
    with pytest.warns(UserWarning, match=r"longitude and latitude need pyproj: .*\[geo\]"):
        collection = shapes(write_output(found(info_of(UTM)), tmp_path / "a.geojson", "geojson"))
    assert collection["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"


def test_geojson_of_a_place_without_a_system_says_so(tmp_path: Path):
    info = info_of(GeoReference(transform=NORTH_UP))
    collection = shapes(write_output(found(info), tmp_path / "a.geojson", "geojson"))
    assert "does not name" in collection["coordinates"]
    assert collection["features"][0]["geometry"]["coordinates"][0][0][0] > 500_000
