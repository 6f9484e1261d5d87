"""Steps keep image and mask together, and depend on nothing but their generator and options."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import max_pool2d
from torch.utils.data import DataLoader, Dataset

from segzoo.errors import OptionError
from segzoo.training.augmentation import make_augmentation
from segzoo.training.parts import factories
from segzoo.training.recipe.schema import AUGMENT

IGNORE = 255
#: Options under which each step moves pixels as far as its tests' images of some 60 pixels bear.
MOVING = {
    "crop": {"size": [48, 40], "scale": [0.5, 2], "aspect": [0.7, 1.4]},
    "crop_2": {"size": 90, "scale": 1, "padding": "zero"},
    "resize": {"size": [75, 44]},
    "resize_short": {"size": [40, 80]},
    "letterbox": {"size": 70},
    "place": {"size": [64, 72]},
    "flip": {"horizontal": 0.5, "vertical": 0.5},
    "turn": {},
    "rotate": {"degrees": 180},
    "rotate_2": {"degrees": 60, "fill": "ignore"},
    "affine": {"degrees": 180, "scale": [0.6, 1.6], "shear": 25, "translate": 0.1},
    "affine_2": {"fill": "ignore"},
    "perspective": {"distortion": 0.2},
    "perspective_2": {"fill": "ignore"},
    "elastic": {"sigma": 4},
    "elastic_2": {"sigma": 4, "fill": "ignore"},
    "elastic_smooth": {"alpha": 20},
}
#: Steps that need a second image are tested apart.
RECOLOURING = sorted(
    {name for name, step in factories("augmentations").items() if not step.mixes}
    - {name.removesuffix("_2") for name in MOVING}
)
#: Every step by a name, small enough for images of a few pixels.
ALL = {**MOVING, **{name: {} for name in RECOLOURING}, "cutout_2": {"target": "ignore"}}


def drawn(height=61, width=70, channels=3, seed=0):
    """Return an image that is bright exactly where its mask is 1: a disc and a bar."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    row, column = random.uniform(0.3, 0.7, 2) * (height, width)
    mask = (y - row) ** 2 + (x - column) ** 2 < (0.25 * min(height, width)) ** 2
    mask |= abs(x - 0.15 * width) < 0.06 * width
    image = np.where(mask, 220, 20).astype(np.uint8)
    return np.repeat(image[..., None], channels, axis=2), mask.astype(np.uint8)


def assert_together(image, mask, border=2):
    """Check that the image is bright where the mask is 1, but for pixels near an edge of it."""
    classes = torch.from_numpy(mask)[None].float()
    around = 2 * border + 1
    inside = max_pool2d(classes, around, 1, border) == -max_pool2d(-classes, around, 1, border)
    sure = inside[0].numpy() & (mask != IGNORE)
    # An edge of the shape may lie just outside the frame.
    sure[:border] = sure[-border:] = sure[:, :border] = sure[:, -border:] = False
    bright = image[..., 0] > 170
    assert (bright == (mask == 1))[sure].all()
    assert sure.mean() > 0.2


@pytest.mark.parametrize("name", MOVING)
def test_the_mask_still_fits_the_shape_wherever_a_step_moves_it(name):
    augmentation = make_augmentation({name: MOVING[name]}, ignore_index=IGNORE)
    image, mask = drawn()
    seen = set()
    for seed in range(8):
        moved, classes = augmentation(image, mask, np.random.default_rng(seed))
        assert moved.shape[:2] == classes.shape == (augmentation.size or classes.shape)
        assert_together(moved, classes)
        assert set(np.unique(classes)) <= {0, 1, IGNORE}
        seen.add(classes.tobytes())
    if name not in ("resize", "letterbox"):
        assert len(seen) > 2


@pytest.mark.parametrize("name", RECOLOURING)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_step_of_colour_moves_nothing_and_changes_the_image(name, channels):
    augmentation = make_augmentation({name: {"probability": 1}}, ignore_index=None)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (30, 35, channels), np.uint8)
    mask = random.integers(0, 3, (30, 35), np.uint8)
    changed = [augmentation(image, mask, random) for _ in range(5)]
    assert all(pixels.shape == image.shape for pixels, _ in changed)
    assert all((classes == mask).all() for _, classes in changed)
    # Grey and stains need the three channels of a colour.
    assert any((pixels != image).any() for pixels, _ in changed) == (
        name not in ("grey", "stain") or channels == 3
    )


@pytest.mark.slow
@given(
    names=st.lists(st.sampled_from(sorted(ALL)), min_size=1, max_size=4, unique=True),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 4, 6])),
    seed=st.integers(0, 1000),
)
def test_any_steps_on_any_image_give_a_mask_of_the_images_size_and_leave_theirs_alone(names, shape, seed):
    augmentation = make_augmentation({name: ALL[name] for name in names}, ignore_index=IGNORE)
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, shape, np.uint8)
    mask = random.choice(np.array([1, 2, IGNORE], np.uint8), shape[:2])
    image.flags.writeable = mask.flags.writeable = False
    changed, classes = augmentation(image, mask, np.random.default_rng(seed))
    assert changed.dtype == classes.dtype == np.uint8
    assert changed.shape == (*classes.shape, shape[2])
    assert augmentation.size in (None, classes.shape)
    assert set(np.unique(classes)) <= {0, 1, 2, IGNORE}
    for ours, theirs in ((changed, image), (classes, mask)):
        assert ours.flags.c_contiguous
        assert ours.flags.writeable
        assert not np.shares_memory(ours, theirs)


def test_a_sample_comes_out_the_same_whatever_other_generators_and_samples_do():
    augmentation = make_augmentation(ALL, ignore_index=IGNORE)
    image, mask = drawn()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, classes = augmentation(image, mask, np.random.default_rng(7))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    augmentation(image[:30], mask[:30], np.random.default_rng(3))
    again, same = augmentation(image, mask, np.random.default_rng(7))
    assert (first == again).all()
    assert (classes == same).all()
    other, _ = augmentation(image, mask, np.random.default_rng(8))
    assert other.shape != first.shape or (other != first).any()


class Drawn(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        steps = {**AUGMENT, "elastic": {}, "noise": {}, "crop": {"size": 32}}
        augmentation = make_augmentation(steps, ignore_index=IGNORE)
        image, mask = augmentation(*drawn(seed=index), np.random.default_rng([0, 1, index]))
        return torch.from_numpy(image), torch.from_numpy(mask)


@pytest.mark.slow
def test_worker_processes_make_the_same_samples_as_one():
    here, there = (list(DataLoader(Drawn(), batch_size=2, num_workers=count)) for count in (0, 2))
    for (image, mask), (other, classes) in zip(here, there, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(mask, classes)


def test_the_default_steps_make_squares_of_one_size():
    augmentation = make_augmentation(AUGMENT, ignore_index=None)
    assert augmentation.size == (256, 256)
    for seed, (height, width) in enumerate([(31, 70), (300, 280), (640, 90)]):
        image, mask = augmentation(*drawn(height, width), np.random.default_rng(seed))
        assert image.shape == (256, 256, 3)
        assert mask.shape == (256, 256)
        recipe = {**AUGMENT, "color": {"strength": 0}}
        image, mask = make_augmentation(recipe, ignore_index=None)(
            *drawn(height, width), np.random.default_rng(seed)
        )
        assert_together(image, mask)


def test_no_steps_leave_a_sample_as_it_is():
    augmentation = make_augmentation({}, ignore_index=None)
    image, mask = drawn()
    same, classes = augmentation(image, mask, np.random.default_rng(0))
    assert augmentation.size is None
    assert (same == image).all()
    assert (classes == mask).all()


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ({"crop": {"size": 64}, "turn": {}}, (64, 64)),
        ({"crop": {"size": [64, 32]}, "flip": {}, "color": {}}, (64, 32)),
        ({"crop": {"size": [64, 32]}, "turn": {}}, None),
        ({"crop": {"size": [64, 32]}, "turn": {"angles": [0, 180]}}, (64, 32)),
        ({"crop": {"size": [64, 32]}, "turn": {"angles": 90}}, (32, 64)),
        ({"crop": {"size": [64, 32]}, "turn": {"angles": 90, "probability": 0.5}}, None),
        ({"resize_short": {}, "crop": {"size": 480}}, (480, 480)),
        ({"crop": {"size": 480}, "resize_short": {}}, None),
        ({"one_of": {"resize": {"size": 32}, "letterbox": {"size": 32}}}, (32, 32)),
        ({"one_of": {"resize": {"size": 32}, "letterbox": {"size": 64}}}, None),
        ({"one_of": {"resize": {"size": 32}, "probability": 0.5}}, None),
    ],
)
def test_the_size_is_known_where_it_is_always_the_same(steps, size):
    assert make_augmentation(steps, ignore_index=IGNORE).size == size


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({"elastic": {"sigmaa": 1}}, "augment.elastic.sigmaa is not an option; did you mean 'sigma'"),
        ({"flop": {}}, "augment.flop is not a step: no augmentation is named 'flop'; did you mean 'flip'"),
        ({"flip": False}, "augment.flip must be a table"),
        ({"flip": {"horizontal": 2}}, "augment.flip.horizontal must be a number from 0 to 1, got 2"),
        ({"flip": {"horizontal": True}}, "augment.flip.horizontal must be a number"),
        ({"flip": {"horizontal": "often"}}, "augment.flip.horizontal must be a number"),
        ({"rotate": {"degrees": float("nan")}}, "augment.rotate.degrees must be a number"),
        ({"rotate": {"degrees": [30, 10]}}, "augment.rotate.degrees must be .* smaller first"),
        ({"rotate": {"degrees": 1000}}, "augment.rotate.degrees must be a number from 0 to 360"),
        ({"crop": {"size": 0}}, "augment.crop.size must be a side"),
        ({"crop": {"size": [1, 2, 3]}}, "augment.crop.size must be a side"),
        ({"crop": {"size": 2.5}}, "augment.crop.size must be a side"),
        ({"crop": {"scale": [0, 1]}}, "augment.crop.scale must be a number from 0.01"),
        ({"crop": {"scale": "1, 2"}}, "augment.crop.scale must be a number"),
        ({"crop": {"padding": "mirrored"}}, "augment.crop.padding must be .*; did you mean 'mirror'"),
        ({"turn": {"angles": [45]}}, "augment.turn.angles must be a list of 0, 90"),
        ({"resize_short": {"size": [5, 2]}}, "augment.resize_short.size must be"),
        ({"elastic": {"points": 1}}, "augment.elastic.points must be an integer of at least 2"),
        ({"letterbox": {"grey": 256}}, "augment.letterbox.grey must be a grey level"),
        ({"stain": {"shift": 2}}, "augment.stain.shift must be a number from 0 to 1, got 2"),
        ({"shade": {"points": 1}}, "augment.shade.points must be an integer of at least 2"),
        ({"exposure": {"levels": 0}}, "augment.exposure.levels must be a number from 1 to 255, got 0"),
        ({"exposure": {"offset": [40, 4]}}, "augment.exposure.offset must be .* smaller first"),
        ({"affine": {"shear": 89}}, "augment.affine.shear must be a number from 0 to 60, got 89"),
        ({"perspective": {"distortion": 0.25}}, "augment.perspective.distortion must be .* 0 to 0.24"),
        ({"clahe": {"limit": 0.5}}, "augment.clahe.limit must be a number from 1 to 256, got 0.5"),
        ({"clahe": {"tiles": 0}}, "augment.clahe.tiles must be an integer of at least 1"),
        ({"cutout": {"holes": [4, 1]}}, "augment.cutout.holes must be .* smaller first"),
        ({"cutout": {"target": "ignored"}}, "augment.cutout.target must be .*; did you mean 'ignore'"),
        ({"one_of": {}}, "augment.one_of must name the steps"),
        (
            {"one_of": {"blur": {"sigmas": 1}}},
            "augment.one_of.blur.sigmas is not an option; did you mean 'sigma'",
        ),
        (
            {"one_of": {"blurr": {}}},
            "augment.one_of.blurr is not a step: no augmentation is named 'blurr'; did you mean 'blur'",
        ),
        ({"one_of": {"probability": 3, "blur": {}}}, "augment.one_of.probability must be a number"),
        (["flip"], "augment must be a table"),
    ],
)
def test_a_mistake_is_told_with_its_key(steps, told):
    with pytest.raises(OptionError, match=told):
        make_augmentation(steps, ignore_index=IGNORE)


@pytest.mark.parametrize(
    ("steps", "key"),
    [
        ({"rotate": {"fill": "ignore"}}, "augment.rotate.fill"),
        ({"perspective": {"fill": "ignore"}}, "augment.perspective.fill"),
        ({"cutout": {"target": "ignore"}}, "augment.cutout.target"),
        ({"crop": {"padding": "zero"}}, "augment.crop.outside"),
        ({"one_of": {"letterbox": {"outside": "ignore"}}}, "augment.one_of.letterbox.outside"),
    ],
)
def test_ignoring_what_comes_from_outside_needs_a_value_for_it(steps, key):
    make_augmentation(steps, ignore_index=IGNORE)
    with pytest.raises(OptionError, match=f"{key} = 'ignore' needs .* ignore_index"):
        make_augmentation(steps, ignore_index=None)
