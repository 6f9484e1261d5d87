"""Images and crops of rare classes are seen more often, the same whoever loads them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from segzoo import cli
from segzoo.errors import OptionError
from segzoo.interfaces import Sample
from segzoo.specs import Labels, Preprocessing
from segzoo.training import Recipe
from segzoo.training.augmentation import augmentation_for, make_augmentation
from segzoo.training.data.loader import Batches, make_loader
from segzoo.training.data.sampling import repeat_factors

VOID = 255


class Rare:
    """Sixteen images of background and class 1, of which four have class 2, and one class 3."""

    labels = Labels(classes=("none", "common", "rare", "rarest", "never"), ignore_index=VOID)
    pixels = 3

    def __len__(self):
        return 16

    def __getitem__(self, index):
        mask = np.zeros((32, 40), np.uint8)
        mask[4:20, 4:20] = 1
        if index % 4 == 0:
            mask[25:28, 30:33] = 2
        if index == 8:
            mask[0, 0] = 3
        if index == 5:
            mask[-1, -1] = VOID
        return Sample(np.zeros((32, 40, 3), np.uint8), mask, f"image {index}")


def test_an_image_is_drawn_by_the_share_of_images_that_have_its_rarest_class():
    factors, told = repeat_factors(Rare())
    wanted = [4.0 if index == 8 else 2.0 if index % 4 == 0 else 1.0 for index in range(16)]
    assert factors == pytest.approx(wanted)
    assert told == "images are drawn more often for their rarest class: 'rarest' 4 times, 'rare' 2 times"


def test_images_that_have_the_same_classes_are_drawn_alike_and_that_is_told():
    class Alike(Rare):
        def __getitem__(self, index):
            return super().__getitem__(1)

    factors, told = repeat_factors(Alike())
    assert factors == [1.0] * 16
    assert "has no effect" in told


def test_masks_of_which_nothing_counts_are_drawn_once():
    class Nothing(Rare):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            sample.mask[...] = VOID
            return sample

    assert repeat_factors(Nothing())[0] == [1.0] * 16


def test_classes_that_overlap_count_each_by_itself():
    class Planes(Rare):
        labels = Labels(classes=("common", "rare"), overlapping=True)

        def __getitem__(self, index):
            mask = super().__getitem__(index).mask
            return Sample(
                np.zeros((32, 40, 3), np.uint8), np.stack([mask == 1, mask == 2]).astype(np.uint8), ""
            )

    assert repeat_factors(Planes())[0] == pytest.approx(
        [2.0 if index % 4 == 0 else 1.0 for index in range(16)]
    )


class Stained(Rare):
    """One of the images has another stain; the names of the first four begin with another letter."""

    names = tuple(f"{'a' if index < 4 else 'b'}_{index}" for index in range(16))
    tags = tuple({"stain": "dark" if index == 8 else "pale"} for index in range(16))


def test_images_are_drawn_by_the_share_of_images_of_their_tag():
    factors, told = repeat_factors(Stained(), "stain")
    pale = (16 / 15) ** 0.5
    assert factors == pytest.approx([4.0 if index == 8 else pale for index in range(16)])
    assert told == "images are drawn more often for their group: 'dark' 4 times, 'pale' 1.03 times"


def test_images_are_drawn_by_a_part_of_their_names():
    factors, _ = repeat_factors(Stained(), "^[a-z]")
    assert factors == pytest.approx([2.0] * 4 + [(16 / 12) ** 0.5] * 12)


def test_images_of_one_group_are_drawn_alike_and_that_is_told():
    assert repeat_factors(Stained(), "_") == (
        [1.0] * 16,
        "sampling has no effect: all images are in one group of '_'",
    )


def test_a_group_that_no_image_has_is_refused():
    with pytest.raises(OptionError, match="'camera' is not a tag of the dataset"):
        repeat_factors(Stained(), "camera")


def epochs(count=40, **options):
    batches = Batches(16, 4, factors=repeat_factors(Rare())[0], **options)
    for epoch in range(count):
        batches.epoch = epoch
        yield [key for batch in batches for key in batch]


def test_every_epoch_has_as_many_images_and_rare_ones_more_often():
    drawn = list(epochs())
    assert all(len(one) == 16 for one in drawn)
    counts = Counter(key[1] for one in drawn for key in one)
    each = 16 / (11 + 3 * 2 + 4)  # a factor of 1
    for index in range(16):
        expected = each * (4 if index == 8 else 2 if index % 4 == 0 else 1)
        assert counts[index] / 40 == pytest.approx(expected, abs=0.25)
        here = Counter(sum(key[1] == index for key in one) for one in drawn)
        assert set(here) <= {int(expected), int(expected) + 1}
    assert drawn[0] != drawn[1]
    assert drawn == list(epochs())


def test_an_image_that_comes_again_is_augmented_anew():
    for keys in epochs():
        assert len(set(keys)) == len(keys)
    again = next(key for keys in epochs() for key in keys if len(key) == 3)
    assert again[2] >= 1


def test_processes_share_what_one_alone_draws_and_an_epoch_goes_on_where_it_stopped():
    (whole,) = epochs(1)
    shared = [next(iter(epochs(1, rank=rank, processes=2))) for rank in range(2)]
    together = [key for first in range(0, 8, 2) for one in shared for key in one[first : first + 2]]
    assert together == whole
    batches = Batches(16, 4, factors=repeat_factors(Rare())[0])
    batches.start = 2
    assert [key for batch in batches for key in batch] == whole[8:]


@pytest.mark.medium
def test_batches_of_images_that_come_again_are_the_same_with_workers():
    found = []
    for workers in (0, 2):
        loader, _ = make_loader(
            Rare(), {"crop": {"size": 16}}, Preprocessing(), batch_size=4, workers=workers,
            factors=repeat_factors(Rare())[0],
        )  # fmt: skip
        found.append([batch.masks.tolist() for batch in loader])
    assert found[0] == found[1]


@pytest.mark.parametrize("sampling", ["rare", "by:", "by"])
def test_another_way_to_sample_is_refused(sampling):
    with pytest.raises(OptionError, match="sampling must be one of shuffled, classes, by:TAG"):
        Recipe(data="x", sampling=sampling)


# -- crops around foreground


def crops(mask, labels=Rare.labels, count=200, **options):
    augment = augmentation_for({"crop": {"size": 9, "scale": 1, **options}}, labels)
    image = np.zeros((*mask.shape[-2:], 3), np.uint8)
    for seed in range(count):
        yield augment(image, mask, np.random.default_rng(seed))[1]


def test_a_crop_is_centred_on_a_pixel_of_each_class_as_often():
    mask = np.zeros((60, 70), np.uint8)
    mask[5:50, 5:50], mask[55, 60], mask[:2] = 1, 2, VOID
    middles = Counter(int(crop[4, 4]) for crop in crops(mask, foreground=1))
    assert set(middles) == {1, 2}
    assert middles[2] == pytest.approx(100, abs=25)


def test_a_third_of_the_crops_lies_around_foreground_and_the_others_anywhere():
    mask = np.zeros((90, 90), np.uint8)
    mask[40, 40] = 3
    share = np.mean([crop[4, 4] == 3 for crop in crops(mask, foreground=0.33, count=400)])
    assert share == pytest.approx(0.33, abs=0.08)


def test_at_the_border_the_crop_stays_within_the_image():
    mask = np.zeros((30, 30), np.uint8)
    mask[0, 29] = 1
    for crop in crops(mask, foreground=1, count=5):
        assert crop[0, 8] == 1
        assert (crop == 1).sum() == 1


@pytest.mark.parametrize("value", [0, VOID])
def test_without_foreground_crops_are_those_of_any_place(value):
    mask = np.full((30, 30), value, np.uint8)
    assert len(list(crops(mask, foreground=1, count=5))) == 5


def test_another_background_is_no_foreground_and_without_one_every_class_is():
    mask = np.full((40, 40), 2, np.uint8)
    mask[20, 20] = 0
    labels = Labels(classes=("a", "b", "c"), background=2)
    assert all(crop[4, 4] == 0 for crop in crops(mask, labels, foreground=1, count=20))
    labels = Labels(classes=("a", "b", "c"), background=None)
    assert {int(crop[4, 4]) for crop in crops(mask, labels, foreground=1, count=40)} == {0, 2}


def test_a_crop_around_foreground_finds_a_plane_of_classes_that_overlap():
    mask = np.zeros((2, 50, 60), np.uint8)
    mask[1, 30, 40], mask[:, :5] = 1, VOID
    labels = Labels(classes=("a", "b"), overlapping=True)
    assert all(crop[1, 4, 4] == 1 for crop in crops(mask, labels, foreground=1, count=10))


def test_a_share_of_0_draws_the_crops_that_there_were_before():
    mask = np.random.default_rng(0).integers(0, 3, (40, 50), np.uint8)
    image = np.zeros((40, 50, 3), np.uint8)
    made = [
        make_augmentation({"crop": {"size": 20, **options}}, ignore_index=None)(
            image, mask, np.random.default_rng(5)
        )[1]
        for options in ({}, {"foreground": 0})
    ]
    np.testing.assert_array_equal(*made)


@pytest.mark.slow
def test_a_training_tells_which_images_it_sees_more_often(tmp_path, capfd):
    data = Rare()
    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for index in range(16):
        sample = data[index]
        Image.fromarray(sample.image).save(tmp_path / f"photos/images/{index}.png")
        Image.fromarray(np.where(sample.mask == VOID, 0, sample.mask)).save(
            tmp_path / f"photos/masks/{index}.png"
        )
    words = ["train", "--data", str(tmp_path / "photos"), "data.classes=5", "epochs=1", "crop=16"]
    words += ["model.width=4", "model.depth=2", "sampling=classes", "--out", str(tmp_path / "run")]
    assert cli.run(words) == 0
    assert "images are drawn more often for their rarest class" in capfd.readouterr().err
