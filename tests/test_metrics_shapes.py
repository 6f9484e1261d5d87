"""Rims, surfaces, centre lines, objects and segments against versions written pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import hausdorff_distance, variation_of_information
from torchmetrics.functional.detection import panoptic_quality as reference_quality

from segzoo.build import make_metric
from segzoo.metrics.surface import _surface
from segzoo.specs import Labels, numbered_labels

BINARY = Labels(classes=("background", "cell"))
seeds = st.integers(0, 10**6)
PARTS = ("segmentation", "recognition")


def scored(name, prediction, target, labels=BINARY, instances=None, **options):
    metric = make_metric(name, labels, **options)
    metric.update(np.array(prediction, np.uint8), np.array(target, np.uint8), instances=instances)
    return metric.compute()


def patches(seed, size=(13, 15)):
    """Return two binary masks that overlap in part."""
    random = np.random.default_rng(seed)
    smooth = ndimage.uniform_filter(random.random((2, *size)), (0, 3, 3))
    return (smooth + smooth.mean(0) > 1.02).astype(np.uint8)


def objects(seed, count=5, size=(14, 16)):
    """Return a label image of touching objects, with arbitrary numbers."""
    random = np.random.default_rng(seed)
    image = np.zeros(size, np.int32)
    for number in random.choice(5000, count, replace=False) + 1:
        top, left = random.integers(0, size[0] - 3), random.integers(0, size[1] - 3)
        image[top : top + random.integers(2, 6), left : left + random.integers(2, 6)] = number
    return image


def shapes_of(image):
    return [image == number for number in np.unique(image) if number]


# Rims.


@settings(max_examples=15)
@given(seed=seeds, dilation=st.sampled_from([0.02, 0.1, 0.2]))
def test_boundary_iou_is_the_iou_of_pixels_near_the_edge(seed, dilation):
    def rim(mask):
        width = max(round(dilation * math.hypot(*mask.shape)), 1)
        padded = np.pad(mask, width)
        near = [
            padded[width + row : mask.shape[0] + width + row, width + column : mask.shape[1] + width + column]
            for row in range(-width, width + 1)
            for column in range(-width, width + 1)
        ]
        return (mask == 1) & (np.min(near, axis=0) == 0)

    prediction, target = patches(seed)
    ours, theirs = rim(prediction), rim(target)
    wanted = (ours & theirs).sum() / (ours | theirs).sum() if (ours | theirs).any() else 1
    assert scored("boundary-iou", prediction, target, dilation=dilation)["pooled"] == pytest.approx(wanted)


def test_boundary_iou_sees_a_shift_that_iou_hardly_does():
    target = np.zeros((100, 100), np.uint8)
    target[10:90, 10:90] = 1
    prediction = np.roll(target, 2, axis=1)
    assert scored("iou", prediction, target)["pooled"] > 0.94
    assert scored("boundary-iou", prediction, target)["pooled"] < 0.65


# Surfaces.


@settings(max_examples=15)
@given(seed=seeds)
def test_surface_distances_agree_with_all_pairs_of_pixels(seed):
    prediction, target = patches(seed)
    if not prediction.any() or not target.any():
        return
    steps = (0.5, 2.0)
    ours, theirs = (np.argwhere(_surface(np.pad(mask == 1, 1))) * steps for mask in (prediction, target))
    table = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(-1))
    there, back = table.min(1), table.min(0)
    got = {name: scored(name, prediction, target, spacing=steps)["per_image"] for name in ("hd95", "asd")}
    assert got["hd95"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert got["asd"] == pytest.approx(np.concatenate([there, back]).mean())


def test_a_shifted_square_is_as_far_as_it_was_shifted():
    target = np.zeros((40, 40), np.uint8)
    target[5:25, 5:25] = 1
    prediction = np.roll(target, 3, axis=0)
    assert scored("hd95", prediction, target)["per_image"] == 3
    edges = [_surface(mask == 1) for mask in (prediction, target)]
    assert hausdorff_distance(*edges) == 3


def test_a_lost_object_is_as_far_as_the_diagonal_and_two_empty_masks_are_not_apart():
    empty, full = np.zeros((3, 4), np.uint8), np.ones((3, 4), np.uint8)
    assert scored("asd", empty, full)["per_image"] == 5
    assert scored("asd", empty, empty)["per_image"] == 0


# Centre lines.


def test_cldice_looks_at_lines_and_not_at_their_width():
    target, thin, broken = (np.zeros((9, 30), np.uint8) for _ in range(3))
    target[2:7, 1:29], thin[4, 1:29], broken[4, 1:15] = 1, 1, 1
    assert scored("dice", thin, target)["pooled"] < 0.4
    assert scored("cldice", thin, target)["pooled"] > 0.95
    # The predicted line lies within the vessel; about half of the vessel's line is found.
    assert 0.6 < scored("cldice", broken, target)["pooled"] < 0.75


def test_cldice_of_a_mask_against_none_is_0_and_of_two_empty_ones_1():
    empty, line = np.zeros((5, 5), np.uint8), np.eye(5, dtype=np.uint8)
    assert scored("cldice", line, empty) == {"per_image": 0, "pooled": 0}
    assert scored("cldice", empty, empty) == {"per_image": 1, "pooled": 1}


# Objects.


def naive_quality(predicted, true):
    ours, theirs = shapes_of(predicted), shapes_of(true)
    overlaps = [(one & other).sum() / (one | other).sum() for one in ours for other in theirs]
    pairs = [overlap for overlap in overlaps if overlap > 0.5]
    return sum(pairs) / (len(pairs) + (len(ours) + len(theirs) - 2 * len(pairs)) / 2)


def naive_jaccard(predicted, true):
    ours, common, either, used = shapes_of(predicted), 0, 0, set()
    for shape in shapes_of(true):
        overlaps = [(one & shape).sum() / (one | shape).sum() for one in ours]
        best = int(np.argmax(overlaps))
        if overlaps[best] > 0:
            used.add(best)
            common, either = common + (ours[best] & shape).sum(), either + (ours[best] | shape).sum()
        else:
            either += shape.sum()
    return common / (either + sum(one.sum() for index, one in enumerate(ours) if index not in used))


@settings(max_examples=25)
@given(seed=seeds)
def test_object_scores_agree_with_loops_over_objects(seed):
    predicted, true = np.roll(objects(seed), 1, 0), objects(seed)
    predicted[:4] = objects(seed + 1)[:4]
    masks = [(image > 0).astype(np.uint8) for image in (predicted, true)]
    got = {name: scored(name, *masks, instances=(predicted, true)) for name in ("pq", "aji")}
    assert got["pq"]["pooled"] == pytest.approx(naive_quality(predicted, true))
    assert got["aji"]["pooled"] == pytest.approx(naive_jaccard(predicted, true))
    quality, matched, found = got["pq"]["pooled"], *(got["pq"][f"pooled/{part}"] for part in PARTS)
    assert quality == pytest.approx(matched * found if found else 0)


@settings(max_examples=25)
@given(seed=seeds)
def test_ap_of_objects_agrees_with_loops_over_objects(seed):
    predicted, true = np.roll(objects(seed), 1, 0), objects(seed)
    predicted[:4] = objects(seed + 1)[:4]
    masks = [(image > 0).astype(np.uint8) for image in (predicted, true)]
    ours, theirs = shapes_of(predicted), shapes_of(true)
    overlaps = np.array([[(one & other).sum() / (one | other).sum() for one in ours] for other in theirs])

    def naive(level):
        right = int((overlaps > level).any(axis=1).sum())
        return right / (len(ours) + len(theirs) - right)

    got = scored("ap", *masks, instances=(predicted, true))
    assert got["pooled"] == pytest.approx(naive(0.5))
    assert got["pooled/0.75"] == pytest.approx(naive(0.75))
    levels = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert got["pooled/0.5:0.95"] == pytest.approx(np.mean([naive(level) for level in levels]))


def test_ap_of_objects_is_no_curve_and_counts_each_object_as_it_is():
    """Two of three nuclei are found, one of them well, and one is invented."""
    true, predicted = np.zeros((20, 40), int), np.zeros((20, 40), int)
    for number, left in enumerate((0, 10, 20), start=1):
        true[2:12, left : left + 8] = number
    predicted[2:12, 0:8], predicted[2:8, 10:18], predicted[14:18, 30:38] = 7, 8, 9
    got = scored("ap", (predicted > 0) * 1, (true > 0) * 1, instances=(predicted, true))
    assert got["pooled"] == got["per_image"] == 2 / 4  # IoU 1 and 0.6; one missed, one invented
    assert got["pooled/0.75"] == 1 / 5
    assert got["pooled/0.5:0.95"] == pytest.approx((2 * 2 / 4 + 8 * 1 / 5) / 10)


def test_panoptic_quality_of_several_classes_agrees_with_torchmetrics():
    predicted, true = np.roll(objects(5), 1, 1), objects(5)
    kinds = {int(number): index % 2 + 1 for index, number in enumerate(np.unique(true)) if number}
    masks = [np.vectorize(lambda number: kinds.get(int(number), 0))(image) for image in (predicted, true)]
    got = scored("pq", *masks, numbered_labels(3), instances=(predicted, true), per_class=True)
    sides = [
        torch.tensor(np.stack([mask, image], -1)[None])
        for mask, image in zip(masks, (predicted, true), strict=True)
    ]
    wanted = reference_quality(*sides, things={1, 2}, stuffs={0}, return_per_class=True)[0]
    assert got["pooled/class 1"] == pytest.approx(float(wanted[0]))
    assert got["pooled/class 2"] == pytest.approx(float(wanted[1]))


@pytest.mark.parametrize("name", ["ap", "pq", "aji", "rand", "info"])
def test_renumbering_objects_changes_nothing(name):
    predicted, true = np.roll(objects(7), 1, 0), objects(7)
    masks = [(image > 0).astype(np.uint8) for image in (predicted, true)]
    numbers = np.random.default_rng(0).permutation(5001) * 1000 + 1
    numbers[0] = 0
    renamed = (numbers[predicted], numbers[true].astype(np.uint32))
    wanted = scored(name, *masks, instances=(predicted, true))
    assert scored(name, *masks, instances=renamed) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize("name", ["ap", "pq", "aji", "rand", "info"])
def test_objects_that_nobody_gives_are_the_masks_components(name):
    masks = patches(4)
    structure = np.ones((3, 3)) if name in ("ap", "pq", "aji") else None
    given = tuple(ndimage.label(mask, structure)[0] for mask in masks)
    assert scored(name, *masks) == scored(name, *masks, instances=given)
    assert scored(name, *masks) == scored(name, *masks, instances=(None, given[1]))


def test_connectivity_decides_whether_corners_join():
    corner, whole = np.eye(2, dtype=np.uint8), np.ones((2, 2), np.uint8)
    assert scored("pq", corner, corner, connectivity=4)["pooled"] == 1
    # Two objects of one pixel each against one of four.
    assert scored("aji", corner, whole, connectivity=4)["pooled"] == pytest.approx(1 / 5)
    assert scored("aji", corner, whole, connectivity=8)["pooled"] == pytest.approx(2 / 4)


# Segments.


@settings(max_examples=15)
@given(seed=seeds)
def test_the_rand_score_agrees_with_all_pairs_of_pixels(seed):
    predicted, true = np.roll(objects(seed), 1, 0), objects(seed)
    masks = [(image > 0).astype(np.uint8) for image in (predicted, true)]
    ours, theirs = predicted[true > 0].astype(int), true[true > 0]
    # Membrane inside a true segment: every pixel is a segment of its own.
    ours[ours == 0] = -np.arange(1, np.count_nonzero(ours == 0) + 1)
    together = ours[:, None] == ours[None], theirs[:, None] == theirs[None]
    both = (together[0] & together[1]).sum()
    got = scored("rand", *masks, instances=(predicted, true))
    assert got["per_image"] == pytest.approx(2 * both / (together[0].sum() + together[1].sum()))
    assert got["per_image/split"] == pytest.approx(both / together[1].sum())
    assert got["per_image/merge"] == pytest.approx(both / together[0].sum())


def test_the_information_score_agrees_with_scikit_image():
    true = np.kron(np.array([[1, 2], [3, 3]]), np.ones((4, 5), int))
    predicted = np.kron(np.array([[1, 1, 2], [4, 5, 5]]), np.ones((4, 1), int))[
        :, [0] * 3 + [1] * 4 + [2] * 3
    ]
    masks = np.ones((2, 8, 10), np.uint8)
    given_true, given_predicted = variation_of_information(true, predicted)
    got = scored("info", *masks, instances=(predicted, true))

    def entropy(image):
        shares = np.unique(image, return_counts=True)[1] / image.size
        return -(shares * np.log2(shares)).sum()

    total = entropy(true) + entropy(predicted)
    assert got["per_image"] == pytest.approx((total - given_true - given_predicted) / total)


def test_split_and_merge_say_which_way_segments_are_wrong():
    one, two = np.ones((2, 4), np.uint8), np.array([[1, 1, 2, 2]] * 2)
    masks = (one, one)
    split, merged = (scored("rand", *masks, instances=pair) for pair in ((two, one), (one, two)))
    assert split["per_image/split"] == 0.5
    assert split["per_image/merge"] == 1
    assert merged["per_image/split"] == 1
    assert merged["per_image/merge"] == 0.5


def test_membranes_may_be_class_1_and_cells_class_0():
    target = np.zeros((5, 5), np.uint8)
    target[2] = 1
    gap = target.copy()
    gap[2, 2] = 0
    assert scored("rand", target, target, segments=0)["per_image"] == 1
    # One missing pixel of membrane merges two cells.
    assert scored("rand", gap, target, segments=0)["per_image/merge"] < 0.6
    assert scored("rand", gap, target, segments=0)["per_image/split"] == 1
