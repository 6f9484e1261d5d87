"""Outlines of objects: along edges, through pixels, joined over holes, and with fewer corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segzoo.datasets.shapes import Polygon
from segzoo.errors import OptionError
from segzoo.prediction.outputs import OutputOptions
from segzoo.prediction.outputs.outlines import find_outlines, joined_rings, outline_regions
from segzoo.prediction.outputs.simplifying import _crossed, kept_corners
from segzoo.prediction.postprocessing import find_instances
from segzoo.specs import Labels

LABELS = Labels(classes=("background", "cell", "nucleus"))
MASKS = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 2))


def drawn(rings, size) -> np.ndarray:
    canvas = np.zeros(size, np.bool_)
    patch = Polygon(rings).draw(size)
    canvas[patch.place] = patch.inside
    return canvas


def blobs(size: int = 300, seed: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((size, size)), 5)
    return (noise > 0.505).astype(np.uint8)


@given(mask=MASKS, connectivity=st.sampled_from([4, 8]))
def test_one_ring_with_bridges_holds_the_same_pixels_as_outline_and_holes(mask, connectivity):
    objects = find_instances(mask, LABELS, connectivity)
    for number, one in enumerate(find_outlines(objects), start=1):
        assert np.array_equal(drawn([joined_rings(one.polygons[0])], mask.shape), objects.numbers == number)


@given(mask=MASKS, connectivity=st.sampled_from([4, 8]))
def test_opencv_draws_rings_through_pixels_to_the_same_mask(mask, connectivity):
    cv2 = pytest.importorskip("cv2")
    objects = find_instances(mask, LABELS, connectivity)
    for number, one in enumerate(find_outlines(objects, course="pixels"), start=1):
        for rings in (one.polygons[0], [joined_rings(one.polygons[0])]):
            canvas = np.zeros(mask.shape, np.uint8)
            cv2.fillPoly(canvas, [ring.astype(np.int32) for ring in rings], 1)
            assert np.array_equal(canvas > 0, objects.numbers == number)


@given(mask=MASKS, tolerance=st.sampled_from([0.3, 1.0, 2.0, 50.0]))
def test_a_simplified_object_keeps_three_corners_its_holes_and_a_pixel(mask, tolerance):
    objects = find_instances(mask, LABELS)
    plain = find_outlines(objects)
    for one, other in zip(find_outlines(objects, simplify=tolerance), plain, strict=True):
        assert len(one.polygons[0]) == len(other.polygons[0])
        assert all(len(ring) >= 3 for ring in one.polygons[0])
        assert drawn(one.polygons[0], mask.shape).any()


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0, 5.0])
def test_simplified_outlines_pass_within_the_tolerance_and_cross_nothing(tolerance):
    mask = blobs()
    objects = find_instances(mask, LABELS)
    plain, simple = find_outlines(objects), find_outlines(objects, simplify=tolerance)
    assert sum(map(corners, simple)) < sum(map(corners, plain))
    starts = [ring for one in simple for ring in one.polygons[0]]
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in starts])
    owner = np.repeat(np.arange(len(simple)), [corners(one) for one in simple])
    assert not len(_crossed(np.concatenate(starts), ends, owner))
    for one, other in zip(simple, plain, strict=True):
        for ring, whole in zip(one.polygons[0], other.polygons[0], strict=True):
            assert farthest(whole, ring) <= tolerance + 1e-9


@pytest.mark.medium
def test_more_tolerance_leaves_fewer_corners_and_a_mask_that_is_alike():
    mask = blobs(600)
    objects = find_instances(mask, LABELS)
    counts, shares = [], []
    for tolerance in (0.0, 1.0, 2.0, 4.0):
        found = find_outlines(objects, simplify=tolerance)
        seen = np.any([drawn(one.polygons[0], mask.shape) for one in found], axis=0)
        counts.append(sum(map(corners, found)))
        shares.append((seen & (mask > 0)).sum() / (seen | (mask > 0)).sum())
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0] / 8
    assert shares[0] == 1.0
    assert min(shares) > 0.85


def test_an_edge_that_crosses_another_of_its_object_is_found():
    bow = np.array([[0, 0], [4, 4], [4, 0], [0, 4]])
    crossed = _crossed(bow, np.roll(bow, -1, axis=0), np.zeros(4, np.int64))
    assert crossed.tolist() == [0, 2]
    assert not len(_crossed(bow, np.roll(bow, -1, axis=0), np.arange(4)))


def test_nothing_is_simplified_by_0_and_nothing_of_nothing():
    assert kept_corners([], 3.0) == []
    square = [np.array([[0, 0], [1, 0], [1, 1], [0, 1]])]
    assert [one.tolist() for (one,) in kept_corners([square], 0)] == [[0, 1, 2, 3]]


def test_a_region_in_pieces_is_one_object_and_regions_may_overlap():
    pieces = np.array([[0, 0, 0, 0], [0, 1, 0, 1]], np.bool_)
    first, second = outline_regions(
        [(1, 2, 3, pieces), (2, 2, 3, ~pieces), (1, 0, 0, np.zeros((2, 2), bool))]
    )
    assert (first.label, first.box, first.area, len(first.polygons)) == (1, (4, 3, 3, 1), 2, 2)
    assert not first.is_plain
    assert first.polygons[1][0].tolist() == [[6, 3], [7, 3], [7, 4], [6, 4]]
    assert second.area == 6


@pytest.mark.parametrize("wrong", [-1.0, 1e9, float("nan")])
def test_a_tolerance_that_means_nothing_is_refused(wrong):
    with pytest.raises(OptionError, match="simplify must be between 0 and 1000 pixels"):
        OutputOptions(simplify=wrong)


def corners(one) -> int:
    return sum(len(ring) for ring in one.polygons[0])


def farthest(points: np.ndarray, ring: np.ndarray) -> float:
    """Return how far the farthest of some points is from a closed line."""
    starts, along = ring[None], (np.roll(ring, -1, axis=0) - ring)[None]
    share = ((points[:, None] - starts) * along).sum(-1) / (along**2).sum(-1)
    nearest = starts + share.clip(0, 1)[..., None] * along
    return float(np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1).max())
