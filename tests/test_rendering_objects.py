"""Objects as polygons, run lengths and JSON, held against the pixels that they stand for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from segzoo.prediction.outputs import OutputOptions, write_outputs
from segzoo.prediction.outputs.coco import compress_runs, count_runs
from segzoo.prediction.outputs.polygons import trace_polygons
from segzoo.prediction.postprocessing import find_instances
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels

LABELS = Labels(classes=("background", "cell", "nucleus"))
MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.integers(0, 2))
)
RING = np.array(
    [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 1, 0, 1, 0, 2], [0, 1, 1, 1, 2, 0], [0, 0, 0, 0, 0, 0]],
    np.uint8,
)


def filled(rings, shape):
    """Even-odd at pixel centres: a pixel is inside if an odd number of vertical edges lie to its left."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        for (x, y), (x2, y2) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
            assert (x == x2) != (y == y2)
            if x == x2:
                inside[min(y, y2) : max(y, y2), x:] ^= True
    return inside


def signed_area(ring):
    """The shoelace formula: positive where corners run clockwise on a screen."""
    x, y = ring.T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def plain_counts(where):
    """Counts of one object, pixel by pixel."""
    counts, before, run = [], False, 0
    for pixel in where.ravel(order="F"):
        if pixel != before:
            counts.append(run)
            before, run = pixel, 0
        run += 1
    return [*counts, run]


def decompressed(text):
    """COCO's string to counts, by its description."""
    counts, place = [], 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            digit = ord(text[place]) - 48
            value |= (digit & 31) << shift
            more = bool(digit & 32)
            place, shift = place + 1, shift + 5
            if not more and digit & 16:
                value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


@pytest.mark.parametrize("connectivity", [4, 8])
@given(mask=MASKS)
def test_filling_the_polygons_gives_back_the_objects(connectivity, mask):
    objects = find_instances(mask, LABELS, connectivity)
    polygons = trace_polygons(objects.numbers, connectivity)
    assert len(polygons) == len(objects.areas)
    for number, rings in enumerate(polygons, start=1):
        assert np.array_equal(filled(rings, mask.shape), objects.numbers == number)
        outer, *holes = map(signed_area, rings)
        assert outer > 0
        assert all(hole < 0 for hole in holes)
        assert outer + sum(holes) == objects.areas[number - 1]


@given(mask=MASKS)
def test_run_lengths_are_those_of_counting_pixel_by_pixel(mask):
    objects = find_instances(mask, LABELS)
    counts = count_runs(objects.numbers)
    assert len(counts) == len(objects.areas)
    for number, (one, text) in enumerate(zip(counts, compress_runs(counts), strict=True), start=1):
        assert one.tolist() == plain_counts(objects.numbers == number)
        assert decompressed(text) == one.tolist()


def test_long_runs_are_compressed_without_loss():
    random = np.random.default_rng(0)
    numbers = np.zeros((3000, 400), np.int32)
    for number in range(1, 9):
        top, left = random.integers(0, 2900), 50 * (number - 1)
        numbers[top : top + random.integers(1, 3000 - top), left : left + 40] = number
    counts = count_runs(numbers)
    assert [decompressed(text) for text in compress_runs(counts)] == [one.tolist() for one in counts]


def test_a_known_string_of_cocos_own():
    # What mask.encode of pycocotools 2.0.11 gave for 5 x 5 pixels whose middle 3 x 3 are set.
    numbers = np.zeros((5, 5), np.int32)
    numbers[1:4, 1:4] = 1
    assert count_runs(numbers)[0].tolist() == [6, 3, 2, 3, 2, 3, 6]
    assert compress_runs(count_runs(numbers)) == ["6320004"]


def test_an_object_keeps_its_hole_and_a_corner_joins_or_parts():
    result = Segmentation(mask=RING, labels=LABELS, image=np.zeros((5, 6, 3), np.uint8))
    joined, parted = result.polygons(8), result.polygons(4)
    assert [(index, len(rings)) for index, rings in joined] == [(1, 2), (2, 1)]
    assert [(index, len(rings)) for index, rings in parted] == [(1, 2), (2, 1), (2, 1)]
    outer, hole = joined[0][1]
    assert sorted(map(tuple, outer.tolist())) == [(1, 1), (1, 4), (4, 1), (4, 4)]
    assert sorted(map(tuple, hole.tolist())) == [(2, 2), (2, 3), (3, 2), (3, 3)]


def test_pillow_fills_a_polygon_to_the_same_mask():
    random = np.random.default_rng(1)
    small = Image.fromarray((random.random((12, 16)) > 0.5).astype(np.uint8) * 255)
    mask = (np.asarray(small.resize((160, 120), Image.Resampling.BICUBIC)) > 127).astype(np.uint8)
    objects = find_instances(mask, LABELS)
    canvas = Image.new("L", (1600, 1200))
    draw = ImageDraw.Draw(canvas)
    for rings in trace_polygons(objects.numbers):
        for number, ring in enumerate(rings):
            draw.polygon([(10 * x, 10 * y) for x, y in ring.tolist()], fill=0 if number else 1)
    assert np.array_equal(np.asarray(canvas)[5::10, 5::10], mask)


def test_coco_names_each_object_and_its_class(tmp_path):
    result = Segmentation(mask=RING, labels=LABELS, image=np.zeros((5, 6, 3), np.uint8))
    (path,) = write_outputs(result, tmp_path / "a", ["coco"], source="a.jpg")
    data = json.loads(path.read_text())
    assert data["images"] == [{"id": 1, "file_name": "a.jpg", "height": 5, "width": 6}]
    assert data["categories"] == [
        {"id": 1, "name": "cell", "supercategory": ""},
        {"id": 2, "name": "nucleus", "supercategory": ""},
    ]
    ring, pair = data["annotations"]
    assert (ring["category_id"], ring["area"], ring["bbox"]) == (1, 8, [1, 1, 3, 3])
    assert (pair["category_id"], pair["area"], pair["bbox"]) == (2, 2, [4, 2, 2, 2])
    assert decompressed(ring["segmentation"]["counts"]) == plain_counts(RING == 1)


def test_coco_polygons_leave_objects_with_holes_as_run_lengths(tmp_path):
    result = Segmentation(mask=RING, labels=LABELS, image=np.zeros((5, 6, 3), np.uint8))
    (path,) = write_outputs(result, tmp_path / "a", ["coco"], OutputOptions(coco="polygons", connectivity=4))
    ring, *dots = json.loads(path.read_text())["annotations"]
    assert "counts" in ring["segmentation"]
    assert [dot["segmentation"] for dot in dots] == [[[5, 2, 6, 2, 6, 3, 5, 3]], [[4, 3, 5, 3, 5, 4, 4, 4]]]


def test_geojson_is_closed_rings_in_pixels(tmp_path):
    result = Segmentation(mask=RING, labels=LABELS, image=np.zeros((5, 6, 3), np.uint8))
    (path,) = write_outputs(result, tmp_path / "a", ["geojson"])
    data = json.loads(path.read_text())
    assert data["type"] == "FeatureCollection"
    assert data["coordinates"].startswith("pixels")
    ring = data["features"][0]
    assert ring["properties"] == {"class": "cell", "index": 1, "pixels": 8}
    assert [len(one) for one in ring["geometry"]["coordinates"]] == [5, 5]
    assert all(one[0] == one[-1] for one in ring["geometry"]["coordinates"])


@pytest.mark.parametrize("output", ["coco", "geojson"])
def test_an_image_without_objects_is_an_empty_list(tmp_path, output):
    result = Segmentation(mask=np.zeros((4, 4), np.uint8), labels=LABELS, image=np.zeros((4, 4, 3), np.uint8))
    (path,) = write_outputs(result, tmp_path / "a", [output])
    data = json.loads(path.read_text())
    assert data["annotations" if output == "coco" else "features"] == []
