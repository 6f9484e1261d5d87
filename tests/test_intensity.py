"""Values become numbers by one rule: robustly, without touching bytes, equally for rows and whole images."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segzoo.errors import ImageError, OptionError
from segzoo.images.intensity import (
    measure_bands,
    measured_over,
    missing,
    scaling_for,
    scaling_of_rows,
)
from segzoo.specs import Intensity, intensity_text, parse_intensity

FORMS = ["uint8", "range:100,4000", "percentiles:1,99.8", "percentiles:2,98:band", "dtype", "standard:band"]
UINT8 = Intensity()


def scaled(text, image, **options):
    return scaling_for(parse_intensity(text), image, **options).apply(image)


def noise(shape, dtype, low=0, high=1000, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("uint8", Intensity()),
        ("uint8:run", Intensity(over="data")),
        ("range:0,4095", Intensity(mode="range", low=0, high=4095)),
        ("range:-1000,3e3", Intensity(mode="range", low=-1000, high=3000)),
        ("window:40,400", Intensity(mode="range", low=-160, high=240)),
        ("percentiles", Intensity(mode="percentiles", low=1, high=99.8)),
        ("Percentiles: 1, 99.8", Intensity(mode="percentiles", low=1, high=99.8)),
        ("percentiles:2,98:band", Intensity(mode="percentiles", low=2, high=98, per="band")),
        ("percentiles:band:data", Intensity(mode="percentiles", low=1, high=99.8, per="band", over="data")),
        ("dtype", Intensity(mode="dtype")),
        ("standard:band:run", Intensity(mode="standard", per="band", over="data")),
    ],
)
def test_each_text_form_is_read_and_written_again(text, wanted):
    assert parse_intensity(text) == wanted
    assert parse_intensity(intensity_text(wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "one of uint8"),
        ("percentile:1,99", "did you mean"),
        ("range", "two numbers"),
        ("range:1", "two numbers"),
        ("range:1,2,3", "two numbers"),
        ("range:a,b", "range:a,b"),
        ("range:1;2", "comma"),
        ("range:5,5", "less than high"),
        ("range:9,5", "less than high"),
        ("range:nan,5", "finite number"),
        ("range:0,inf", "finite number"),
        ("window:40,0", "width"),
        ("window:40,-400", "width"),
        ("percentiles:50,50", "less than high"),
        ("percentiles:-1,99", "0 to 100"),
        ("percentiles:1,100.5", "0 to 100"),
        ("percentiles:1,99:bands", ":band"),
        ("uint8:0,255", "no numbers"),
        ("uint8:band", "leave :band out"),
        ("dtype:run", "leave :run out"),
        ("standard:1,2", "no numbers"),
    ],
)
def test_a_wrong_text_form_says_what_is_right(text, told):
    with pytest.raises(OptionError, match=told):
        parse_intensity(text)


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=12)))
def test_bytes_stay_the_very_array_in_uint8_mode(image):
    scaling = scaling_for(UINT8, image)
    assert scaling.is_identity
    assert scaling.apply(image) is image
    assert not scaling.told


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.int64, ">u2"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_deeper_integers_take_as_many_bits_as_they_need(dtype, bits):
    image = noise((60, 70, 2), dtype, high=2**bits)
    image[:, :2] = 2**bits - 1
    found = scaled("uint8", image)
    assert np.array_equal(found, np.rint(image * (255 / (2**bits - 1))).astype(np.uint8))


@pytest.mark.slow
@settings(max_examples=15)
@given(
    mode=st.sampled_from(["uint8", "percentiles:1,99.8", "percentiles:1,99.8:band"]),
    seed=st.integers(0, 2**16),
    where=st.tuples(st.integers(0, 999), st.integers(0, 999)),
    dtype=st.sampled_from([np.uint16, np.int32, np.float32]),
)
def test_one_hot_pixel_in_a_million_changes_nothing_else(mode, seed, where, dtype):
    high = 1 if dtype == np.float32 else 1000
    image = noise((1000, 1000, 1), dtype, high=high, seed=seed % 3)
    hot = image.copy()
    hot[where] = 60_000
    one, other = (scaled(mode, picture).astype(np.float64) for picture in (image, hot))
    away = np.abs(one - other)
    away[where] = 0
    # A percentile may move by one value of a million.
    assert away.max() <= (0 if mode == "uint8" else 2e-3)


@pytest.mark.parametrize("side", [64, 100, 1000])
def test_a_few_hot_pixels_or_a_hot_column_do_not_move_the_bits(side):
    image = noise((side, side, 1), np.uint16)
    hot = image.copy()
    for number in range(side * side // 2000):
        hot[number * 7 % side, number * 13 % side] = 65_535
    assert scaling_for(UINT8, hot).high == scaling_for(UINT8, image).high == (1023.0,)


def test_a_small_bright_object_counts_however_dark_the_rest():
    image = noise((1000, 1000, 1), np.uint16, high=200)
    image[500:510, 500:510] = 4000
    assert scaling_for(UINT8, image).high == (4095.0,)


@pytest.mark.parametrize("text", FORMS)
@settings(max_examples=25)
@given(seed=st.integers(0, 1000))
def test_a_brighter_value_never_becomes_a_lower_number(text, seed):
    image = noise((40, 40, 1), np.uint16, high=5000, seed=seed)
    order = np.argsort(image, axis=None)
    found = scaled(text, image).ravel()[order].astype(np.float64)
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(
    "text", ["percentiles:1,99.8", "percentiles:0,100:band", "standard", "standard:band"]
)
@pytest.mark.parametrize("value", [0, 7, 100])
def test_a_constant_image_becomes_zeros_without_a_warning(dtype, text, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not scaled(text, np.full((30, 20, 3), value, dtype)).any()


def test_percentiles_of_a_dark_image_with_few_bright_pixels_keep_these():
    image = np.full((100, 100, 1), 300, np.uint16)
    image[4, 5] = 4000
    found = scaled("percentiles:1,99.8", image)
    assert found[4, 5] == 1
    assert found.sum() == 1


@pytest.mark.parametrize(
    "text", ["percentiles:1,99", "percentiles:1,99:band", "standard", "range:0,1", "uint8"]
)
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf, -9999.0])
def test_what_is_no_measurement_counts_for_nothing_and_becomes_zero(text, hole):
    image = noise((50, 40, 2), np.float32, high=1)
    holed = np.concatenate([image, np.full((30, 40, 2), hole, np.float32)])
    nodata = hole if hole == -9999 else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scaled(text, holed, nodata=nodata)
    assert np.array_equal(found[:50], scaled(text, image))
    assert not found[50:].any()


def test_integers_have_a_value_without_measurement_too():
    image = noise((50, 40, 1), np.uint16, low=500)
    holed = np.concatenate([image, np.zeros((400, 40, 1), np.uint16)])
    found = scaled("percentiles:1,99", holed, nodata=0.0)
    assert np.array_equal(found[:50], scaled("percentiles:1,99", image))


@pytest.mark.parametrize("text", ["percentiles", "standard", "uint8"])
def test_an_image_without_any_measurement_is_refused(text):
    with pytest.raises(ImageError, match="no pixel holds a measurement"):
        scaled(text, np.full((4, 5, 1), np.nan))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("percentiles", [(0, 100), (1, 99.8), (25, 50)])
def test_percentiles_of_short_integers_are_those_of_numpy(dtype, percentiles):
    info = np.iinfo(dtype)
    image = noise((61, 47, 3), dtype, low=info.min, high=info.max)
    low, high = percentiles
    for per, axis in (("all", None), ("band", (0, 1))):
        scaling = scaling_for(Intensity(mode="percentiles", low=low, high=high, per=per), image)
        wanted = np.percentile(image, percentiles, axis=axis).reshape(2, -1)
        assert np.allclose([scaling.low, scaling.high], wanted, rtol=1e-12)


@pytest.mark.medium
def test_percentiles_of_millions_of_floats_are_those_of_a_million_pixels():
    image = noise((3000, 1000, 2), np.float32, high=5)
    image[..., 1] += 3
    scaling = scaling_for(parse_intensity("percentiles:1,99:band"), image)
    wanted = np.percentile(image, (1, 99), axis=(0, 1))
    assert np.allclose([scaling.low, scaling.high], wanted, atol=0.01)


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">i2", np.int32, np.float32])
def test_rows_of_any_height_give_what_the_whole_image_gives(text, dtype):
    if text == "dtype" and dtype == np.float32:
        pytest.skip("floats have no full range")
    # Of more than a million floats percentiles are estimated.
    image = noise((1501 if dtype == np.float32 else 101, 1003, 2), dtype, high=200)
    whole = scaling_for(parse_intensity(text), image)
    for tall in (64, 777):
        parts = [image[top : top + tall] for top in range(0, len(image), tall)]
        found = scaling_of_rows(parse_intensity(text), parts, dtype=image.dtype)
        assert np.allclose([found.low, found.high], [whole.low, whole.high], rtol=1e-9)
        rows = np.concatenate([whole.apply(part) for part in parts])
        assert np.array_equal(rows, whole.apply(image))


def test_a_window_brings_signed_values_to_0_to_1():
    image = np.array([-1000, -160, 40, 240, 3000], np.int16).reshape(1, 5, 1)
    found = scaled("window:40,400", image)
    assert found.dtype == np.float32
    assert found.ravel().tolist() == [0, 0, 0.5, 1, 1]


def test_the_full_range_of_an_integer_type_is_used():
    assert scaled("dtype", np.array([[[0], [65_535]]], np.uint16)).ravel().tolist() == [0, 1]
    assert scaled("dtype", np.array([[[-32_768], [32_767]]], np.int16)).ravel().tolist() == [0, 1]
    with pytest.raises(ImageError, match="range:0,1"):
        scaled("dtype", np.zeros((1, 1, 1), np.float32))


def test_standard_gives_mean_0_and_deviation_1_per_band():
    image = noise((80, 90, 3), np.float64, low=-500, high=3000) * [1, 2, 3]
    found = scaled("standard:band", image)
    assert np.allclose(found.mean(axis=(0, 1)), 0, atol=1e-5)
    assert np.allclose(found.std(axis=(0, 1)), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_negative_values_are_refused_with_the_option_that_settles_it(dtype):
    with pytest.raises(ImageError, match=r"-500 to 900.*--intensity range:-500,900"):
        scaled("uint8", np.linspace(-500, 900, 400).reshape(20, 20, 1).astype(dtype))


def test_floats_a_little_beyond_0_to_1_are_taken_for_0_to_1():
    image = noise((50, 50, 1), np.float32, low=-0.05, high=1.2)
    scaling = scaling_for(UINT8, image)
    assert scaling.high == (1.0,)
    assert re.fullmatch(
        r"values of 0 to 1 become 0 to 255 \([\d.]+ % above, up to 1\.\d+, are clipped\)", scaling.told
    )
    assert np.array_equal(scaling.apply(image), np.rint(image.clip(0, 1) * 255).astype(np.uint8))


def test_floats_up_to_255_are_taken_as_they_are_and_larger_or_much_smaller_ones_refused():
    image = noise((50, 50, 1), np.float32, high=255)
    assert np.array_equal(scaled("uint8", image), np.rint(image).astype(np.uint8))
    for factor in (4, 1 / 50):
        with pytest.raises(ImageError, match=r"0 to 255.*--intensity"):
            scaled("uint8", image * np.float32(factor))


def test_true_and_false_become_the_ends():
    image = np.eye(4, dtype=np.bool_)[..., None]
    assert np.array_equal(scaled("uint8", image), image * np.uint8(255))
    assert np.array_equal(scaled("percentiles:0,100", image), image.astype(np.float32))


def test_images_of_a_run_share_one_scale():
    dark, bright = noise((40, 40, 1), np.uint16, high=100), noise((40, 40, 1), np.uint16, high=4000)
    for text in ("percentiles:0,100:run", "uint8:run", "standard:run"):
        known = measured_over(parse_intensity(text), iter([dark, bright]))
        assert scaling_for(known, dark).high == scaling_for(known, bright).high
    assert scaling_for(measured_over(parse_intensity("uint8:run"), [dark, bright]), dark).high == (4095.0,)
    plain = parse_intensity("percentiles:1,99")
    assert measured_over(plain, [dark]) is plain


def test_images_of_a_run_need_equal_bands_but_not_types():
    with pytest.raises(ImageError, match="equal bands, got 1 and 3"):
        measured_over(parse_intensity("standard:band:run"), [np.zeros((2, 2, 1)), np.zeros((2, 2, 3))])
    images = [noise((9, 9, 1), np.uint8, high=200), noise((9, 9, 1), np.float32, high=900)]
    (pair,) = measured_over(parse_intensity("percentiles:0,100:run"), images).measured
    assert pair == pytest.approx((min(image.min() for image in images), images[1].max()))


def test_measured_values_of_other_bands_are_refused():
    known = measured_over(parse_intensity("standard:band:run"), [noise((9, 9, 3), np.uint16)])
    with pytest.raises(ImageError, match="4 bands, but intensity was measured for 3"):
        scaling_for(known, image := noise((9, 9, 4), np.uint16)).apply(image)


def test_measured_values_must_fit_what_they_are_measured_for():
    with pytest.raises(OptionError, match='over="data"'):
        Intensity(measured=((0.0, 1.0),))
    with pytest.raises(OptionError, match='per="band"'):
        Intensity(over="data", measured=((0.0, 1.0), (0.0, 2.0)))
    with pytest.raises(OptionError, match="finite"):
        Intensity(over="data", measured=((0.0, float("nan")),))


def test_statistics_are_those_of_numpy_with_bytes_over_255():
    images = [noise((30, 40, 2), np.uint8, high=200, seed=seed) for seed in range(3)]
    both = np.concatenate(images).reshape(-1, 2) / 255
    first, second = measure_bands(images)
    for band, found in enumerate((first, second)):
        values = both[:, band]
        assert found.minimum == pytest.approx(values.min())
        assert found.maximum == pytest.approx(values.max())
        assert (found.mean, found.std) == pytest.approx((values.mean(), values.std()))
        assert (found.low, found.high) == pytest.approx(np.percentile(values, (1, 99)))
    assert measure_bands([]) == ()


def test_a_pixel_is_missing_if_a_band_is_nan_or_all_hold_the_value_for_that():
    image = np.ones((2, 3, 2), np.float32)
    image[0, 0, 1] = np.nan
    image[0, 1] = -9999
    image[1, 2, 0] = -9999
    assert missing(image, -9999).tolist() == [[True, True, False], [False, False, False]]
    assert missing(np.ones((2, 2, 1), np.uint8), None) is None


def test_strings_are_no_pixels():
    with pytest.raises(ImageError, match="integers, floats"):
        scaling_for(UINT8, np.full((2, 2, 1), "a"))


@pytest.mark.parametrize("rule", ["percentiles:0,100:run", "standard:run"])
@pytest.mark.parametrize("first", [0, 1])
def test_each_image_of_a_run_has_its_own_value_for_no_data(rule, first):
    plain = np.arange(100, dtype=np.int16).reshape(10, 10, 1)  # zeros are measured
    holes = plain + np.int16(100)
    holes[:5] = -9999
    pairs = [(plain, None), (holes, -9999.0)]
    known = measured_over(parse_intensity(rule), pairs[::-1] if first else pairs)
    values = np.concatenate([plain.ravel(), holes[5:].ravel()])
    wanted = (0, 199) if "percentiles" in rule else (values.mean(), values.std())
    np.testing.assert_allclose(known.measured, [wanted], rtol=1e-6)
