"""Shapes cover the pixels that the programs cover that they were drawn in."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from segzoo.datasets.shapes import Ellipse, Line, Polygon, Runs, Several, Stencil
from segzoo.prediction.outputs.coco import count_runs
from segzoo.prediction.outputs.polygons import trace_polygons

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def whole(shape, size):
    """The mask of a whole image."""
    patch, mask = shape.draw(size), np.zeros(size, np.bool_)
    mask[patch.place] = patch.inside
    return mask


@st.composite
def rings(draw, least=3):
    """Corners inside and outside of an image: anywhere, on integers, on tenths, or close together."""
    size = draw(SIZES)
    count = draw(st.integers(least, 9))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    spread, places = draw(st.sampled_from([0.05, 1, 2, 30])), draw(st.sampled_from([0, 1, 15]))
    corners = (rng.random((count, 2)) - 0.5) * spread + 0.5
    return np.round(corners * size[::-1], places), size


def by_pycocotools(every, size):
    mask = pytest.importorskip("pycocotools.mask")
    return mask.decode(mask.merge(mask.frPyObjects([one.ravel().tolist() for one in every], *size))) > 0


def by_opencv(every, size):
    cv2 = pytest.importorskip("cv2")
    return cv2.fillPoly(np.zeros(size, np.uint8), [np.asarray(one, np.int32) for one in every], 1) > 0


def by_pillow(every, size):
    image = Image.new("1", size[::-1])
    ImageDraw.Draw(image).polygon([tuple(xy) for xy in every[0].tolist()], fill=1, outline=1)
    return np.asarray(image)


def by_centres(every, size):
    """Ray casting, one pixel at a time."""
    mask = np.zeros(size, np.bool_)
    for y, x in np.ndindex(size):
        for ring in every:
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if (y0 <= y + 0.5) != (y1 <= y + 0.5):
                    mask[y, x] ^= x0 + (y + 0.5 - y0) * ((x1 - x0) / (y1 - y0)) <= x + 0.5
    return mask


RULES = {"coco": by_pycocotools, "opencv": by_opencv, "centre": by_centres}


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_a_polygon_covers_the_pixels_of_its_program(rule, data):
    if rule == "centre":
        ring, (height, width) = data.draw(rings())
        size = min(height, 12), min(width, 12)
    else:
        ring, size = data.draw(rings(1 if rule == "opencv" else 3))
    np.testing.assert_array_equal(whole(Polygon([ring], rule), size), RULES[rule]([ring], size))


@given(rings(2))
def test_labelmes_polygons_are_pillows(drawn):
    ring, size = drawn
    np.testing.assert_array_equal(whole(Polygon([ring], "pillow"), size), by_pillow([ring], size))


@given(rings(), rings())
def test_opencv_cuts_holes_out_by_the_even_odd_rule(first, second):
    every, size = [first[0], second[0]], first[1]
    np.testing.assert_array_equal(whole(Polygon(every, "opencv"), size), by_opencv(every, size))


@given(rings(), rings())
def test_several_polygons_are_one_region_as_pycocotools_merges_them(first, second):
    every, size = [first[0], second[0]], first[1]
    region = Several([Polygon([one], "coco") for one in every])
    np.testing.assert_array_equal(whole(region, size), by_pycocotools(every, size))


@pytest.mark.parametrize("connectivity", [4, 8])
@given(arrays(np.uint8, SIZES, elements=st.integers(0, 1)))
def test_corners_along_the_edges_of_pixels_give_back_the_pixels(connectivity, mask):
    for traced in trace_polygons(mask, connectivity):
        region = Polygon([ring.astype(float) for ring in traced])
        np.testing.assert_array_equal(whole(region, mask.shape), mask > 0)


@given(arrays(np.uint8, SIZES, elements=st.sampled_from([0, 0, 0, 1])))
def test_runs_give_back_the_mask_that_they_were_counted_in(mask):
    for counts in count_runs(mask):
        np.testing.assert_array_equal(whole(Runs(counts, mask.shape), mask.shape), mask > 0)


def test_runs_are_drawn_in_their_bounding_box_and_may_be_empty():
    counts = np.array([9, 2, 0, 1, 16, 0], np.int64)  # rows 1 to 3 of the third of 7 columns
    patch = Runs(counts, (4, 7)).draw((4, 7))
    assert (patch.top, patch.left, patch.inside.tolist()) == (1, 2, [[True]] * 3)
    assert Runs(np.array([28], np.int64), (4, 7)).draw((4, 7)).area == 0


@pytest.mark.parametrize("rule", ["centre", "coco", "opencv", "pillow"])
@pytest.mark.parametrize(
    "ring",
    [
        np.zeros((0, 2)),
        np.array([[2.0, 3.0]]),
        np.array([[2.0, 3.0], [7.0, 3.0]]),
        np.array([[20.0, 3.0], [70.0, 3.0], [30.0, 60.0]]),
        np.array([[-20.0, -3.0], [-70.0, -3.0], [-30.0, -60.0]]),
        np.array([[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]]),
    ],
    ids=["none", "point", "line", "right of it", "left of it", "far"],
)
def test_every_rule_takes_what_has_no_area_or_lies_outside(rule, ring):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = whole(Polygon([ring], rule), (8, 9))
    # A rule that draws outlines draws points (1 pixel) and lines (6 pixels).
    outlined = (len(ring) * 5 - 4 if rule in ("opencv", "pillow") else 0) if 0 < len(ring) < 3 else 0
    assert mask.sum() == (mask.size if ring.max(initial=0) > 1e9 else outlined)


def test_a_patch_is_no_larger_than_its_shape():
    triangle = np.array([[1000.0, 2000], [1020, 2000], [1010, 2030]])
    for rule in ("centre", "coco", "opencv", "pillow"):
        patch = Polygon([triangle], rule).draw((4000, 6000))
        assert max(patch.inside.shape) < 40
        assert 280 < patch.area < 360


def test_shapes_that_are_no_polygons_are_cut_off_at_the_border():
    assert whole(Stencil(np.ones((3, 3), np.bool_), -1, 6), (8, 8))[:2, 6:].sum() == 4
    assert Stencil(np.ones((3, 3), np.bool_), -3, 0).draw((8, 8)).area == 0
    assert whole(Ellipse((0, 0), (3, 3)), (8, 8)).sum() < 16
    turned = whole(Ellipse((20, 20), (10, 4), 90), (40, 40))
    assert np.abs(turned.sum() - 40 * np.pi) < 20
    assert turned.any(axis=1).sum() > turned.any(axis=0).sum()
    assert whole(Line(np.array([[0.0, 4], [7, 4]]), 1), (8, 8))[4].all()
    assert Line(np.array([[50.0, 4]]), 4).draw((8, 8)).area == 0


@pytest.mark.parametrize("radius", [1e30, 1e308, float("inf")])
@pytest.mark.parametrize("rule", ["centre", "pillow"])
def test_an_endless_ellipse_is_cut_off_at_the_border(rule, radius):
    patch = Ellipse((5, 5), (radius, radius), rule=rule).draw((8, 9))
    assert patch.inside.shape in ((8, 9), (0, 0))
