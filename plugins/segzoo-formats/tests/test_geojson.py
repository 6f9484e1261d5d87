"""Polygons of GeoJSON become masks of the images that they lie on, by name or on the ground."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, OptionError
from segzoo.images import read_with_info
from segzoo.prediction.outputs import OutputOptions, write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.recognition import recognise
from segzoo.specs import Labels

rasterio = pytest.importorskip("rasterio")

SIZE = (20, 30)
LEFT, TOP, METRES = 500_000.0, 4_000_000.0, 2.0


def tiff(path, left=LEFT, crs="EPSG:32616"):
    """Write a GeoTIFF whose pixels are 2 m, and return its transform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = rasterio.transform.from_origin(left, TOP, METRES, METRES)
    shape = {"height": SIZE[0], "width": SIZE[1], "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **shape) as file:
        file.write(np.full((3, *SIZE), 50, np.uint8))
    return transform


def box(left, top, right, bottom):
    """Return a rectangle in map coordinates, from pixels of the first image."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return [[LEFT + METRES * x, TOP - METRES * y] for x, y in corners]


def feature(ring, **properties):
    return {
        "type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}
    }  # fmt: skip


def write(path, *features, crs="urn:ogc:def:crs:EPSG::32616", **more):
    said = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **said, **more, "features": list(features)}))


def opened(root, split="all", **options):
    return open_dataset("geojson", root=root, split=split, **options)


def test_a_file_with_an_images_name_is_drawn_where_it_lies_on_the_ground(tmp_path):
    tiff(tmp_path / "a.tif")
    write(tmp_path / "a.geojson", feature(box(3, 2, 13, 12), kind="roof"))
    data = opened(tmp_path)
    assert (data.labels.classes, data.names) == (("background", "object"), ["a"])
    assert int(data[0].mask[2:12, 3:13].sum()) == int(data[0].mask.sum()) == 100
    assert opened(tmp_path, label="kind").labels.classes == ("background", "roof")
    with pytest.raises(OptionError, match="no polygon has a property 'knd'; did you mean 'kind'"):
        opened(tmp_path, label="knd")


def test_a_map_belongs_to_every_image_that_its_polygons_reach(tmp_path):
    for number in range(3):
        tiff(tmp_path / "tiles" / f"{number}.tif", LEFT + number * SIZE[1] * METRES)
    write(tmp_path / "roofs.geojson", feature(box(28, 2, 33, 12)))
    data = opened(tmp_path)
    assert data.names == ["tiles/0", "tiles/1"]
    assert [int(sample.mask.sum()) for sample in data] == [20, 30]
    assert {one.kind: one.count for one in data.remarks} == {"one-class": 1, "no-annotation": 1}


def test_degrees_are_transformed_and_a_missing_pyproj_is_named(tmp_path, monkeypatch):
    pyproj = pytest.importorskip("pyproj")
    tiff(tmp_path / "a.tif")
    turn = pyproj.Transformer.from_crs("EPSG:32616", "EPSG:4326", always_xy=True)
    write(tmp_path / "a.geojson", feature([list(turn.transform(*one)) for one in box(3, 2, 13, 12)]), crs="")
    assert int(opened(tmp_path)[0].mask.sum()) == 100

    def missing(*_):
        raise ImportError

    monkeypatch.setattr("segzoo_formats.geojson._transformer", missing)
    with pytest.raises(FailureError, match=r"a\.geojson has coordinates in EPSG:4326, .* install pyproj"):
        opened(tmp_path)[0]


def test_pixels_are_taken_as_such_only_where_it_is_said(tmp_path):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")
    ring = [[2, 3], [12, 3], [12, 13], [2, 13], [2, 3]]
    write(tmp_path / "a.geojson", feature(ring), crs="")
    with pytest.raises(FailureError, match=r"a\.png does not say where it lies.*coordinates=pixels"):
        opened(tmp_path)
    assert int(opened(tmp_path, coordinates="pixels")[0].mask.sum()) == 100


@pytest.mark.parametrize("place", ["pixels", "image", "degrees"])
def test_what_segzoo_writes_is_read_back_to_the_pixel(tmp_path, place):
    random = np.random.default_rng(0)
    mask = random.integers(0, 3, (4, 6), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    labels = Labels(classes=("background", "cat", "dog"))
    tiff(tmp_path / "a.tif")
    image, info = read_with_info(tmp_path / "a.tif")
    found = Segmentation(mask, labels, image, info=info)
    options = OutputOptions(geojson_crs=place, connectivity=4)
    write_outputs(found, tmp_path / "a", ["geojson"], options, source="a.tif")
    assert "geojson" in {one.name for one in recognise(tmp_path)}
    data = opened(tmp_path)
    assert data.labels.classes == labels.classes
    np.testing.assert_array_equal(data[0].mask, mask)


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    with pytest.raises(FailureError, match=r"holds no \.geojson files"):
        opened(tmp_path)
    tiff(tmp_path / "a.tif")
    write(tmp_path / "far.geojson", feature(box(900, 2, 913, 12)))
    with pytest.raises(FailureError, match=r"far\.geojson in .*no georeferenced image that the poly"):
        opened(tmp_path)
    write(tmp_path / "far.geojson", feature(box(900, 2, 913, 12)), crs="urn:x")
    with pytest.raises(FailureError, match=r"far\.geojson has coordinates in urn:x"):
        opened(tmp_path)
    write(tmp_path / "far.geojson")
    with pytest.raises(OptionError, match="there are no polygons"):
        opened(tmp_path)


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")
def test_footprints_of_spacenet_are_pixel_equal_to_rasterios(tmp_path):
    from rasterio.features import rasterize

    root = Path(os.environ["SEGZOO_DATA"]).parent / "formats/spacenet_solaris"
    assert [one.name for one in recognise(root)] == ["geojson"]
    data = opened(root)
    assert data.names == ["sample_geotiff"]
    said = json.loads((root / "geotiff_labels.geojson").read_text())
    with rasterio.open(root / "sample_geotiff.tif") as image:
        shapes = [one["geometry"] for one in said["features"]]
        wanted = rasterize(shapes, out_shape=image.shape, transform=image.transform)
    np.testing.assert_array_equal(data[0].mask, wanted)
    assert data[0].instances.max() == 43
