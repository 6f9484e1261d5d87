"""Steps that make one sample of two: image, mask and objects stay together, whoever loads them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import segzoo
from segzoo import cli
from segzoo.errors import OptionError, PluginError
from segzoo.interfaces import Sample
from segzoo.specs import AugmentationSpec, Labels, Preprocessing
from segzoo.testing import check_augmentation
from segzoo.training.augmentation import Opened, augmentation_for, make_augmentation
from segzoo.training.augmentation.layers import Layers
from segzoo.training.augmentation.step import read_step
from segzoo.training.data.loader import Augmented, make_loader
from segzoo.training.loop.step import blended_loss
from segzoo.training.separation import Separation

VOID = 255
THREE = Labels(classes=("ground", "round", "square"), ignore_index=VOID)
ALWAYS = {"probability": 1.0}
HARD = ("cutmix", "copy_paste")


def shapes(index, size=(40, 52)):
    """Return a mask of two discs that touch and a square at a place of this index, and their numbers."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    discs = [(rows - 12) ** 2 + (columns - 10 - 12 * one - index) ** 2 < 36 for one in (0, 1)]
    square = (abs(rows - 30) < 6) & (abs(columns - 20 - 3 * index) < 6)
    mask = np.where(square, 2, np.where(discs[0] | discs[1], 1, 0)).astype(np.uint8)
    numbers = np.where(square, 9, np.where(discs[0], 4, np.where(discs[1], 7, 0))).astype(np.uint16)
    mask[:3] = VOID
    return mask, np.where(mask == VOID, 0, numbers)


class Shapes:
    """Images whose every pixel is a hundred times its class plus the image's index, in some bands."""

    labels = THREE

    def __init__(self, count=6, bands=3, kind=np.uint8, instances=True, sizes=((40, 52),)):
        self.count, self.bands, self.kind, self.instances, self.sizes = count, bands, kind, instances, sizes

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        mask, numbers = shapes(index, self.sizes[index % len(self.sizes)])
        grey = np.where(mask == VOID, 50, 100 * mask) + index
        image = np.repeat(grey[..., None], self.bands, axis=2).astype(self.kind)
        image = image / np.float32(255) if self.kind == np.float32 else image
        return Sample(image, mask, f"image {index}", instances=numbers if self.instances else None)


def mixed(data, steps, seed=0, index=0):
    """Return what augmentation makes of a sample and others of its data."""
    augmentation = augmentation_for(steps, data.labels)
    return augmentation.mixture(
        Opened(data[index]),
        np.random.default_rng(seed),
        lambda random: Opened(data[int(random.integers(len(data)))]),
    )


def assert_shown(made):
    """Check that every pixel shows the class that the mask has, and every object its own number."""
    classes = made.mask.astype(int)
    wanted = np.where(classes == VOID, 50, 100 * classes)
    image = made.image if made.image.dtype == np.uint8 else np.rint(made.image * 255)
    assert (abs(image - wanted[..., None] - 3) < 4).all()
    if made.instances is not None:
        assert ((made.instances > 0) == ((classes > 0) & (classes != VOID))).all()


@pytest.mark.parametrize("step", HARD)
@pytest.mark.parametrize(("bands", "kind"), [(3, np.uint8), (1, np.uint8), (5, np.float32)])
def test_what_comes_from_another_image_brings_its_classes_and_its_objects(step, bands, kind):
    data = Shapes(bands=bands, kind=kind)
    seen = set()
    for seed in range(12):
        made = mixed(data, {step: ALWAYS}, seed=seed)
        assert (made.other, made.share) == (None, 1)
        assert_shown(made.sample)
        assert made.sample.image.dtype == kind
        seen.add(made.sample.mask.tobytes())
    assert len(seen) > 6


@pytest.mark.parametrize("step", HARD)
def test_steps_before_and_after_move_both_images_and_keep_all_together(step):
    steps = {"crop": {"size": 24, "scale": 1}, "flip": {}, step: ALWAYS, "turn": {}}
    for seed in range(12):
        made = mixed(Shapes(sizes=((40, 52), (48, 60))), steps, seed=seed)
        assert made.sample.mask.shape == (24, 24)
        assert_shown(made.sample)


@pytest.mark.parametrize("step", [*HARD, "mixup"])
@pytest.mark.parametrize("sizes", [((40, 52), (90, 30)), ((40, 52), (7, 80)), ((1, 1), (40, 52))])
def test_a_second_image_of_another_size_is_seen_through_a_window(step, sizes):
    data = Shapes(sizes=sizes)
    for seed in range(8):
        made = mixed(data, {step: ALWAYS}, seed=seed)
        assert made.sample.mask.shape == made.sample.image.shape[:2] == sizes[0]
        if step != "mixup":
            assert_shown(made.sample)


def test_whole_objects_are_pasted_where_the_data_numbers_them():
    data = Shapes()
    counts = set()
    for seed in range(20):
        made = mixed(data, {"copy_paste": ALWAYS}, seed=seed)
        from_others = (made.sample.image[..., 0] % 100 != 0) & (made.sample.mask > 0)
        from_others &= made.sample.mask != VOID
        origin = set((made.sample.image[..., 0] % 100)[from_others])
        assert len(origin) <= 1
        if origin:
            other = data[origin.pop()]
            pasted = set(other.instances[from_others])
            assert (np.isin(other.instances, list(pasted)) == from_others)[3:].all()
            counts.add(len(pasted))
    assert counts == {1, 2, 3}


def test_without_numbers_connected_components_are_pasted():
    data = Shapes(instances=False)
    counts = set()
    for seed in range(20):
        made = mixed(data, {"copy_paste": ALWAYS}, seed=seed).sample
        assert made.instances is None
        assert_shown(made)
        from_others = (made.image[..., 0] % 100 != 0) & (made.mask > 0) & (made.mask != VOID)
        # Both discs touch, so that they come together or not at all.
        counts.add(len({*made.mask[from_others]}))
    assert counts == {0, 1, 2}


def test_objects_of_named_classes_alone_are_pasted():
    for named in (["square"], 2, "square", [2]):
        for seed in range(4):
            steps = {"copy_paste": {**ALWAYS, "share": 1, "classes": named}}
            made = mixed(Shapes(), steps, seed=seed).sample
            origin = made.image[..., 0] % 100
            assert {*made.mask[(origin != 0) & (made.mask != VOID)]} <= {2}


def test_objects_without_a_background_must_be_named():
    data = Shapes()
    data.labels = replace(THREE, background=None)
    with pytest.raises(OptionError, match=re.escape("copy_paste.classes must name the classes")):
        augmentation_for({"copy_paste": {}}, data.labels)
    mixed(data, {"copy_paste": {**ALWAYS, "classes": ["square"]}})
    with pytest.raises(OptionError, match="cube"):
        augmentation_for({"copy_paste": {"classes": ["cube"]}}, data.labels)


def test_classes_that_overlap_are_mixed_plane_by_plane():
    class Planes(Shapes):
        labels = Labels(classes=("round", "square", "any"), overlapping=True)

        def __getitem__(self, index):
            sample = super().__getitem__(index)
            planes = np.stack([sample.mask == 1, sample.mask == 2, sample.mask > 0]).astype(np.uint8)
            planes[:, :3] = VOID
            return replace(sample, mask=planes)

    for step in HARD:
        for seed in range(8):
            steps = {"flip": {}, step: ALWAYS, "crop": {"size": 30, "scale": 1}}
            made = mixed(Planes(), steps, seed=seed).sample
            counts = (made.mask != VOID).all(axis=0)
            np.testing.assert_array_equal((made.mask[0] | made.mask[1])[counts], made.mask[2][counts])
            again = np.where(counts, made.mask[0] + 2 * made.mask[1], VOID).astype(np.uint8)
            assert_shown(replace(made, mask=again, instances=None))


def test_mixup_blends_images_and_leaves_both_masks_to_the_loss():
    data = Shapes()
    made = mixed(data, {"mixup": {**ALWAYS, "alpha": 1}}, seed=3)
    assert 0 < made.share < 1
    first, second = data[0].image.astype(float), None
    for one in (data[index] for index in range(len(data))):
        if (one.mask == made.other.mask).all():
            second = one.image.astype(float)
    blend = made.share * first + (1 - made.share) * second
    assert abs(made.sample.image - blend).max() <= 0.51
    assert (made.sample.mask == data[0].mask).all()


def test_a_step_after_mixup_moves_the_masks_of_both_images():
    data = Shapes()
    steps = {"mixup": {**ALWAYS, "alpha": 1}, "crop": {"size": 32, "scale": 1}, "turn": {}}
    for seed in range(6):
        made = mixed(data, steps, seed=seed)
        values = [np.where(one.mask == VOID, 50, 100.0 * one.mask) for one in (made.sample, made.other)]
        blend = made.share * values[0] + (1 - made.share) * values[1]
        assert abs(made.sample.image[..., 0] - blend).max() < 7


def test_an_image_that_is_two_is_not_mixed_again():
    steps = {"mixup": {**ALWAYS, "alpha": 1}, "cutmix": ALWAYS}
    made = mixed(Shapes(), steps, seed=1)
    assert made.other is not None
    assert (made.sample.mask == Shapes()[0].mask).all()


def test_pixels_that_count_for_nothing_stay_so():
    class Nothing(Shapes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return replace(sample, mask=np.full_like(sample.mask, VOID), instances=None)

    for step in (*HARD, "mixup"):
        made = mixed(Nothing(), {step: ALWAYS, "crop": {"size": 20}})
        assert (made.sample.mask == VOID).all()


@pytest.mark.parametrize("step", [*HARD, "mixup"])
def test_a_data_set_of_one_image_is_mixed_with_itself(step):
    made = mixed(Shapes(count=1), {"crop": {"size": 24}, step: ALWAYS})
    assert made.sample.mask.shape == (24, 24)


@pytest.mark.parametrize("step", [*HARD, "mixup"])
def test_nothing_is_written_into_the_images_of_the_data_set(step):
    kept = [Shapes()[index] for index in range(3)]

    class Kept(Shapes):
        def __getitem__(self, index):
            return kept[index]

    for sample in kept:
        for one in (sample.image, sample.mask, sample.instances):
            one.flags.writeable = False
    for seed in range(4):
        made = mixed(Kept(count=3), {step: ALWAYS}, seed=seed).sample
        for sample in kept:
            assert not np.shares_memory(made.image, sample.image)
            assert not np.shares_memory(made.mask, sample.mask)


# -- batches


@pytest.mark.medium
@pytest.mark.parametrize("step", [*HARD, "mixup"])
def test_batches_are_the_same_whatever_the_number_of_workers(step):
    steps = {"crop": {"size": 24}, step: {"probability": 0.7}}
    found = []
    for workers in (0, 2):
        loader, batches = make_loader(Shapes(), steps, Preprocessing(), batch_size=2, workers=workers)
        batches.epoch = 2
        found.append(list(loader))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.images, other.images)
        assert all(map(torch.equal, one.targets, other.targets))
        assert all(map(torch.equal, one.others, other.others))


def test_a_batch_has_the_masks_of_what_was_blended_in_and_its_own_where_nothing_was():
    steps = {"crop": {"size": 24, "scale": 1}, "mixup": {"probability": 0.5, "alpha": 1}}
    loader, _ = make_loader(Shapes(count=16), steps, Preprocessing(), batch_size=16)
    (batch,) = loader
    whole = batch.shares == 1
    assert 0 < whole.sum() < 16
    (others,) = batch.others
    assert torch.equal(others[whole], batch.masks[whole])
    assert not torch.equal(others[~whole], batch.masks[~whole])
    first, last = batch.parts(2)
    assert torch.equal(torch.cat([first.others[0], last.others[0]]), others)
    assert torch.equal(torch.cat([first.shares, last.shares]), batch.shares)
    plain, _ = make_loader(Shapes(), {"crop": {"size": 24}}, Preprocessing(), batch_size=2)
    assert [(one.others, one.shares) for one in plain] == [((), None)] * 3


def test_the_loss_of_a_blend_is_that_of_both_masks_in_their_shares():
    random = torch.Generator().manual_seed(0)
    logits = [torch.randn(3, 2, 8, 8, generator=random) for _ in range(2)]
    masks, others = torch.randint(0, 2, (2, 3, 8, 8), generator=random)

    def loss(outputs, target):
        return sum(torch.nn.functional.cross_entropy(one, target) for one in outputs)

    found = blended_loss(loss, logits, [masks], [others], [1.0, 0.25, 0.0])
    each = [
        [loss([one[row, None] for one in logits], truth[row, None]) for row in range(3)]
        for truth in (masks, others)
    ]
    wanted = (each[0][0] + 0.25 * each[0][1] + 0.75 * each[1][1] + each[1][2]) / 3
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(blended_loss(loss, logits, [masks], [others], [1.0] * 3), loss(logits, masks))


# -- layers


@given(
    masks=arrays.arrays(np.uint8, (2, 5, 4), elements=st.sampled_from([0, 1, 3, VOID])),
    numbers=arrays.arrays(np.int32, (5, 4), elements=st.sampled_from([0, 1, 2, 70_000, 2**30])),
    background=st.sampled_from([0, 1, 3, None]),
    ignore=st.sampled_from([VOID, None]),
)
def test_layers_come_back_and_what_lies_outside_is_background_or_counts_for_nothing(
    masks, numbers, background, ignore
):
    samples = [
        Sample(np.zeros((5, 4, 1), np.uint8), masks[0], "", instances=numbers),
        Sample(np.zeros((5, 4, 1), np.uint8), masks[1], ""),
    ]
    layers = Layers(samples, ignore, background)
    assert layers.index.dtype == np.uint8
    again = layers.moved(layers.index)
    for one, other in zip(samples, again, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.mask.dtype == other.mask.dtype
    counts = masks[0] != (VOID if ignore is not None else -1)
    np.testing.assert_array_equal(again[0].instances, np.where(counts, numbers, 0))
    if ignore is not None:
        outside = layers.moved(np.full((5, 4), layers.ignore, layers.index.dtype))
        assert all((one.mask == VOID).all() for one in outside)
        assert not outside[0].instances.any()
    outside = layers.moved(np.full((5, 4), background or 0, layers.index.dtype))
    assert all((one.mask == (background or 0)).all() for one in outside)
    assert not outside[0].instances.any()
    kinds = layers.kinds[layers.index].astype(int)
    nothing = np.isin(masks[0], [one for one in (background, ignore) if one is not None])
    np.testing.assert_array_equal(kinds, np.where(nothing, -1, masks[0].astype(int)))


# -- recipes and plug-ins


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({"mixup": {"alpha": 0}}, "augment.mixup.alpha must be a number from 0.01"),
        ({"cutmix": {"probability": 2}}, "augment.cutmix.probability must be a number from 0 to 1"),
        ({"copy_paste": {"classes": [1.5]}}, "must list names or numbers of classes"),
        ({"one_of": {"cutmix": {}, "flip": {}}}, "cannot contain cutmix"),
    ],
)
def test_a_slip_is_told_with_its_key(steps, told):
    with pytest.raises(OptionError, match=re.escape(told)):
        make_augmentation(steps, ignore_index=VOID)


def test_the_name_with_a_hyphen_is_the_same_step():
    one, other = (make_augmentation({name: {}}, ignore_index=None) for name in ("copy_paste", "copy-paste"))
    assert one == other


@dataclass
class Halves:
    """The left half of another image."""

    share: float = 1.0

    def mixed(self, first, second, random, labels):
        assert labels.classes
        left = np.arange(first.image.shape[1]) < first.image.shape[1] // 2
        image = np.where(left[:, None], second.image, first.image)
        return replace(first, image=image, mask=np.where(left, second.mask, first.mask)), self.share


class Longer(Halves):
    """One that makes the image longer."""

    def mixed(self, first, second, random, labels):
        made, share = super().mixed(first, second, random, labels)
        return replace(made, image=np.repeat(made.image, 2, axis=0)), share


def test_a_plugin_brings_a_step_that_mixes():
    spec = AugmentationSpec(name="halves", factory=f"{__name__}:Halves", summary="half another image")
    check_augmentation(spec)
    step = read_step("augment.halves", spec, {"probability": 1})
    assert step.mixes
    made, share = step.mixed(Shapes()[0], Shapes()[2], np.random.default_rng(0), THREE)
    assert share == 1
    assert (made.mask[:, :26] == Shapes()[2].mask[:, :26]).all()


def test_a_plugins_step_that_breaks_its_promise_is_named():
    spec = AugmentationSpec(name="longer", factory=f"{__name__}:Longer", summary="too long")
    with pytest.raises(PluginError, match=r"'longer' made an image \(80, 52, 3\)"):
        read_step("augment.longer", spec, {}).mixed(Shapes()[0], Shapes()[1], np.random.default_rng(0), THREE)
    with pytest.raises(PluginError, match="share, which is not from 0 to 1"):
        check_augmentation(replace(spec, name="halves", factory=f"{__name__}:Halves"), share=1.5)


# -- whole trainings


@pytest.fixture
def photos(tmp_path):
    """Twelve photos of shapes with masks, in a folder."""
    from PIL import Image

    for part in ("images", "masks"):
        (tmp_path / "photos" / part).mkdir(parents=True)
    for index in range(12):
        sample = Shapes()[index % 6]
        Image.fromarray(sample.image + np.uint8(index)).save(tmp_path / f"photos/images/{index}.png")
        Image.fromarray(np.where(sample.mask == VOID, 0, sample.mask)).save(
            tmp_path / f"photos/masks/{index}.png"
        )
    return tmp_path


SMALL = ["model.width=4", "model.depth=2", "crop=24", "batch_size=4", "precision=no", "--no-progress"]
MIXES = ["augment.mixup.alpha=1", "augment.cutmix={}", "augment.copy_paste={}", "sampling=classes"]
MIXES += ["augment.crop.foreground=0.33"]


def train(folder, out, *words):
    data = ["--data", str(folder / "photos"), "data.classes=3", "--out", str(folder / out)]
    assert cli.run(["train", *data, *SMALL, *words]) == 0


@pytest.mark.slow
def test_a_training_that_stops_goes_on_to_the_same_weights(photos):
    train(photos, "whole", *MIXES, "epochs=3")
    values = json.loads((photos / "whole/config.json").read_text())["provenance"]["recipe"]
    recipe = {
        **{key: value for key, value in values.items() if value not in (None, "", [], {})},
        "data": str(photos / "photos"),
        "out": str(photos / "parts"),
    }
    segzoo.train(**recipe, progress=False, on_validation=lambda epoch, score: epoch == 1)
    segzoo.train(**recipe, resume=True, progress=False)
    one, other = (
        (photos / out / "checkpoints/step-00000006/tensors.safetensors").read_bytes()
        for out in ("whole", "parts")
    )
    assert one == other


@pytest.mark.slow
def test_deep_supervision_and_batches_in_parts_train_with_blends(photos):
    nested = ["--model", "nested/plain", 'model.encoder={"width":4,"depth":2}', "epochs=1", "accumulate=3"]
    nested += ['model.decoder={"deep_supervision":true}', "augment.mixup.probability=1"]
    data = ["--data", str(photos / "photos"), "data.classes=3", "--out", str(photos / "nested")]
    assert cli.run(["train", *data, "crop=24", "batch_size=4", "precision=no", "--no-progress", *nested]) == 0


def test_a_batch_of_one_image_is_mixed():
    data = Augmented(Shapes(), {"mixup": ALWAYS}, Preprocessing(), batched=False)
    assert data[(0, 1)].others


@pytest.mark.parametrize("step", ["cutmix", "copy_paste", "mixup"])
def test_a_separator_learns_the_objects_of_both_images(step):
    separation = Separation(kind="boundary")
    steps = {step: {**ALWAYS, **({"alpha": 1} if step == "mixup" else {})}}
    data = Augmented(Shapes(), steps, Preprocessing(), separation=separation)
    for index in range(4):
        one = data[(1, index)]
        made = mixed(Shapes(), steps, index=index)  # of the same kind
        assert one.separation is not None
        assert (one.separation.numpy() == VOID).tolist() == (one.masks.numpy() == VOID).tolist()
        assert len(one.others) == (2 if step == "mixup" else 0)
        assert separation.target(made.sample.instances, None).any()
