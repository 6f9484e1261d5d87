"""Masks on disk become class indices, or an error that says what their values are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from segzoo.errors import MaskError, OptionError
from segzoo.labels import read_mask, to_classes
from segzoo.specs import Labels, numbered_labels

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
    colours = numbered_labels(151).colours
    assert len(set(colours)) == 151
    assert all(0 <= value <= 255 for colour in colours for value in colour)
