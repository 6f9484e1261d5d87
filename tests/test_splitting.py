"""Objects that touch are told apart, by their shape or by what a network says of them."""

from __future__ import annotations

import heapq
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segzoo.build import make_metric, open_dataset
from segzoo.errors import OptionError
from segzoo.prediction.postprocessing import find_instances
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.splitting import split_instances, squared_distances
from segzoo.specs import Labels, Separator, numbered_labels

CELLS = Labels(classes=("background", "cell"))
BOUNDARY, DISTANCE = Separator(kind="boundary"), Separator(kind="distance")


def discs(size: tuple[int, int], *circles: tuple[float, float, float]) -> np.ndarray:
    """Return discs of (row, column, radius), numbered from 1; later ones on top."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    numbers = np.zeros(size, np.int32)
    for number, (row, column, radius) in enumerate(circles, start=1):
        numbers[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return numbers


def noise(seed: int, size: tuple[int, int] = (37, 53), smooth: int = 5) -> np.ndarray:
    return ndimage.uniform_filter(np.random.default_rng(seed).random(size), smooth)


def blobs(seed: int, size: tuple[int, int] = (37, 53)) -> np.ndarray:
    values = noise(seed, size)
    return (values > np.quantile(values, 0.4)).astype(np.uint8)


def ap(found: np.ndarray, true: np.ndarray) -> float:
    metric = make_metric("ap", CELLS)
    metric.update((found > 0) * 1, (true > 0) * 1, instances=(found, true))
    return metric.compute()["pooled"]


# By shape.


def test_two_discs_that_touch_are_two_objects_and_the_mask_stays_whole():
    true = discs((40, 70), (20, 20, 14), (20, 46, 14))
    mask = (true > 0).astype(np.uint8)
    assert len(find_instances(mask, CELLS).areas) == 1
    found = split_instances(mask, CELLS)
    assert ((found.numbers > 0) == (mask == 1)).all()
    assert ap(found.numbers, true) == 1
    # The cut runs where the discs meet.
    assert set(np.unique(found.numbers[:, :31])) == {0, 1}
    assert set(np.unique(found.numbers[:, 36:])) == {0, 2}


@pytest.mark.parametrize("shape", [np.ones((20, 60)), discs((60, 60), (30, 30, 25)) > 0, np.ones((1, 1))])
def test_what_has_no_neck_stays_one_object(shape):
    assert len(split_instances(np.pad(shape, 3).astype(np.uint8), CELLS).areas) == 1


def test_a_mask_that_is_all_object_is_one_and_an_empty_one_has_none():
    assert len(split_instances(np.ones((700, 50), np.uint8), CELLS).areas) == 1
    for size in ((5, 7), (0, 4), (3, 0)):
        found = split_instances(np.zeros(size, np.uint8), CELLS)
        assert found.numbers.shape == size
        assert not len(found.areas)


def test_an_index_that_is_no_class_s_is_told():
    with pytest.raises(OptionError, match=r"holds 255, but 2 classes.*background"):
        split_instances(np.full((4, 5), 255, np.uint8), CELLS)


def test_large_objects_are_split_like_small_ones():
    for factor in (1, 20):
        circles = [(12 * factor, 12 * factor, 9 * factor), (12 * factor, 27 * factor, 9 * factor)]
        true = discs((24 * factor, 39 * factor), *circles)
        assert ap(split_instances((true > 0).astype(np.uint8), CELLS).numbers, true) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 1), (70, 130), (129, 64)])
def test_distances_are_those_of_scipy(size):
    where = noise(3, size, 1) > 0.02
    where[0, 0] = False
    expected = ndimage.distance_transform_edt(where) ** 2
    assert (squared_distances(where) == np.rint(expected)).all()


def test_far_distances_are_about_those_of_scipy():
    where = discs((900, 1000), (450, 480, 430)) > 0
    found, expected = np.sqrt(squared_distances(where)), ndimage.distance_transform_edt(where)
    near = expected < 180
    assert np.allclose(found[near], expected[near], atol=1e-3)
    assert np.abs(found / np.maximum(expected, 1) - 1)[~near].max() < 0.04


@pytest.mark.medium
@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")
def test_nuclei_whose_masks_were_joined_are_told_apart_again():
    """Components of the joined masks score 0.885, 0.917 and 0.778."""
    pytest.importorskip("segzoo_medical")
    dataset = open_dataset("dsb2018", split="test")
    metrics = [make_metric(name, CELLS) for name in ("ap", "pq", "aji")]
    for index in range(0, len(dataset), 5):
        sample = dataset[index]
        found = split_instances(sample.mask, CELLS).numbers
        for metric in metrics:
            metric.update(sample.mask, sample.mask, instances=(found, sample.instances))
    scores = [metric.compute()["pooled"] for metric in metrics]
    assert all(score > least for score, least in zip(scores, (0.92, 0.93, 0.9), strict=True)), scores


# By what a network says.


def test_a_boundary_map_splits_what_the_shape_does_not():
    mask = np.pad(np.ones((20, 60), np.uint8), 3)
    separation = np.zeros(mask.shape, np.float32)
    separation[:, 30:33] = [0.6, 0.9, 0.7]
    found = split_instances(mask, CELLS, separation=separation, separator=BOUNDARY)
    assert len(found.areas) == 2
    assert found.areas.sum() == mask.sum()
    assert found.numbers[10, 30] == 1
    assert found.numbers[10, 32] == 2


def test_a_distance_map_splits_by_its_peaks():
    true = discs((40, 60), (20, 20, 14), (20, 34, 14))
    separation = np.maximum(*(1 - np.hypot(*(np.mgrid[:40, :60] - [[[20]], [[c]]])) / 14 for c in (20, 34)))
    found = split_instances(
        (true > 0).astype(np.uint8),
        CELLS,
        separation=np.clip(separation, 0, 1).astype(np.float32),
        separator=replace(DISTANCE, seed=0.6),
    )
    assert ap(found.numbers, true) == 1


def test_a_seed_that_is_too_small_starts_no_object_and_a_component_without_one_is_an_object():
    mask = np.zeros((20, 50), np.uint8)
    mask[2:12, 2:30], mask[15:18, 40:43] = 1, 1
    separation = np.ones(mask.shape, np.float32)
    separation[4:6, 4:6], separation[4:10, 20:26] = 0.1, 0.2
    for smallest, objects in ((1, 3), (4, 3), (5, 2), (37, 2)):
        separator = replace(BOUNDARY, smallest=smallest)
        found = split_instances(mask, CELLS, separation=separation, separator=separator)
        assert len(found.areas) == objects
        assert ((found.numbers > 0) == (mask == 1)).all()


@pytest.mark.medium
@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    connectivity=st.sampled_from([4, 8]),
    kind=st.sampled_from(["boundary", "distance"]),
)
def test_seeds_grow_as_water_rises(seed, connectivity, kind):
    mask, separation = blobs(seed), noise(seed + 1, smooth=3).astype(np.float32)
    separator = Separator(kind=kind, seed=float(np.quantile(separation, 0.5)), smallest=3)
    found = split_instances(mask, CELLS, connectivity, separation=separation, separator=separator)
    structure = ndimage.generate_binary_structure(2, connectivity // 4)
    high = separation > separator.seed if kind == "distance" else separation < separator.seed
    seeds, count = ndimage.label(high & (mask == 1), structure)
    sizes = np.bincount(seeds.ravel())
    kept = [one for one in range(1, count + 1) if sizes[one] >= 3]
    assert len({int(found.numbers[seeds == one].max()) for one in kept}) == len(kept)
    components, parts = ndimage.label(mask, structure)
    without = [one for one in range(1, parts + 1) if not np.isin(seeds[components == one], kept).any()]
    assert len(found.areas) == len(kept) + len(without)
    # Water that rises from the seeds, the deepest first, comes to each pixel from the seed it was given to.
    heights = separation if kind == "distance" else 1 - separation
    reached = np.stack([levels(mask, heights, seeds == one, structure) for one in kept] or [mask * 0.0])
    for place, one in enumerate(kept):
        mine = found.numbers == found.numbers[seeds == one][0]
        assert len(np.unique(found.numbers[seeds == one])) == 1
        assert (reached[place][mine] == reached.max(axis=0)[mine]).all()


def levels(mask, heights, seed, structure):
    """Return the height of the lowest pixel on the best way from a seed to each pixel, naively."""
    best = np.full(mask.shape, -np.inf)
    queue = [(-np.inf, int(y), int(x)) for y, x in np.argwhere(seed)]
    while queue:
        level, y, x = heapq.heappop(queue)
        if best[y, x] >= -level:
            continue
        best[y, x] = -level
        for down, right in np.argwhere(structure) - 1:
            there = (y + int(down), x + int(right))
            if 0 <= there[0] < mask.shape[0] and 0 <= there[1] < mask.shape[1] and mask[there]:
                heapq.heappush(queue, (-min(-level, float(heights[there])), *there))
    return best


# Whatever splits.


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    connectivity=st.sampled_from([4, 8]),
    learnt=st.booleans(),
    smallest=st.sampled_from([0, 40, 10**6]),
)
def test_objects_part_components_and_lose_no_pixel(seed, connectivity, learnt, smallest):
    labels = Labels(classes=("background", "a", "b"))
    mask = blobs(seed) * np.where(noise(seed + 2, smooth=15) > 0.5, 1, 2).astype(np.uint8)
    given_map = {"smallest_object": (0, smallest)}
    if learnt:
        given_map |= {"separation": noise(seed + 1, smooth=3).astype(np.float32), "separator": BOUNDARY}
    found = split_instances(mask, labels, connectivity, **given_map)
    assert ((found.numbers > 0) == (mask > 0)).all()
    assert (np.bincount(found.numbers.ravel(), minlength=len(found.areas) + 1)[1:] == found.areas).all()
    structure = ndimage.generate_binary_structure(2, connectivity // 4)
    first = []
    for number, index in enumerate(found.classes, start=1):
        where = found.numbers == number
        assert (mask[where] == index).all()
        assert ndimage.label(where, structure)[1] == 1
        first.append(int(np.flatnonzero(where)[0]))
    assert first == sorted(first)
    again = split_instances(mask.copy(), labels, connectivity, **given_map)
    assert (again.numbers == found.numbers).all()
    whole = find_instances(mask, labels, connectivity)
    for number in range(1, len(found.areas) + 1):
        (component,) = np.unique(whole.numbers[found.numbers == number])
        if found.classes[number - 1] == 1:  # class b keeps all
            assert found.areas[number - 1] >= min(smallest, whole.areas[component - 1])


def test_a_small_piece_becomes_part_of_the_object_that_it_meets():
    mask = np.zeros((40, 90), np.uint8)
    rows, columns = np.indices(mask.shape)
    for x, radius in ((20, 16), (52, 16), (72, 4)):
        mask[(rows - 20) ** 2 + (columns - x) ** 2 <= radius**2] = 1
    labels = numbered_labels(2)
    apart = split_instances(mask, labels)
    assert len(apart.areas) == 3
    assert apart.areas.min() < 60
    kept = split_instances(mask, labels, smallest_object=(0, 60))
    assert len(kept.areas) == 2
    assert kept.areas.sum() == mask.sum()
    assert kept.numbers[20, 72] == kept.numbers[20, 52]


def test_each_of_several_classes_is_split_by_itself():
    """A cell of one class inside a clump of another is no neck of it."""
    labels = Labels(classes=("background", "a", "b"))
    true = discs((40, 100), (20, 20, 14), (20, 46, 14), (20, 72, 14))
    mask = np.choose(true, [0, 1, 1, 2]).astype(np.uint8)
    found = split_instances(mask, labels)
    assert found.classes.tolist() == [1, 1, 2]
    assert ap(found.numbers, true) == 1


def test_thousands_of_classes_of_which_few_are_there_are_split_at_once():
    labels = numbered_labels(65_535)
    mask = discs((40, 70), (20, 20, 14), (20, 46, 14)).astype(np.uint16)
    mask[mask > 0] = 60_000
    found = split_instances(mask, labels)
    assert found.classes.tolist() == [60_000] * 2


def test_classes_that_overlap_are_numbered_one_after_the_other():
    labels = Labels(classes=("a", "b"), overlapping=True)
    one = discs((40, 70), (20, 20, 14), (20, 46, 14)) > 0
    two = discs((40, 70), (20, 33, 14)) > 0
    found = split_instances(np.stack([one, two]).astype(np.uint8), labels)
    assert found.classes.tolist() == [0, 0, 1]
    assert [sorted(np.unique(plane)) for plane in found.numbers] == [[0, 1, 2], [0, 3]]
    assert [sorted(np.unique(layer)) for layer in found.layers] == [[0, 1, 2], [0, 1]]


def test_more_than_a_band_of_rows_and_odd_sizes_are_split_the_same_when_they_are_shifted():
    circles = [(15 + 25 * row, 15 + 27 * column, 14) for row in range(8) for column in range(5)]
    true = discs((201, 143), *circles)
    mask = (true > 0).astype(np.uint8)
    found = split_instances(mask, CELLS)
    assert ap(found.numbers, true) == 1
    moved = split_instances(np.pad(mask, ((61, 3), (7, 2))), CELLS)
    assert (moved.numbers[61:-3, 7:-2] == found.numbers).all()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"connectivity": 6}, "connectivity must be 4 or 8"),
        ({"separation": np.zeros((9, 9), np.float32)}, "separation and separator go together"),
        ({"separation": np.zeros((3, 4), np.float32), "separator": BOUNDARY}, r"has size \(3, 4\)"),
    ],
)
def test_what_does_not_fit_is_an_error(wrong, told):
    with pytest.raises(OptionError, match=told):
        split_instances(np.zeros((9, 9), np.uint8), CELLS, **wrong)


def test_a_map_that_is_no_number_somewhere_still_splits_and_loses_nothing():
    mask = np.ones((9, 20), np.uint8)
    separation = np.full(mask.shape, 0.1, np.float32)
    separation[:, 10], separation[3, 3], separation[0, 0] = 0.9, np.nan, np.inf
    found = split_instances(mask, CELLS, separation=separation, separator=BOUNDARY)
    assert len(found.areas) == 2
    assert (found.numbers > 0).all()


# What a segmentation makes of it.


def touching() -> Segmentation:
    mask = (discs((40, 70), (20, 20, 14), (20, 46, 14)) > 0).astype(np.uint8)
    return Segmentation(mask, CELLS, np.zeros((40, 70, 3), np.uint8), split_touching=True)


def test_a_segmentation_splits_where_it_says_so_or_where_it_is_asked():
    found = touching()
    assert len(found.instances().areas) == len(found.polygons()) == 2
    assert len(found.instances(split_touching=False).areas) == 1
    plain = replace(found, split_touching=False)
    assert len(plain.instances().areas) == len(plain.polygons()) == 1
    assert len(plain.instances(split_touching=True).areas) == 2
    assert len(found.with_mask(found.mask * 0).instances().areas) == 0
    assert found.with_mask(found.mask).split_touching


def test_outlines_run_between_objects_that_touch():
    found = touching()
    plain = replace(found, split_touching=False)
    for picture in ("overlay", "contours"):
        one, other = (np.asarray(getattr(each, picture)()) for each in (found, plain))
        assert (one[20, 30:36] != other[20, 30:36]).any()
        assert (one[20, 10:28] == other[20, 10:28]).all()
