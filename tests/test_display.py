"""Images of any bands and values as people can see them."""

import numpy as np
import pytest

from segzoo.errors import ImageError
from segzoo.images import display_for, displayed
from segzoo.interfaces import ImageInfo
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (20, 30, 3), np.uint8)


def info(*bands, **told):
    return ImageInfo(height=20, width=30, dtype="uint16", bands=bands, **told)


def test_bytes_stay_as_they_are():
    assert displayed(COLOUR) is COLOUR
    assert np.array_equal(displayed(COLOUR[..., 0]), np.dstack([COLOUR[..., 0]] * 3))
    assert np.array_equal(displayed(COLOUR[..., :2]), np.dstack([COLOUR[..., 0]] * 3))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.float64, np.uint32])
def test_other_values_are_stretched_and_an_outlier_moves_nothing(dtype):
    image = np.linspace(100, 900, 60 * 50).reshape(60, 50, 1).astype(dtype)
    shown = displayed(image)
    assert shown.shape == (60, 50, 3)
    assert (shown.min(), shown.max()) == (0, 255)
    hot = image.copy()
    hot[30, 20] = 30000
    assert np.abs(displayed(hot)[:30].astype(int) - shown[:30]).max() <= 1


def test_bands_are_stretched_each_by_itself_but_colours_together():
    image = np.dstack([COLOUR[..., 0], COLOUR[..., 1] * 2.0, COLOUR[..., 2] * 100.0]).astype(np.float32)
    for names, equal in ((("a", "b", "c"), True), (("red", "green", "blue"), False)):
        high = displayed(image, info(*names)).max(axis=(0, 1))
        assert (high == 255).all() == equal
    assert high[0] < high[1] < high[2] == 255


def test_red_green_and_blue_are_shown_if_there_are_such_else_the_first_or_the_chosen():
    four = np.arange(4, dtype=np.uint8) * np.ones((2, 2, 1), np.uint8)
    for given, bands, wanted in (
        (info("blue", "green", "red", "nir"), (), [2, 1, 0]),
        (info("a", "b", "c", "d"), (), [0, 1, 2]),
        (info("alpha", "a", "b", "c", alpha=0), (), [1, 2, 3]),
        (None, ("4", "3", "2"), [3, 2, 1]),
        (None, ("4", "3"), [3, 3, 3]),
        (info("a", "b", "c", "nir"), ("nir",), [3, 3, 3]),
    ):
        assert displayed(four, given, bands=bands)[0, 0].tolist() == wanted
    with pytest.raises(ImageError, match="no band 5"):
        displayed(four, bands=("5",))


def test_a_file_may_say_what_is_shown():
    image = np.array([[[0], [50], [100], [200]]], np.int16)
    assert displayed(image, info("grey", window=(50, 100)))[0, :, 0].tolist() == [0, 0, 255, 255]
    dark = displayed(image, info("grey", window=(50, 100), inverted=True))
    assert dark[0, :, 0].tolist() == [255, 255, 0, 0]


def test_pixels_without_a_measurement_are_black_and_one_value_alone_is_shown():
    image = np.linspace(1, 2, 600, dtype=np.float32).reshape(20, 30, 1)
    image[0] = np.nan
    assert (displayed(image)[0] == 0).all()
    assert displayed(image)[1:].max() == 255
    assert displayed(np.full((4, 4, 1), 7, np.uint16)).shape == (4, 4, 3)
    assert (displayed(np.full((4, 4, 2), np.nan)) == 0).all()


def test_rows_are_shown_as_the_whole_is():
    image = RANDOM.integers(0, 3000, (64, 30, 5)).astype(np.uint16)
    display = display_for([image[:20], image[20:]])
    rows = [display.apply(image[:33]), display.apply(image[33:])]
    assert np.array_equal(np.concatenate(rows), displayed(image))


def test_pictures_of_a_segmentation_show_the_bands_that_were_chosen():
    image = RANDOM.integers(0, 3000, (20, 30, 5)).astype(np.uint16)
    labels = Labels(classes=("background", "cell"))
    found = Segmentation(np.ones((20, 30), np.uint8), labels, image, bands=("5", "4", "1"))
    assert np.array_equal(found.picture, displayed(image[..., [4, 3, 0]]))
    again = found.with_mask(np.zeros((20, 30), np.uint8))
    assert np.array_equal(np.asarray(again.overlay(line_width=0)), found.picture)
    assert found.sheet().size[1] == 20
    assert np.asarray(found.cutout()).shape == (20, 30, 4)
