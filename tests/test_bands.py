"""Which bands of an image a network takes."""

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.errors import ImageError, OptionError
from segzoo.images import (
    choose_bands,
    colour_bands,
    select_bands,
    to_channels,
    told_alpha,
    with_bands,
)
from segzoo.images.pixels import as_pixels_with_info
from segzoo.interfaces import ImageInfo
from segzoo.specs import Preprocessing, parse_bands

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (6, 4, 3), np.uint8)
FOUR = RANDOM.integers(0, 65536, (6, 4, 4), np.uint16)


def info(*bands: str, alpha: int | None = None) -> ImageInfo:
    return ImageInfo(height=6, width=4, dtype="uint8", bands=bands, alpha=alpha)


RGBA = info("red", "green", "blue", "alpha", alpha=3)


def test_colours_come_in_the_order_of_the_network():
    assert select_bands(COLOUR, None, Preprocessing(), 3) is COLOUR
    assert np.array_equal(select_bands(COLOUR, None, Preprocessing(channels="bgr"), 3), COLOUR[..., ::-1])
    grey = COLOUR[..., :1]
    assert np.array_equal(select_bands(grey, None, Preprocessing(), 3), np.repeat(grey, 3, axis=2))
    backwards = info("blue", "green", "red")
    assert np.array_equal(select_bands(COLOUR, backwards, Preprocessing(), 3), COLOUR[..., ::-1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_colours_become_grey_as_pillow_does_it_in_any_type(dtype):
    grey = select_bands(COLOUR.astype(dtype), None, Preprocessing(channels="grey"), 1)
    assert grey.dtype == dtype
    expected = np.asarray(Image.fromarray(COLOUR).convert("L"))
    assert np.abs(grey[..., 0] - expected.astype(float)).max() <= (0.5 if dtype == "float32" else 0)


def test_grey_of_the_brightest_16_bit_colour_is_as_bright():
    white = np.full((1, 1, 3), 65535, np.uint16)
    assert select_bands(white, None, Preprocessing(channels="grey"), 1).item() == 65535


def test_alpha_is_left_out_only_where_the_file_declares_it_and_the_network_has_no_place_for_it():
    choice = choose_bands(4, RGBA, Preprocessing(), 3)
    assert choice.names == ("red", "green", "blue")
    assert choice.dropped == "alpha"
    assert told_alpha(2, 3) == "the alpha channel of 2 images was ignored: the network takes 3 bands"
    assert select_bands(FOUR, RGBA, Preprocessing(channels="any"), 4) is FOUR
    first = info("alpha", "grey", alpha=0)
    assert choose_bands(2, first, Preprocessing(channels="grey"), 1).indices == (1,)
    with pytest.raises(ImageError, match=r"4 bands \(band 1, .*choose with --bands 1,2,3.*data.bands"):
        select_bands(FOUR, None, Preprocessing(), 3)


def test_chosen_bands_win_by_number_and_by_name():
    named = info("blue", "green", "red", "NIR")
    for bands in (("4", "3", "2"), ("nir", "red", "green")):
        taken = select_bands(FOUR, named, Preprocessing(bands=bands), 3)
        assert np.array_equal(taken, FOUR[..., [3, 2, 1]])
        assert np.shares_memory(taken, FOUR)
    picked = select_bands(FOUR, named, Preprocessing(channels="any", bands=("1", "4")), 2)
    assert np.array_equal(picked, FOUR[..., [0, 3]])
    # One band for a network of colours is grey to it.
    assert choose_bands(4, named, Preprocessing(bands=("nir",)), 3).names == ("NIR",) * 3


@pytest.mark.parametrize("order", [(2, 1, 0), (3, 2, 1), (1, 2), (0,), (2, 0, 1), (3,)])
def test_any_order_of_bands_gives_those_bands(order):
    bands = tuple(str(index + 1) for index in order)
    taken = select_bands(FOUR, None, Preprocessing(channels="any", bands=bands), len(order))
    assert np.array_equal(taken, FOUR[..., list(order)])


def test_bands_that_are_not_there_are_told_with_those_that_are():
    for bands, told in {
        ("5", "1", "2"): r"no band 5: the image has 4 bands \(red, green, blue, alpha\)",
        ("nir",): "no band is called 'nir': the image has 4 bands",
    }.items():
        with pytest.raises(ImageError, match=told):
            choose_bands(4, RGBA, Preprocessing(bands=bands), 3)
    with pytest.raises(ImageError, match="bands 1, 2 are all called 'x': choose by number"):
        choose_bands(2, info("x", "X"), Preprocessing(channels="any", bands=("x",)), 1)
    with pytest.raises(ImageError, match="another network \\(in_channels=4\\)"):
        choose_bands(4, None, Preprocessing(channels="any"), 5)
    with pytest.raises(ImageError, match=r"band 12, \.\.\.\)"):
        choose_bands(200, None, Preprocessing(), 3)
    with pytest.raises(ImageError, match="--bands 3,2,1"):
        choose_bands(4, info("blue", "green", "red", "nir"), Preprocessing(), 3)


def test_an_error_says_what_helps():
    # Two bands of a microscope: one of them is grey to a network of colours.
    with pytest.raises(ImageError, match=r"--bands 1 \(bands=1 in Python\), which is used as grey"):
        choose_bands(2, None, Preprocessing(), 3)
    with pytest.raises(ImageError, match=r"no band is called 'nir'.*no names, so choose by number"):
        choose_bands(4, None, Preprocessing(bands=("nir", "1", "2")), 3)
    with pytest.raises(
        ImageError, match=r"an array of shape \(3, 20, 30\).*bands come first, pass layout='CHW'"
    ):
        select_bands(np.zeros((3, 20, 30), np.uint8), None, Preprocessing(), 3)


def test_as_many_bands_are_chosen_as_the_network_takes():
    assert with_bands(Preprocessing(), "4,3,2", 3).bands == ("4", "3", "2")
    with pytest.raises(OptionError, match=r"2 bands are chosen \(1,2\), but the network takes 3"):
        with_bands(Preprocessing(), "1,2", 3)
    with pytest.raises(OptionError, match=r"3 bands are chosen \(3,2,1\), but the network takes 1"):
        choose_bands(4, RGBA, Preprocessing(channels="grey", bands=("3", "2", "1")), 1)
    bgr = with_bands(Preprocessing(channels="bgr"), "4,3,2", 3)
    assert choose_bands(4, None, bgr, 3).indices == (1, 2, 3)


def test_bands_are_written_as_numbers_or_names():
    assert parse_bands("4, 3,2") == parse_bands([4, 3, "2"]) == ("4", "3", "2")
    assert parse_bands("nir") == ("nir",)
    assert parse_bands(4) == ("4",)
    for wrong in ("", "4,,2", [], [0], "-1", [True], [1.5], "0"):
        with pytest.raises(OptionError, match="band"):
            parse_bands(wrong)


@pytest.mark.parametrize(
    ("mode", "bands", "alpha"),
    [
        ("RGB", ("red", "green", "blue"), None),
        ("RGBA", ("red", "green", "blue", "alpha"), 3),
        ("LA", ("grey", "alpha"), 1),
        ("L", ("grey",), None),
        ("P", ("red", "green", "blue"), None),
        ("I;16", ("grey",), None),
        ("CMYK", ("red", "green", "blue"), None),
        ("PA", ("red", "green", "blue", "alpha"), 3),
    ],
)
def test_an_image_of_pillow_declares_its_alpha_by_its_mode(mode, bands, alpha):
    grey = Image.fromarray(COLOUR[..., 0])
    image = grey.convert("I;16") if mode == "I;16" else Image.fromarray(COLOUR).convert(mode)
    pixels, told = as_pixels_with_info(image)
    assert pixels.shape == (6, 4, len(bands))
    assert (told.bands, told.alpha) == (bands, alpha)
    model = segzoo.create("unet", num_classes=2, in_channels=len(bands), width=2, depth=2)
    assert segzoo.predict(image, model=model.eval()).mask.shape == (6, 4)


@pytest.mark.parametrize(
    ("names", "preprocessing", "colours"),
    [
        (("red", "green", "blue"), Preprocessing(), (0, 1, 2)),
        (("red", "green", "blue", "alpha"), Preprocessing(channels="any"), (0, 1, 2)),
        (("blue", "green", "red", "nir"), Preprocessing(channels="any"), (2, 1, 0)),
        (("nir", "red", "green"), Preprocessing(), (1, 2)),
        (("grey", "depth"), Preprocessing(channels="any"), (0,)),
        (("grey",), Preprocessing(channels="grey"), (0,)),
        (("grey",), Preprocessing(), (0, 1, 2)),
        (("nir",), Preprocessing(), ()),
        (("DAPI", "FITC"), Preprocessing(channels="any"), ()),
        ((), Preprocessing(), (0, 1, 2)),
        ((), Preprocessing(channels="bgr"), (2, 1, 0)),
        ((), Preprocessing(channels="any"), ()),
        ((), Preprocessing(bands=("4", "3", "2")), ()),
        (("blue", "green", "red", "nir"), Preprocessing(bands=("3", "2", "1")), (0, 1, 2)),
    ],
)
def test_bands_are_colours_by_name_or_as_a_network_of_colours_takes_them(names, preprocessing, colours):
    count = len(names) or (4 if preprocessing.bands or preprocessing.channels == "any" else 3)
    wanted = {"grey": 1, "any": count}.get(preprocessing.channels, 3)
    choice = choose_bands(count, info(*names) if names else None, preprocessing, wanted)
    assert colour_bands(choice, preprocessing) == colours


def test_the_old_name_still_works_and_says_its_new_one():
    with pytest.warns(DeprecationWarning, match="select_bands"):
        assert to_channels(COLOUR, Preprocessing(channels="grey")).shape == (6, 4, 1)
