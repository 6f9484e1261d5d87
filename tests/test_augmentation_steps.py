"""Each step does what its options say, and what an independent computation gives."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as T
from scipy.ndimage import binary_erosion

from segzoo.training.augmentation import make_augmentation
from segzoo.training.parts import factories

IGNORE = 255


def augmented(image, mask=None, seed=0, ignore=IGNORE, **steps):
    mask = np.zeros(image.shape[:2], np.uint8) if mask is None else mask
    return make_augmentation(steps, ignore_index=ignore)(image, mask, np.random.default_rng(seed))


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def test_a_crop_at_its_own_scale_is_a_part_of_the_image():
    image = noise(50, 60)
    part, _ = augmented(image, crop={"size": [20, 30], "scale": 1}, seed=3)
    windows = np.lib.stride_tricks.sliding_window_view(image, (20, 30, 3))[:, :, 0]
    assert (windows == part).all(axis=(2, 3, 4)).sum() == 1


def test_a_crop_continues_a_small_image_by_its_mirror_image():
    image, mask = noise(5, 8), noise(5, 8, 1)[..., 0] % 3
    part, classes = augmented(image, mask, crop={"size": [11, 14], "scale": 1}, seed=1)
    found = []
    for top in range(7):
        for left in range(7):
            pad = (top, 6 - top), (left, 6 - left)
            # NumPy's reflection goes as far as an image is long, and again from there.
            rows = np.pad(np.arange(5), pad[0], mode="reflect")
            columns = np.pad(np.arange(8), pad[1], mode="reflect")
            same = (image[np.ix_(rows, columns)] == part).all()
            found.append(same and (mask[np.ix_(rows, columns)] == classes).all())
    assert sum(found) == 1


def test_a_crop_pads_with_black_pixels_that_are_ignored_or_background():
    image, mask = np.full((6, 40, 3), 200, np.uint8), np.ones((6, 40), np.uint8)
    for outside, value in (("ignore", IGNORE), ("background", 0)):
        options = {"size": 16, "scale": 1, "padding": "zero", "outside": outside}
        part, classes = augmented(image, mask, crop=options)
        inside = part[..., 0] == 200
        assert inside.sum() == 6 * 16
        assert (part[~inside] == 0).all()
        assert (classes == np.where(inside, 1, value)).all()


def test_a_crop_stays_where_pixels_count_if_it_can():
    mask = np.full((200, 200), IGNORE, np.uint8)
    mask[20:24, 170:180] = 1
    image = noise(200, 200)
    counts = [(augmented(image, mask, s, crop={"size": 32})[1] == 1).any() for s in range(30)]
    assert all(counts)
    nothing = np.full((64, 64), IGNORE, np.uint8)
    assert (augmented(noise(64, 64), nothing, crop={"size": 32})[1] == IGNORE).all()


def test_the_vessel_recipe_draws_the_short_side_and_pads_what_is_missing():
    image, mask = np.full((58, 56, 3), 200, np.uint8), np.ones((58, 56), np.uint8)
    steps = {
        "resize_short": {"size": [28, 68]},
        "crop": {"size": 48, "scale": 1, "padding": "zero"},
    }
    sides = set()
    for seed in range(60):
        part, classes = augmented(image, mask, seed, **steps)
        assert part.shape == (48, 48, 3)
        assert ((part[..., 0] == 200) == (classes == 1)).all()
        assert set(np.unique(classes)) <= {1, IGNORE}
        sides.add(int((classes == 1).any(0).sum()))
    assert min(sides) in (28, 29)
    assert max(sides) == 48
    assert len(sides) > 10


def test_resizing_is_pillows_up_to_rounding_and_a_mask_takes_the_nearest_pixels():
    image, mask = noise(40, 52), noise(40, 52, 1)[..., 0]
    small, classes = augmented(image, mask, resize={"size": [17, 21]})
    wanted = T.resize(torch.from_numpy(image).movedim(-1, 0).float(), [17, 21], antialias=True)
    assert np.abs(small - wanted.movedim(0, -1).numpy()).max() <= 1
    rows, columns = ((np.arange(n) * 2 + 1) * whole // (2 * n) for n, whole in ((17, 40), (21, 52)))
    assert (classes == mask[np.ix_(rows, columns)]).all()


def test_a_letterbox_keeps_the_aspect_and_sets_bars_beside_it():
    image, mask = np.full((20, 40, 3), 250, np.uint8), np.ones((20, 40), np.uint8)
    framed, classes = augmented(image, mask, letterbox={"size": 32, "grey": 100, "outside": "ignore"})
    assert (framed[8:24] == 250).all()
    assert (framed[:8] == 100).all()
    assert (framed[24:] == 100).all()
    assert (classes == np.where(framed[..., 0] == 250, 1, IGNORE)).all()
    _, classes = augmented(image, mask, letterbox={"size": 32})
    assert (classes == (framed[..., 0] == 250)).all()


def test_a_place_is_random_in_aspect_scale_and_position():
    image, mask = np.full((60, 80, 3), 250, np.uint8), np.ones((60, 80), np.uint8)
    aspects, widths, corners = [], [], set()
    for seed in range(200):
        framed, classes = augmented(image, mask, seed, place={"size": 64, "scale": [0.25, 0.9]})
        assert ((framed[..., 0] > 200) == (classes == 1)).all()
        rows, columns = np.flatnonzero(classes.any(1)), np.flatnonzero(classes.any(0))
        aspects.append(len(columns) / len(rows))
        widths.append(max(len(columns), len(rows)))
        corners.add((rows[0], columns[0]))
    least, most = 80 / 60 * 0.7 / 1.3, 80 / 60 * 1.3 / 0.7
    assert least * 0.9 < min(aspects) < 0.9
    assert 1.9 < max(aspects) < most * 1.15
    assert min(widths) in range(15, 20)
    assert max(widths) in range(52, 58)
    assert len(corners) > 150
    cut, _ = augmented(image, mask, place={"size": 64, "scale": 2.0, "jitter": 0})
    assert (cut > 200).mean() > 0.9


def test_flips_happen_as_often_as_said():
    image = noise(3, 4)
    assert (augmented(image, flip={"horizontal": 1})[0] == image[:, ::-1]).all()
    assert (augmented(image, flip={"horizontal": 0, "vertical": 1})[0] == image[::-1]).all()
    flipped = [(augmented(image, flip={"horizontal": 0.2}, seed=s)[0] != image).any() for s in range(300)]
    assert 40 < sum(flipped) < 85


def test_turns_take_the_angles_named():
    image = noise(3, 4)
    assert (augmented(image, turn={"angles": 90})[0] == np.rot90(image)).all()
    shapes = {augmented(image, turn={}, seed=s)[0].tobytes() for s in range(40)}
    assert shapes == {np.rot90(image, k).tobytes() for k in range(4)}


@pytest.mark.parametrize("size", [20, 21])
def test_a_rotation_by_a_right_angle_is_that_turn(size):
    image, mask = noise(size, size), noise(size, size, 1)[..., 0] % 3
    for degrees, turns in ((90, 1), (-90, -1), (180, 2)):
        rotated, classes = augmented(image, mask, rotate={"degrees": [degrees, degrees], "fill": "ignore"})
        assert (rotated == np.rot90(image, turns)).all()
        assert (classes == np.rot90(mask, turns)).all()


def test_a_rotation_ignores_its_corners_or_mirrors_into_them():
    image, mask = np.full((41, 41, 3), 200, np.uint8), np.ones((41, 41), np.uint8)
    rotated, classes = augmented(image, mask, rotate={"degrees": [45, 45], "fill": "ignore"})
    assert (classes[[0, 0, -1, -1], [0, -1, 0, -1]] == IGNORE).all()
    # A square turned by half a right angle covers an octagon of itself: 2 * sqrt(2) - 2.
    assert (classes == 1).mean() == pytest.approx(0.828, abs=0.03)
    assert (rotated[classes == IGNORE] == 0).all()
    mirrored, classes = augmented(image, mask, rotate={"degrees": [45, 45]}, ignore=None)
    assert (mirrored == 200).all()
    assert (classes == 1).all()


STILL = {"degrees": 0, "scale": 1, "shear": 0, "translate": 0}


@pytest.mark.parametrize("degrees", [-90, 30, 180])
def test_an_affine_map_that_only_rotates_is_a_rotation(degrees):
    image, mask = noise(20, 33), noise(20, 33, 1)[..., 0] % 3
    options = {"degrees": [degrees, degrees], "fill": "ignore"}
    for ours, theirs in zip(
        augmented(image, mask, affine={**STILL, **options}),
        augmented(image, mask, rotate=options),
        strict=True,
    ):
        assert (ours == theirs).all()


def test_an_affine_map_magnifies_shifts_and_shears():
    image, mask = noise(20, 40), noise(20, 40, 1)[..., 0] % 3
    same, classes = augmented(image, mask, affine=STILL)
    assert (same == image).all()
    assert (classes == mask).all()
    shifted, classes = augmented(image, mask, affine={**STILL, "translate": [0.25, 0.25], "fill": "ignore"})
    assert (shifted[5:, 10:] == image[:-5, :-10]).all()
    assert (classes[:5] == IGNORE).all()
    assert (classes[:, :10] == IGNORE).all()
    large, classes = augmented(image, mask, affine={**STILL, "scale": 3})
    # Every third pixel of a magnification by three is one of the image's.
    assert np.abs(large[2::3, ::3].astype(int) - image[7:13, 13:27]).max() <= 1
    assert (classes[2::3, ::3] == mask[7:13, 13:27]).all()
    square = np.zeros((41, 41), np.uint8)
    square[15:26, 15:26] = 1
    image = np.repeat(square[..., None] * np.uint8(200), 3, axis=2)
    _, sheared = augmented(image, square, affine={**STILL, "shear": [20, 20]})
    assert sheared.sum() == pytest.approx(square.sum(), rel=0.1)
    assert len(np.flatnonzero(sheared.any(0))) > 13


@pytest.mark.parametrize("seed", range(5))
def test_a_perspective_takes_corners_to_where_they_are_moved_as_torchvision_does(seed):
    height, width = 45, 60
    image = noise(height, width)
    made, classes = augmented(image, perspective={"distortion": 0.2, "fill": "ignore"}, seed=seed)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    moved = corners + np.random.default_rng(seed).uniform(-0.2, 0.2, (4, 2))
    read, seen = ((places * (width, height)).tolist() for places in (moved, corners))
    wanted = T.perspective(torch.from_numpy(image).movedim(-1, 0).double(), read, seen)
    inside = binary_erosion(classes == 0)
    assert inside.mean() > 0.4
    assert np.abs(made - wanted.movedim(0, -1).numpy())[inside].max() < 1
    still, classes = augmented(image, perspective={"distortion": 0, "fill": "ignore"}, seed=seed)
    assert np.abs(still.astype(int) - image).max() <= 1
    assert not classes.any()


@pytest.mark.medium
def test_elastic_moves_the_points_of_its_grid_by_sigma_pixels():
    columns = np.arange(201, dtype=np.uint8)
    image = np.broadcast_to(columns[:, None], (41, 201, 1))
    middle = [int(augmented(image, elastic={"sigma": 10}, seed=s)[0][20, 100, 0]) - 100 for s in range(200)]
    assert np.std(middle) == pytest.approx(10, rel=0.2)
    assert abs(np.mean(middle)) < 2
    # Between the points the field is smooth: neighbours stay neighbours.
    row = augmented(image, elastic={"sigma": 5}, seed=1)[0][20, 40:160, 0].astype(int)
    assert (np.diff(row) >= 0).all()


def test_smooth_elastic_moves_pixels_by_a_field_as_fine_as_its_gaussian():
    columns = np.arange(201, dtype=np.uint8)
    image = np.broadcast_to(columns[:, None], (41, 201, 1))
    moved = augmented(image, elastic_smooth={"alpha": 40, "sigma": 4})[0][..., 0].astype(int) - columns
    inner = moved[:, 30:170]
    # The smoothed field's deviation is that of numbers in [-1, 1], by 1 / (2 sqrt(pi) sigma).
    assert inner.std() == pytest.approx(40 * 3**-0.5 / (2 * np.pi**0.5 * 4), rel=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_colour_is_brightness_contrast_saturation_and_hue_as_torchvision_does_them(seed):
    image = np.random.default_rng(seed).integers(30, 220, (40, 50, 3), np.uint8)
    changed, _ = augmented(image, color={"strength": 0.25}, seed=seed)
    random = np.random.default_rng(seed)
    brightness, contrast, saturation = 1 + random.uniform(-0.25, 0.25, 3)
    pixels = torch.from_numpy(image).movedim(-1, 0).float() / 255
    pixels = T.adjust_saturation(
        T.adjust_contrast(T.adjust_brightness(pixels, brightness), contrast), saturation
    )
    wanted = T.adjust_hue(pixels, float(random.uniform(-0.25, 0.25)) / 5).movedim(0, -1).numpy() * 255
    assert np.abs(changed - wanted).mean() < 0.6
    assert np.abs(changed - wanted).max() < 5


def test_hue_saturation_and_value_are_shifted_on_their_scales():
    image = noise(6, 7)
    shifts = {"hue": [15, 15], "saturation": [-40, -40], "value": [10, 10]}
    changed, _ = augmented(image, hue_saturation_value=shifts)
    for old, new in zip(image.reshape(-1, 3), changed.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(old / 255))
        wanted = colorsys.hsv_to_rgb(
            (hue + 15 / 180) % 1, max(saturation - 40 / 255, 0), min(value + 10 / 255, 1)
        )
        assert np.abs(new - np.array(wanted) * 255).max() <= 1


def test_hsv_multiplies_hue_saturation_and_value():
    image = noise(6, 7)
    changed, _ = augmented(image, hsv={"hue": 0.1, "saturation": 0.7, "value": 0.3}, seed=5)
    factors = 1 + np.random.default_rng(5).uniform(-1, 1, 3) * (0.1, 0.7, 0.3)
    for old, new in zip(image.reshape(-1, 3), changed.reshape(-1, 3), strict=True):
        hue, saturation, value = np.array(colorsys.rgb_to_hsv(*(old / 255))) * factors
        wanted = colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1))
        assert np.abs(new - np.array(wanted) * 255).max() <= 1


def test_brightness_contrast_and_gamma_are_what_their_names_say():
    image = noise(9, 8).astype(np.float64)
    pixels = image.astype(np.uint8)
    brighter, _ = augmented(pixels, brightness={"limit": [0.1, 0.1]})
    assert np.abs(brighter - (image + 25.5).clip(0, 255)).max() <= 0.5
    mean = (image @ [0.299, 0.587, 0.114]).mean()
    for about, still in (("mean", mean), ("black", 0)):
        changed, _ = augmented(pixels, contrast={"limit": [0.2, 0.2], "about": about})
        assert np.abs(changed - (still + 1.2 * (image - still)).clip(0, 255)).max() <= 0.51
    darker, _ = augmented(pixels, gamma={"gamma": 1.5})
    assert np.abs(darker - 255 * (image / 255) ** 1.5).max() <= 0.51


def test_blur_is_a_gaussian_and_noise_has_its_deviation():
    dot = np.zeros((31, 33, 1), np.uint8)
    dot[15, 16] = 255
    blurred, _ = augmented(dot, blur={"sigma": 1.0, "probability": 1})
    away = np.hypot(*np.mgrid[-15:16, -16:17])
    wanted = 255 * np.exp(-(away**2) / 2) / (2 * np.pi)
    assert np.abs(blurred[..., 0] - wanted).max() < 1
    image = noise(40, 30)
    wanted = T.gaussian_blur(torch.from_numpy(image).movedim(-1, 0).float(), [13, 13], [2.0, 2.0])
    blurred, _ = augmented(image, blur={"sigma": 2.0, "probability": 1})
    assert np.abs(blurred - wanted.movedim(0, -1).numpy()).max() < 0.51
    grey = np.full((60, 60, 3), 128, np.uint8)
    noisy, _ = augmented(grey, noise={"std": 0.05, "probability": 1})
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.05)
    assert abs(noisy.mean() - 128) < 1


def test_grey_has_three_equal_channels():
    image = noise(9, 8)
    grey, _ = augmented(image, grey={"probability": 1})
    assert np.abs(grey - (image @ [0.299, 0.587, 0.114])[..., None]).max() <= 0.51


def naive_clahe(grey, limit, tiles):
    """Return levels equalised, from the definition: histograms of tiles, cut, blended between middles."""
    height, width = grey.shape
    down, across = min(tiles, height), min(tiles, width)
    curves = {}
    for i in range(down):
        for j in range(across):
            rows = [y for y in range(height) if y * down // height == i]
            columns = [x for x in range(width) if x * across // width == j]
            counts = np.bincount(grey[np.ix_(rows, columns)].ravel(), minlength=256)
            shares = counts / counts.sum()
            kept = np.minimum(shares, limit / 256)
            kept = kept + (shares - kept).sum() / 256
            curves[i, j] = np.cumsum(kept) * 255
    made = np.zeros(grey.shape)
    for y, x in np.ndindex(grey.shape):
        v, u = (y + 0.5) * down / height - 0.5, (x + 0.5) * across / width - 0.5
        for i, p in ((int(np.floor(v)), 1 - v % 1), (int(np.floor(v)) + 1, v % 1)):
            for j, q in ((int(np.floor(u)), 1 - u % 1), (int(np.floor(u)) + 1, u % 1)):
                curve = curves[min(max(i, 0), down - 1), min(max(j, 0), across - 1)]
                made[y, x] += p * q * curve[grey[y, x]]
    return made


@pytest.mark.parametrize("tiles", [1, 3, 50])
def test_clahe_evens_the_histograms_of_tiles_within_a_limit(tiles):
    grey = np.random.default_rng(1).normal(100, 12, (23, 31)).clip(0, 255).astype(np.uint8)
    options = {"limit": [3, 3], "tiles": tiles, "probability": 1}
    made, _ = augmented(grey[..., None], clahe=options)
    assert np.abs(made[..., 0] - naive_clahe(grey, 3, tiles)).max() <= 0.51
    if tiles == 3:
        assert made.std() > 1.5 * grey.std()


def test_clahe_changes_three_colours_by_as_much_and_other_bands_by_themselves():
    image = noise(40, 50) // 4 + 90
    options = {"limit": 4, "probability": 1}
    made = augmented(image, clahe=options)[0].astype(int) - image
    assert np.abs(made - made[..., :1]).max() <= 1
    assert np.abs(made).max() > 20
    two = noise(40, 50, 2)
    apart = [augmented(two[..., k : k + 1], clahe=options)[0] for k in (0, 1)]
    assert (augmented(two, clahe=options)[0] == np.concatenate(apart, axis=2)).all()
    flat = np.full((30, 30, 3), 77, np.uint8)
    assert np.abs(augmented(flat, clahe=options)[0].astype(int) - 77).max() <= 4


def test_cutout_hides_rectangles_and_the_mask_is_kept_or_ignored():
    image, mask = np.full((40, 60, 2), 200, np.uint8), np.ones((40, 60), np.uint8)
    options = {"holes": 1, "size": 0.25, "grey": 7, "probability": 1}
    areas = []
    for seed in range(50):
        made, kept = augmented(image, mask, seed, cutout=options)
        hidden = made[..., 0] == 7
        assert ((made == 7) | (made == 200)).all()
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert hidden[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        areas.append(hidden.sum())
        assert (kept == 1).all()
        again, ignored = augmented(image, mask, seed, cutout={**options, "target": "ignore"})
        assert (again == made).all()
        assert (ignored == np.where(hidden, IGNORE, 1)).all()
    assert max(areas) == 10 * 15
    assert min(areas) < 10 * 15
    holes = [
        (augmented(image, mask, s, cutout={**options, "holes": [2, 5], "size": 0.01})[0] == 7).sum() // 2
        for s in range(60)
    ]
    assert max(holes) == 5
    assert np.mean(holes) == pytest.approx(3.5, abs=0.6)


def test_an_inverted_image_is_its_negative_and_that_of_the_negative_the_image():
    image = noise(9, 8)
    negative, _ = augmented(image, invert={"probability": 1})
    assert (negative == 255 - image).all()
    assert (augmented(negative, invert={"probability": 1})[0] == image).all()
    floats = image.astype(np.float32) / 255
    assert np.abs(augmented(floats, invert={"probability": 1})[0] + floats - 1).max() < 1e-6


def naive_stains(image, factors, shifts):
    """Return an image whose haematoxylin, eosin and DAB are changed, pixel by pixel."""
    stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    stains = stains / np.sqrt((stains**2).sum(1))[:, None]
    made = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        density = -np.log((image[place] + 1.0) / 256)
        found = np.linalg.solve(stains.T, density)
        made[place] = 256 * np.exp(-(found * factors + shifts) @ stains) - 1
    return made.clip(0, 255)


def test_stains_are_taken_apart_changed_and_put_together_again():
    image = noise(7, 9)
    changed, _ = augmented(image, stain={"concentration": 0.3, "shift": 0.2}, seed=4)
    random = np.random.default_rng(4)
    factors, shifts = 1 + random.uniform(-0.3, 0.3, 3), random.uniform(-0.2, 0.2, 3)
    assert np.abs(changed - naive_stains(image, factors, shifts)).max() <= 0.51
    same, _ = augmented(image, stain={"concentration": 0, "shift": 0})
    assert np.abs(same.astype(int) - image).max() <= 1


def test_more_haematoxylin_makes_nuclei_darker_and_leaves_glass_white():
    image = np.full((20, 20, 3), 255, np.uint8)
    image[5:12, 5:12] = 255 * np.exp(-np.array([0.65, 0.70, 0.29]))
    for seed in range(5):
        changed, _ = augmented(image, stain={"concentration": [0.3, 0.4], "shift": 0}, seed=seed)
        assert (changed[0, 0] == 255).all()
        assert (changed[8, 8].astype(int) < image[8, 8] - 15).all()


def test_stains_leave_grey_images_alone_though_a_few_pixels_of_them_have_a_colour():
    image = np.repeat(noise(50, 60, 1), 3, axis=2)
    image[3:5, 3:9] = 200, 10, 10
    for pixels in (image, image / np.float32(255), noise(9, 8, 1), noise(9, 8, 4)):
        assert (augmented(pixels, stain={"concentration": 0.5})[0] == pixels).all()


def test_shade_is_a_smooth_factor_a_haze_and_dark_corners():
    grey = np.full((60, 80, 2), 0.5, np.float32)
    options = {"probability": 1, "gain": 0, "haze": 0, "vignette": 0}
    for seed in range(5):
        made, _ = augmented(grey, shade={**options, "gain": 0.4}, seed=seed)
        assert 0.3 <= made.min() < made.max() <= 0.7
        assert np.abs(np.diff(made, axis=0)).max() < 0.02
        assert (made[..., 0] == made[..., 1]).all()
        hazy, _ = augmented(grey * 0, shade={**options, "haze": 0.2}, seed=seed)
        assert 0 <= hazy.min() < hazy.max() <= 0.2
        dark, _ = augmented(grey, shade={**options, "vignette": 1.0}, seed=seed)
        corners = dark[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners < dark.mean()).all()
        assert dark[30, 40] == pytest.approx(0.5, abs=1e-3)
    black = np.zeros((20, 30, 1), np.uint8)
    assert (augmented(black, shade={**options, "gain": 0.9, "vignette": 0.9})[0] == 0).all()


@pytest.mark.parametrize("white", [255, 1.0])
def test_an_exposure_leaves_a_few_levels_above_an_offset(white):
    image = np.tile(np.linspace(0, white, 200), (50, 1))[..., None]
    image = image.astype(np.uint8 if white == 255 else np.float32)
    options = {"probability": 1, "levels": 10, "offset": 30, "noise": 0}
    made, _ = augmented(image, exposure=options)
    levels = np.rint(made * (255 / white))
    assert np.abs(levels - made * (255 / white)).max() < 1e-3
    assert set(np.unique(levels)) == set(range(30, 41))
    stretched, _ = augmented(image, exposure={**options, "stretch": 1})
    assert len(np.unique(stretched)) == 11
    assert np.abs(stretched.astype(float) - image).max() < 0.5 * white / 10 + 1.5 * white / 255


def test_the_noise_of_an_exposure_is_that_of_its_light():
    image = np.zeros((200, 200, 1), np.uint8)
    image[:, 100:] = 200
    made, _ = augmented(image, exposure={"probability": 1, "levels": 60, "offset": 16, "noise": 1})
    for half, light in ((made[:, :100], 16), (made[:, 100:], 76)):
        assert half.mean() == pytest.approx(light, abs=0.3)
        assert half.std() == pytest.approx(light**0.5, rel=0.05)


def test_the_noise_of_an_exposure_leaves_a_grey_image_grey_and_differs_between_colours():
    options = {"probability": 1, "levels": 60, "noise": 1}
    made, _ = augmented(np.repeat(noise(30, 40, 1), 3, axis=2), exposure=options)
    assert (made == made[..., :1]).all()
    flat = np.full((30, 40, 3), (90, 100, 110), np.uint8)
    made = augmented(flat, exposure={**options, "offset": 40})[0].astype(float)
    assert abs(np.corrcoef(made[..., 0].ravel(), made[..., 1].ravel())[0, 1]) < 0.15


def test_an_exposure_never_brightens_what_is_dim_already():
    image = np.random.default_rng(0).integers(20, 26, (40, 40, 3), np.uint8)
    made, _ = augmented(image, exposure={"probability": 1, "levels": 200, "offset": 0, "noise": 0})
    assert int(made.max()) - int(made.min()) <= 5
    flat = np.full((5, 4, 3), 90, np.uint8)
    assert (augmented(flat, exposure={"probability": 1, "offset": 12, "noise": 0})[0] == 12).all()


def test_one_of_several_steps_is_done_each_as_often():
    image = noise(3, 4)
    steps = {"flip": {"horizontal": 1}, "flip_2": {"horizontal": 0, "vertical": 1}, "probability": 0.5}
    seen = [augmented(image, one_of=steps, seed=s)[0].tobytes() for s in range(400)]
    counts = [seen.count(x.tobytes()) for x in (image, image[:, ::-1], image[::-1])]
    assert sum(counts) == 400
    assert abs(counts[0] - 200) < 40
    assert abs(counts[1] - counts[2]) < 50


def test_steps_are_done_in_their_order():
    image = noise(20, 30)
    flip, crop = {"horizontal": 1}, {"size": 8, "scale": 1}
    first, _ = augmented(image, flip=flip, resize={"size": [10, 10]}, resize_2={"size": [20, 30]})
    second, _ = augmented(image, resize={"size": [20, 30]}, flip=flip)
    assert (second == image[:, ::-1]).all()
    assert (first != second).any()
    assert augmented(image, crop=crop, resize={"size": 12})[0].shape == (12, 12, 3)
    assert augmented(image, resize={"size": 12}, crop=crop)[0].shape == (8, 8, 3)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", factories("augmentations"))
def test_floats_of_which_1_is_white_come_out_as_bytes_do(name, channels):
    image = np.random.default_rng(1).integers(90, 160, (40, 50, channels), np.uint8)
    options = {"letterbox": {"grey": 100}, "place": {"grey": 100}}.get(name, {})
    for seed in range(4):
        made, mask = augmented(image, seed=seed, **{name: options})
        floats, same = augmented(image / np.float32(255), seed=seed, **{name: options})
        assert floats.dtype == np.float32
        assert np.array_equal(mask, same)
        off = np.abs(floats * 255 - made)
        # Bytes are rounded before hue is read of them; and where they are held at 255, floats go on.
        off = off[(floats <= 1).all(axis=2)]
        assert np.quantile(off, 0.99) <= 1.6


def test_floats_may_be_below_black_and_above_white():
    image = np.random.default_rng(2).normal(0, 1, (30, 40, 3)).astype(np.float32)
    for name in factories("augmentations"):
        made, _ = augmented(image, **{name: {}})
        assert np.isfinite(made).all()
        # A blur averages, and a dim exposure sees nothing below black.
        assert made.min() < -0.5 or name in ("blur", "exposure")


def test_steps_about_colours_change_the_bands_alone_that_are_colours():
    image = noise(20, 30, 5)
    mask, random = np.zeros((20, 30), np.uint8), np.random.default_rng
    for name in ("color", "hsv", "hue_saturation_value", "brightness", "gamma", "contrast", "stain"):
        steps = make_augmentation({"one_of": {name: {}}}, ignore_index=IGNORE)
        assert steps.of_colours
        made, _ = steps(image, mask, random(1), colours=(3, 1, 0))
        assert np.array_equal(made[..., [2, 4]], image[..., [2, 4]])
        alone, _ = steps(image[..., [3, 1, 0]], mask, random(1))
        assert np.array_equal(made[..., [3, 1, 0]], alone)
        assert np.array_equal(steps(image, mask, random(1), colours=())[0], image)
    blurred = make_augmentation({"blur": {"probability": 1}}, ignore_index=IGNORE)
    assert not blurred.of_colours
    assert (blurred(image, mask, random(1), colours=())[0] != image).any(axis=(0, 1)).all()


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"crop": {"size": 20}},
        {"crop": {"size": 70, "padding": "zero"}, "flip": {}},
        {"crop": {"size": 70}, "brightness": {}},
        {"rotate": {}, "crop": {"size": 20}},
        {"one_of": {"flip": {}, "blur": {}}},
    ],
    ids=str,
)
def test_values_are_scaled_before_the_first_step_whatever_it_leaves(steps):
    image = np.random.default_rng(0).integers(100, 4000, (40, 50, 4)).astype(np.uint16)
    mask = np.zeros((40, 50), np.uint8)
    mask[:30] = IGNORE

    def scale(values):
        return ((values - 100.0) / 4000).astype(np.float32) + np.float32(0.1)

    augmentation = make_augmentation(steps, ignore_index=IGNORE)
    for seed in range(5):
        made, found = augmentation(image, mask, np.random.default_rng(seed), scale=scale)
        before, same = augmentation(scale(image), mask, np.random.default_rng(seed))
        assert np.array_equal(made, before)
        assert np.array_equal(found, same)
