"""Thresholds per class, components without SciPy, small objects and holes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segzoo.errors import OptionError
from segzoo.prediction.decision import choose_classes, read_thresholds
from segzoo.prediction.postprocessing import clean, find_components, find_instances
from segzoo.specs import Labels

BINARY = Labels(classes=("background", "cell"))
THREE = Labels(classes=("background", "cell", "nucleus"))
MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.integers(0, 2))
)
STRUCTURES = {4: None, 8: np.ones((3, 3))}


def same_parts(one, other):
    """Whether two label images part the pixels in the same way."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


@pytest.mark.parametrize("connectivity", [4, 8])
@given(mask=MASKS)
def test_components_are_those_of_scipy(connectivity, mask):
    found = find_components(mask, connectivity)
    expected, offset = np.zeros(mask.shape, np.int64), 0
    for index in range(3):
        labelled, count = ndimage.label(mask == index, STRUCTURES[connectivity])
        expected[labelled > 0] = labelled[labelled > 0] + offset
        offset += count
    assert same_parts(found.numbers, expected)
    assert np.array_equal(found.classes[found.numbers], mask)
    assert np.array_equal(found.areas, np.bincount(found.numbers.ravel()))
    first = [np.flatnonzero(found.numbers.ravel() == number)[0] for number in range(len(found.areas))]
    assert first == sorted(first)


@pytest.mark.medium
@pytest.mark.parametrize("shape", ["spiral", "comb", "noise"])
def test_winding_components_are_found_whole(shape):
    mask = np.zeros((257, 301), np.uint8)
    if shape == "spiral":
        for step in range(0, 120, 4):
            mask[step : 257 - step, step : 301 - step] = 1
            mask[step + 2 : 255 - step, step + 2 : 299 - step] = 0
            mask[step + 2 : step + 5, step + 3] = 1
    elif shape == "comb":
        mask[:, ::2] = 1
        mask[-1] = 1
    else:
        mask = (np.random.default_rng(0).random(mask.shape) > 0.41).astype(np.uint8)
    for connectivity in (4, 8):
        expected, count = ndimage.label(mask, STRUCTURES[connectivity])
        found = find_instances(mask, THREE, connectivity)
        assert len(found.areas) == count
        assert same_parts(found.numbers, expected)


def test_instances_are_numbered_in_reading_order_with_their_boxes():
    mask = np.array([[0, 0, 2, 2], [1, 0, 0, 2], [1, 1, 0, 0]], np.uint8)
    found = find_instances(mask, THREE)
    assert found.numbers.dtype == np.int32
    assert found.numbers.tolist() == [[0, 0, 1, 1], [2, 0, 0, 1], [2, 2, 0, 0]]
    assert found.classes.tolist() == [2, 1]
    assert found.areas.tolist() == [3, 3]
    assert found.boxes().tolist() == [[2, 0, 2, 2], [0, 1, 2, 2]]
    assert find_instances(np.zeros((2, 2), np.uint8), THREE).boxes().shape == (0, 4)


def test_connectivity_is_4_or_8():
    with pytest.raises(OptionError, match="4 or 8"):
        find_components(np.zeros((2, 2), np.uint8), 6)


def test_one_logit_is_compared_with_the_threshold_of_class_1():
    chances = torch.tensor([[[0.2, 0.4, 0.6]]])
    assert choose_classes(chances, {}).tolist() == [[False, False, True]]
    assert choose_classes(chances, {}, threshold=0.7).tolist() == [[False, False, False]]
    assert choose_classes(chances, {1: 0.3}, threshold=0.7).tolist() == [[False, True, True]]
    with pytest.raises(OptionError, match="class 1"):
        choose_classes(chances, {0: 0.5})


def test_thresholds_of_classes_decide_before_the_most_probable_class():
    chances = torch.tensor([[[0.5, 0.7, 0.1, 0.1]], [[0.3, 0.2, 0.5, 0.2]], [[0.2, 0.1, 0.4, 0.7]]])

    def chosen(**thresholds):
        return choose_classes(chances, read_thresholds(THREE, thresholds)).tolist()[0]

    assert chosen() == [0, 0, 1, 2]
    # A low one takes what another class had, a high one gives it back to the most probable of the rest.
    assert chosen(cell=0.25) == [1, 0, 1, 2]
    assert chosen(nucleus=0.8) == [0, 0, 1, 1]
    # Both pass in the third pixel: 0.5 / 0.45 against 0.4 / 0.3.
    assert chosen(cell=0.45, nucleus=0.3) == [0, 0, 2, 2]
    assert chosen(background=0.6, cell=0.6, nucleus=0.6) == [0, 0, 0, 2]


def test_choosing_leaves_the_probabilities_as_they_were():
    chances = torch.full((2, 3, 3), 0.5)
    choose_classes(chances, {1: 0.2})
    assert (chances == 0.5).all()


def test_thresholds_are_read_by_name_or_index_and_wrong_ones_named():
    assert read_thresholds(THREE, {"nucleus": 0.2, 1: 0.5}) == {2: 0.2, 1: 0.5}
    with pytest.raises(OptionError, match="did you mean 'nucleus'"):
        read_thresholds(THREE, {"nucleos": 0.5})
    with pytest.raises(OptionError, match="between 0 and 1"):
        read_thresholds(THREE, {"cell": 1})


@given(mask=arrays(np.uint8, (9, 9), elements=st.integers(0, 1)), size=st.integers(0, 6))
def test_small_objects_and_holes_of_two_classes_go_as_scipy_would_have_them(mask, size):
    for connectivity in (4, 8):
        labelled, count = ndimage.label(mask, STRUCTURES[connectivity])
        areas = np.bincount(labelled.ravel(), minlength=count + 1)
        expected = (labelled > 0) & (areas >= size)[labelled]
        assert np.array_equal(clean(mask, BINARY, smallest_object=size, connectivity=connectivity), expected)
        holes, count = ndimage.label(
            ndimage.binary_fill_holes(mask, STRUCTURES[12 - connectivity]) & (mask == 0),
            STRUCTURES[12 - connectivity],
        )
        small = np.bincount(holes.ravel(), minlength=count + 1) < size
        expected = (mask > 0) | ((holes > 0) & small[holes])
        assert np.array_equal(clean(mask, BINARY, smallest_hole=size, connectivity=connectivity), expected)


def test_a_small_object_becomes_what_surrounds_most_of_it():
    mask = np.zeros((6, 8), np.uint8)
    mask[1:5, 1:6] = 1
    mask[2, 2] = 2  # inside a cell
    mask[2, 7] = 2  # on background
    cleaned = clean(mask, THREE, smallest_object={"nucleus": 2})
    assert cleaned[2, 2] == 1
    assert cleaned[2, 7] == 0
    assert np.array_equal(clean(mask, THREE, smallest_object={"cell": 10}), mask)


def test_a_hole_is_filled_by_the_class_around_it_and_only_if_there_is_one():
    mask = np.ones((5, 9), np.uint8)
    mask[:, 5:] = 2
    mask[1, 1] = 0  # in class 1
    mask[3, 7] = 0  # in class 2
    mask[2, 4] = 0  # between both
    mask[0, 2] = 0  # on the border of the image
    expected = mask.copy()
    expected[3, 7] = 2
    assert np.array_equal(clean(mask, THREE, smallest_hole={"nucleus": 4}), expected)
    expected[1, 1] = 1
    assert np.array_equal(clean(mask, THREE, smallest_hole=4), expected)


@pytest.mark.parametrize("wrong", [{"background": 3}, {"cel": 3}, {"cell": -1}, -1])
def test_sizes_of_no_object_are_refused(wrong):
    with pytest.raises(OptionError):
        clean(np.zeros((3, 3), np.uint8), BINARY, smallest_object=wrong)
