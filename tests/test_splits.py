"""Data that nobody has divided falls into exact parts, and what belongs together stays together."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from segzoo.datasets import divided, groups_of


@pytest.mark.parametrize(
    ("count", "parts"),
    [
        (1, (1, 0, 0)),
        (2, (1, 1, 0)),
        (3, (1, 1, 1)),
        (6, (4, 1, 1)),
        (10, (8, 1, 1)),
        (14, (12, 1, 1)),
        (15, (11, 2, 2)),
        (118, (94, 12, 12)),
        (1000, (800, 100, 100)),
    ],
)
def test_quotas_are_exact_and_no_part_is_empty_from_three_images_on(count, parts):
    found = Counter(divided([f"image.{number}" for number in range(count)]))
    assert (found["train"], found["val"], found["test"]) == parts


def test_the_order_of_names_changes_nothing():
    names = [f"image.{number}" for number in range(50)] + [f"{a}_slice_{b}" for a in "abc" for b in range(5)]
    expected = dict(zip(names, divided(names), strict=True))
    random.Random(0).shuffle(names)
    assert dict(zip(names, divided(names), strict=True)) == expected


def test_a_new_image_moves_few_others():
    names = [f"image.{number}" for number in range(200)]
    for count in range(3, 199):
        before, after = divided(names[:count]), divided(names[: count + 1])
        assert sum(one != other for one, other in zip(before, after, strict=False)) <= 3, count


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("vol1.nii_003", "vol1"),
        ("brain_slice_012", "brain"),
        ("brain-slice7", "brain"),
        ("city_tile_3_4", "city"),
        ("wsi_x512_y0", "wsi"),
        ("wsi_r3_c4", "wsi"),
        ("wsi_patch12", "wsi"),
        ("clip_frame0001", "clip"),
        ("clips/b/frame_0001", "clips/b"),
        ("frame_0001", ""),
        ("stack_z03", "stack"),
        ("cells_t05_z03", "cells"),
        ("cat_jpg.rf.0b5c1234567890abcdef0123456789ab", "cat"),
        ("walk_mp4-12_jpg.rf.0b5c1234567890abcdef0123456789ab", "walk"),
        ("brain_slice_012_aug3", "brain"),
        ("cat_flip", "cat"),
        *((name, name) for name in ("IMG_0001", "patch_12", "a_512_0", "t01", "z03", "profile_3", "a_0000")),
    ],
)
def test_pieces_are_known_by_the_ends_of_their_names(name, whole):
    assert groups_of([name]) == [whole]


def test_groups_are_never_torn_apart_and_each_part_has_one():
    names = [f"{patient}_slice_{number:03}" for patient in "abcdefgh" for number in range(20)]
    found = divided(names)
    assert {part: found.count(part) for part in ("train", "val", "test")} == {
        "train": 120,
        "val": 20,
        "test": 20,
    }
    assert all(len(set(found[start : start + 20])) == 1 for start in range(0, 160, 20))


def test_a_large_group_is_trained_on_and_small_ones_are_held_out():
    names = [f"long_frame{number}" for number in range(500)] + ["a_frame1", "b_frame1", "b_frame2"]
    assert divided(names)[:500] == ["train"] * 500
    assert set(divided(names)[500:]) == {"val", "test"}


def test_two_groups_are_one_to_train_and_one_to_validate():
    found = divided([f"{word}_frame{number}" for word in "ab" for number in range(10)])
    assert Counter(found) == {"train": 10, "val": 10}


def test_one_group_is_cut_in_the_order_of_its_numbers():
    names = [f"clip_frame{number}" for number in range(20)]
    assert divided(names[::-1])[::-1] == ["train"] * 16 + ["val"] * 2 + ["test"] * 2
