"""Masks on disk become class indices, or an error that says what their values are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segzoo.errors import MaskError, OptionError
from segzoo.interfaces import Sample
from segzoo.labels import counted, foreground, read_mask, to_classes
from segzoo.specs import Labels, known_labels, numbered_labels

BINARY = Labels(classes=("background", "cell"))


def test_0_and_255_are_the_two_classes_of_a_binary_mask():
    assert to_classes(np.array([[0, 255]]), BINARY, "m.png").tolist() == [[0, 1]]


def test_indices_are_taken_as_they_are():
    labels = numbered_labels(3)
    assert to_classes(np.array([[0, 1, 2]]), labels, "m.png").tolist() == [[0, 1, 2]]


def test_an_all_255_mask_is_all_foreground():
    assert to_classes(np.full((2, 2), 255), BINARY, "m.png").tolist() == [[1, 1], [1, 1]]


def test_named_values_are_mapped_to_their_classes():
    labels = Labels(classes=("a", "b", "c"), values=(10, 200, 30))
    assert to_classes(np.array([[30, 10, 200]]), labels, "m.png").tolist() == [[2, 0, 1]]


def test_the_ignored_value_stays():
    labels = Labels(classes=("a", "b"), ignore_index=255)
    assert to_classes(np.array([[0, 1, 255]]), labels, "m.png").tolist() == [[0, 1, 255]]


def test_strange_values_are_named_with_the_file():
    with pytest.raises(MaskError, match=r"m\.png holds the values 7, 9, which stand for none of the 2"):
        to_classes(np.array([[0, 7, 9]]), BINARY, "m.png")


def test_floats_are_refused():
    with pytest.raises(MaskError, match="float64"):
        to_classes(np.array([[0.5]]), BINARY, "m.png")


def test_a_palette_mask_gives_its_indices_not_its_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[0, 1, 2]]


def test_a_bilevel_mask_gives_0_and_1(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[1, 0]]


def test_a_grey_mask_saved_in_colour_is_read(tmp_path):
    Image.fromarray(np.full((2, 2, 3), 255, np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[255, 255], [255, 255]]


def test_a_coloured_mask_is_an_error(tmp_path):
    Image.fromarray(np.array([[[255, 0, 0]]], np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(MaskError, match="holds colours"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("content", [b"", b"text"])
def test_a_mask_that_is_no_image_is_named(tmp_path, content):
    (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(MaskError, match=r"m\.png"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ("one",)},
        {"classes": ("a", "b"), "palette": ((0, 0, 0),)},
        {"classes": ("a", "b"), "values": (1, 1)},
        {"classes": ("a", "b"), "ignore_index": 256},
    ],
)
def test_labels_that_contradict_themselves_are_refused(wrong):
    with pytest.raises(OptionError):
        Labels(**wrong)


def test_made_up_colours_are_distinct():
    colours = numbered_labels(65_535).colours
    assert len(set(colours)) == 65_535
    assert all(0 <= value <= 255 for colour in colours for value in colour)


def test_a_value_named_for_a_class_is_not_ignored_though_it_is_the_ignored_index():
    vessels = Labels(classes=("background", "vessel"), values=(0, 255), ignore_index=255)
    assert to_classes(np.array([[0, 255]], np.uint8), vessels, "m.png").tolist() == [[0, 1]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64, np.bool_])
def test_integers_of_any_width_are_looked_up(kind):
    values = np.array([[0, 1]]).astype(kind)
    assert to_classes(values, BINARY, "m.png").tolist() == [[0, 1]]


def test_values_of_16_bits_stand_for_classes():
    labels = Labels(classes=("a", "b"), values=(0, 40_000), ignore_index=3)
    assert to_classes(np.array([[0, 40_000, 3]]), labels, "m.png").tolist() == [[0, 1, 3]]
    with pytest.raises(MaskError, match="values 300"):
        to_classes(np.array([[300]], np.uint16), labels, "m.png")


@pytest.mark.parametrize("value", [-1, 70_000])
def test_values_that_no_mask_holds_are_named(value):
    with pytest.raises(MaskError, match=rf"m\.png holds values from .*{value}"):
        to_classes(np.array([[value]]), BINARY, "m.png")


def test_many_strange_values_point_to_blurred_edges():
    with pytest.raises(MaskError, match=r"2, 3, .*, \.\.\., .*blurred edges or of JPEG.*data check"):
        to_classes(np.arange(256, dtype=np.uint8).reshape(16, 16), BINARY, "m.png")


@pytest.mark.parametrize("classes", [255, 256])
def test_as_many_classes_as_a_byte_counts_are_told_apart(classes):
    everything = np.arange(classes, dtype=np.uint8)[None]
    assert np.array_equal(to_classes(everything, numbered_labels(classes), "m.png"), everything)


@given(
    values=arrays(np.uint8, (4, 5)),
    meaning=st.lists(st.integers(0, 255), min_size=2, max_size=9, unique=True),
    ignored=st.none() | st.integers(0, 255),
)
def test_lookup_gives_what_one_pass_for_each_value_gives(values, meaning, ignored):
    assume(ignored is None or ignored >= len(meaning) or meaning[ignored] == ignored)
    labels = Labels(classes=tuple(map(str, meaning)), values=tuple(meaning), ignore_index=ignored)
    wanted = np.full(values.shape, -1)
    if ignored is not None:
        wanted[values == ignored] = ignored
    for index, value in enumerate(meaning):
        wanted[values == value] = index
    if (wanted < 0).any():
        with pytest.raises(MaskError, match="stand for none"):
            to_classes(values, labels, "m.png")
    else:
        assert np.array_equal(to_classes(values, labels, "m.png"), wanted)


def test_a_mask_is_shrunk_to_its_nearest_pixels_whatever_its_format(tmp_path):
    values = np.arange(35, dtype=np.uint8).reshape(5, 7)
    Image.fromarray(values).save(tmp_path / "m.png")
    np.save(tmp_path / "m.npy", values)
    shrunk = read_mask(tmp_path / "m.png", scale=0.5)
    assert shrunk.shape == (2, 3)
    assert set(shrunk.ravel()) <= set(values.ravel())
    assert np.array_equal(shrunk, read_mask(tmp_path / "m.npy", scale=0.5))


def test_a_page_that_is_not_there_is_named(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "m.tif")
    with pytest.raises(MaskError, match=r"m\.tif has no page 3"):
        read_mask(tmp_path / "m.tif", page=3)


def test_outside_the_field_of_view_nothing_counts():
    seen = np.array([[True, False]])
    sample = Sample(np.zeros((1, 2, 3), np.uint8), np.ones((1, 2), np.uint8), "a", field_of_view=seen)
    assert counted(sample, Labels(classes=("a", "b"), ignore_index=9)).tolist() == [[1, 9]]
    with pytest.raises(OptionError, match="a has a field of view"):
        counted(sample, BINARY)


def test_what_is_ignored_shares_no_index_with_a_class():
    with pytest.raises(OptionError, match="ignore_index 0 is the index of 'road', whose value in files is 1"):
        Labels(classes=("road", "car"), values=(1, 2), ignore_index=0)
    assert Labels(classes=("void", "car"), values=(0, 7), ignore_index=0).ignore_index == 0


def test_the_background_is_class_0_unless_said():
    assert Labels(classes=("nothing", "cell", "rim")).foreground == (1, 2)


def test_the_background_may_be_any_class_or_none():
    assert Labels(classes=("car", "road", "rest"), background=2).foreground == (0, 1)
    assert Labels(classes=("sky", "road"), background=None).foreground == (0, 1)


@pytest.mark.parametrize("wrong", [2, -1, True, 0.5, "sky"])
def test_a_background_that_is_no_class_is_refused(wrong):
    with pytest.raises(OptionError, match=r"background must be an integer from 0 to 1.*or None"):
        Labels(classes=("sky", "road"), background=wrong)


def test_classes_that_overlap_have_no_background():
    labels = Labels(classes=("cell", "nucleus"), overlapping=True)
    assert labels.background is None
    assert labels.foreground == (0, 1)
    assert replace(labels, classes=("cell", "rim")).background is None
    with pytest.raises(OptionError, match="overlap have no background"):
        Labels(classes=("cell", "nucleus"), overlapping=True, background=1)


@pytest.mark.parametrize(("background", "expected"), [(0, [0, 1, 1]), (2, [1, 1, 0]), (None, [1, 1, 1])])
def test_a_mask_is_something_wherever_it_is_not_background(background, expected):
    labels = Labels(classes=("a", "b", "c"), background=background)
    assert foreground(np.array([[0, 1, 2]]), labels).tolist() == [[bool(one) for one in expected]]


@pytest.mark.parametrize(
    ("name", "count", "first", "last", "background"),
    [
        ("ade20k", 150, ("wall", (120, 120, 120)), ("flag", (92, 0, 255)), None),
        ("cityscapes", 19, ("road", (128, 64, 128)), ("bicycle", (119, 11, 32)), None),
        ("voc", 21, ("background", (0, 0, 0)), ("tvmonitor", (0, 64, 128)), 0),
    ],
)
def test_classes_of_well_known_data_are_in_their_order(
    name: str, count: int, first: object, last: object, background: int | None
) -> None:
    labels = known_labels(name)
    named = list(zip(labels.classes, labels.palette, strict=True))
    assert (len(named), named[0], named[-1]) == (count, first, last)
    assert (labels.ignore_index, labels.background) == (255, background)


def test_data_whose_classes_are_not_known_is_named() -> None:
    with pytest.raises(OptionError, match="ade20k"):
        known_labels("ade")
