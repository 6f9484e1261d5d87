"""Transforms are made of data alone, move masks by the nearest pixel, and depend on the seed alone."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from segzoo.errors import OptionError, PluginError
from segzoo.specs import AugmentationSpec, Labels
from segzoo.training import Recipe
from segzoo.training.augmentation.step import read_step
from segzoo_albumentations import segzoo_augmentations

A = pytest.importorskip("albumentations")
(SPEC,) = segzoo_augmentations()
assert isinstance(SPEC, AugmentationSpec)


def step(transforms, **options):
    return read_step("augment.albumentations", SPEC, {"transforms": transforms, **options})


def drawn(bands=3, kind=np.uint8, dtype=np.uint8):
    """Return an image that is bright where its mask is 2."""
    mask = np.full((48, 60), 1, dtype)
    mask[10:30, 20:50] = 2
    image = np.repeat(np.where(mask == 2, 220, 30)[..., None], bands, axis=2)
    return image.astype(np.uint8) if kind == np.uint8 else (image / 255).astype(np.float32), mask


@pytest.mark.parametrize(
    "transforms",
    [
        ["HorizontalFlip"],
        "VerticalFlip",
        [{"name": "Affine", "rotate": [-40, 40], "scale": [0.8, 1.2], "p": 1.0}],
        [{"name": "OneOf", "p": 1.0, "transforms": ["GridDistortion", {"name": "Rotate", "p": 1.0}]}],
        [{"name": "Perspective", "p": 1.0, "fill_mask": 7}],
    ],
)
@pytest.mark.parametrize(("bands", "kind", "dtype"), [(3, np.uint8, np.uint8), (5, np.float32, np.uint16)])
def test_the_mask_moves_with_the_image_and_holds_no_other_class(transforms, bands, kind, dtype):
    image, mask = drawn(bands, kind, dtype)
    ignore = 255 if dtype == np.uint8 else 65_535
    for seed in range(5):
        made, classes = step(transforms)(image, mask, np.random.default_rng(seed), ignore)
        assert (made.shape, made.dtype, classes.dtype) == (image.shape, image.dtype, mask.dtype)
        assert set(np.unique(classes)) <= {1, 2, ignore, 7}
        bright = made[..., 0] > (125 if kind == np.uint8 else 0.49)
        sure = (classes == 1) | (classes == 2)
        assert (bright == (classes == 2))[sure].mean() > 0.97


def test_pixels_from_outside_count_for_nothing_where_there_is_such_a_value():
    image, mask = drawn()
    turned = step([{"name": "Affine", "rotate": [45, 45], "p": 1.0}])
    assert (turned(image, mask, np.random.default_rng(0), 255)[1] == 255).any()
    assert (turned(image, mask, np.random.default_rng(0), None)[1] == 0).any()


def test_what_the_library_writes_is_taken_as_it_is():
    pipeline = A.Compose([A.HorizontalFlip(p=1.0), A.RandomBrightnessContrast(p=1.0)])
    written = json.loads(json.dumps(A.to_dict(pipeline)))
    image, mask = drawn()
    made, classes = step(written)(image, mask, np.random.default_rng(0), None)
    assert (classes == mask[:, ::-1]).all()
    assert (made != image[:, ::-1]).any()
    assert Recipe(data="x", augment={"albumentations": {"transforms": written}}).augment


def test_the_generator_alone_decides_whatever_was_transformed_before():
    image, mask = drawn()
    some = {"name": "SomeOf", "n": 2, "transforms": ["Blur", "CLAHE", "Sharpen"]}
    many = ["RandomFog", "GaussNoise", "ElasticTransform", "RandomRain", some]
    one, other = step(many), step(many)
    first = one(image, mask, np.random.default_rng(3), 255)
    other(image, mask, np.random.default_rng(9), 255)
    again = other(image, mask, np.random.default_rng(3), 255)
    assert all(map(np.array_equal, first, again))
    different = one(image, mask, np.random.default_rng(4), 255)
    assert not np.array_equal(first[0], different[0])


@pytest.mark.parametrize(
    ("transforms", "told"),
    [
        (None, "must name transforms"),
        ([], "must name transforms"),
        (["RandomFogg"], "did you mean 'RandomFog'"),
        ([{"name": "RandomFog", "alpha_koef": 1}], "RandomFog has no option 'alpha_koef'; did you mean"),
        ([{"name": "RandomFog", "alpha_coef": "much"}], "RandomFog cannot be made of"),
        (["Normalize"], "the network's preprocessing does that"),
        (["ToTensorV2"], "segzoo makes tensors itself"),
        (["Lambda"], "a recipe cannot hold functions"),
        (["os.system"], "has no transform 'system'"),
        (["BasicTransform"], "has no transform"),
        (["CenterCrop3D"], "has no transform"),
        ([{"rotate": 3}], "a table with a name"),
        ([5], "a table with a name"),
        ([{"name": "Rotate", "mask_interpolation": 1}], "mask_interpolation must be 0"),
    ],
)
def test_a_slip_is_told(transforms, told):
    with pytest.raises(OptionError, match=re.escape(told)):
        step(transforms)


def test_a_transform_that_does_not_take_an_image_is_named():
    image, mask = drawn(bands=5)
    with pytest.raises(OptionError, match="RandomFog does not take images of 5 bands of uint8"):
        step([{"name": "RandomFog", "p": 1.0}])(image, mask, np.random.default_rng(0), None)


def test_colours_alone_are_shown_to_transforms_that_move_nothing():
    assert step(["RandomFog"], only_colours=True).of_colours
    with pytest.raises(OptionError, match="HorizontalFlip does"):
        step(["HorizontalFlip"], only_colours=True)


def test_the_size_after_is_told_where_it_is_certain():
    assert step(["RandomFog", "HorizontalFlip"]).size_after((48, 60)) == (48, 60)
    assert step(["D4"]).size_after((48, 60)) is None
    assert step(["D4"]).size_after((48, 48)) == (48, 48)
    cropped = step([{"name": "RandomCrop", "height": 20, "width": 30}])
    assert cropped.size_after((48, 60)) is None
    assert cropped(*drawn(), np.random.default_rng(0), None)[1].shape == (20, 30)
    assert step([{"name": "Perspective", "keep_size": False}]).size_after((48, 60)) is None
    assert step(["RandomFog"]).size_after(None) is None


def test_overlapping_classes_move_as_one():
    from segzoo.training.augmentation.pipeline import Augmentation

    image, mask = drawn()
    planes = np.stack([mask == 2, mask == 1, mask > 0]).astype(np.uint8)
    labels = Labels(classes=("a", "b", "any"), overlapping=True)
    augment = Augmentation((step([{"name": "Affine", "rotate": [20, 20], "p": 1.0}]),), 255, 0, labels)
    _, moved = augment(image, planes, np.random.default_rng(0))
    counts = (moved != 255).all(axis=0)
    assert 0 < counts.mean() < 1
    np.testing.assert_array_equal((moved[0] | moved[1])[counts], moved[2][counts])


def test_a_transform_that_changes_the_number_of_bands_is_refused():
    with pytest.raises((OptionError, PluginError)):
        step([{"name": "ToGray", "num_output_channels": 1, "p": 1.0}])(
            *drawn(), np.random.default_rng(0), None
        )
