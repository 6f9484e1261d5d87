"""Training to tell touching objects apart: its targets, its loss, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from crashes import Blow, program, run_apart
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from safetensors.torch import load_file
from scipy import ndimage
from test_augmentation import ALL
from torch import nn

import segzoo
from segzoo.cli import run
from segzoo.config import config_of
from segzoo.errors import OptionError
from segzoo.interfaces import Sample
from segzoo.prediction.predictor import Predictor
from segzoo.specs import Labels, Preprocessing, Separator
from segzoo.training import Recipe
from segzoo.training.augmentation import Opened, augmentation_for
from segzoo.training.augmentation.layers import Layers
from segzoo.training.data.loader import Augmented, Batch, make_loader
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.state import Supervised
from segzoo.training.loop.step import TrainStep
from segzoo.training.loop.trainer import training_loss
from segzoo.training.network import make_network
from segzoo.training.optim.freezing import Freezing
from segzoo.training.recipe.checks import check_recipe
from segzoo.training.separation import DEEPEST, Separation, boundaries, depth_loss, depths
from segzoo.training.transfer import transfer
from segzoo.weights.folder import save

LABELS = Labels(classes=("background", "cell"), ignore_index=255)
BOUNDARY = Separation(kind="boundary")

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)
numbered = arrays.arrays(np.int32, SHAPES, elements=st.integers(0, 3))


def touching(seed=0, size=(64, 80), count=5):
    """An image ``(H, W, 3)`` of discs in a row that touch, and the number of each pixel's disc."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    objects, left = np.zeros(size, np.int32), 4.0
    middle = random.uniform(18, size[0] - 18)
    for number in range(1, count + 1):
        radius = random.uniform(7, 9)
        left += radius
        inside = (rows - middle) ** 2 + (columns - left) ** 2 <= radius**2
        objects[inside & (objects == 0)] = number
        left += radius - 1.5
        if left > size[1] - 8:
            break
    bright = np.where(objects > 0, 170, 40) - 70 * boundaries(objects, 1)
    image = (bright[..., None] + random.normal(0, 6, (*size, 3))).clip(0, 255).astype(np.uint8)
    return image, objects


class Discs:
    """Samples of touching discs, with their numbers."""

    labels = LABELS

    def __init__(self, count=4, *, numbers=True, labels=LABELS):
        self.count, self.numbers, self.labels = count, numbers, labels

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image, objects = touching(range(self.count)[index])
        mask = (objects > 0).astype(np.uint8)
        return Sample(image, mask, f"discs {index}", instances=objects if self.numbers else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose masks number their objects."""
    root = tmp_path_factory.mktemp("discs")
    for part, count in (("train", 24), ("val", 4)):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            image, objects = touching(number + 100 * (part == "val"))
            Image.fromarray(image).save(root / part / f"images/{part}{number}.png")
            Image.fromarray(objects.astype(np.uint8)).save(root / part / f"masks/{part}{number}.png")
    return root


WORDS = [
    "data.instances=true",
    "model.width=6",
    "model.depth=3",
    "batch_size=4",
    "precision=no",
    "augment.crop.size=64",
    "augment.color.probability=0",
    "lr=0.01",
]


# -- targets


@pytest.mark.medium
@given(objects=numbered, width=st.integers(1, 3), where=st.sampled_from(["touching", "rim"]))
@settings(max_examples=60, deadline=None)
def test_a_boundary_is_where_two_objects_or_an_object_and_its_end_are_within_reach(objects, width, where):
    found = boundaries(objects, width, where)
    for row, column in np.ndindex(objects.shape):
        near = objects[max(row - width, 0) : row + width + 1, max(column - width, 0) : column + width + 1]
        values = np.unique(near[near > 0] if where == "touching" else near)
        assert found[row, column] == (len(values) > 1)


@pytest.mark.medium
@given(objects=numbered)
@settings(max_examples=60, deadline=None)
def test_a_depth_is_the_distance_to_the_rim_of_the_pixel_s_own_object(objects):
    found = depths(objects)
    padded = np.pad(objects, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    rim = np.any([objects != one for one in around], axis=0) | (objects == 0)
    # Beyond the edge of an image that is one object, nothing is known of its rim.
    distance = np.ones(objects.shape) if not rim.any() else ndimage.distance_transform_edt(~rim) + 1
    for number in np.unique(objects):
        here = objects == number
        expected = np.zeros(1) if number == 0 else distance[here] / distance[here].max()
        np.testing.assert_allclose(found[here], np.broadcast_to(expected, here.sum()), atol=1e-5)


def test_a_target_counts_nothing_where_the_mask_does_not():
    _, objects = touching()
    ignored = np.zeros(objects.shape, bool)
    ignored[:10] = True
    boundary, depth = (Separation(kind=kind).target(objects, ignored) for kind in ("boundary", "distance"))
    for found, most in ((boundary, 1), (depth, DEEPEST)):
        assert found.dtype == np.uint8
        assert (found[:10] == 255).all()
        assert found[10:].max() == most
        assert (found[10:] > 0).mean() < 0.5


# -- objects move as their mask does


def test_more_objects_than_sixteen_bits_can_number_are_refused():
    objects = np.arange(300 * 300).reshape(300, 300)
    with pytest.raises(OptionError, match=r"an image has [\d,]+ objects; the maximum is 65,535"):
        Layers([Sample(objects, np.ones((300, 300), np.uint8), "", instances=objects)], 255, 0)


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("name", ALL)
def test_every_step_moves_objects_as_it_moves_the_mask(name, background):
    labels = replace(LABELS, background=background)
    image, objects = touching()
    mask = np.where(objects > 0, 1 - background, background).astype(np.uint8)
    mask[:3] = 255
    augment = augmentation_for({name: ALL[name]}, labels)
    for seed in range(3):
        alone = augment(image, mask, np.random.default_rng(seed))
        given = Opened(Sample(image, mask, "", instances=objects))
        made = augment.mixture(given, np.random.default_rng(seed)).sample
        moved, classes, numbers = made.image, made.mask, made.instances
        np.testing.assert_array_equal(moved, alone[0])
        np.testing.assert_array_equal(classes, alone[1])
        assert classes.dtype == mask.dtype
        np.testing.assert_array_equal(numbers > 0, classes == 1 - background)
        assert set(np.unique(numbers)) <= {0, *range(1, 6)}


def test_a_batch_has_the_target_of_the_objects_in_its_crops():
    augment = {"crop": {"size": 48, "scale": (0.8, 1.25)}, "turn": {}, "flip": {}}
    loader, sampler = make_loader(Discs(), augment, Preprocessing(), batch_size=2, separation=BOUNDARY)
    sampler.epoch = 1
    for batch in loader:
        assert (batch.separation.dtype, tuple(batch.separation.shape)) == (torch.uint8, (2, 48, 48))
        assert batch.separation.any()
        # The image is dark where two discs meet, and a mask says where discs are.
        inside = (batch.masks == 1) & (batch.separation == 0)
        border = (batch.masks == 1) & (batch.separation == 1)
        assert batch.images.mean(dim=1)[border].mean() < batch.images.mean(dim=1)[inside].mean() - 0.08
    assert [target.shape for target in batch.targets] == [(2, 48, 48)] * 2


def test_images_and_masks_are_the_same_with_a_separator():
    samples = [
        Augmented(Discs(), {"crop": {"size": 48}, "turn": {}}, Preprocessing(), separation=one)[(1, 2)]
        for one in (None, BOUNDARY)
    ]
    assert torch.equal(samples[0].images, samples[1].images)
    assert torch.equal(samples[0].masks, samples[1].masks)
    assert samples[0].separation is None
    assert len(samples[0].targets) == 1


# -- recipes


@pytest.mark.medium
def test_a_network_has_one_logit_more_and_says_what_it_means():
    recipe = Recipe(data="x", separator={"kind": "distance", "seed": 0.6, "smallest": 9})
    config = config_of(make_network(recipe, Discs()))
    assert config.separator == Separator(kind="distance", seed=0.6, smallest=9)
    assert (config.architecture.num_classes, config.class_logits) == (2, 1)
    assert config.labels == LABELS
    each = Recipe(data="x", separator={"kind": "boundary"}, model_options={"num_classes": "each"})
    assert config_of(make_network(each, Discs())).architecture.num_classes == 3


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (Discs(numbers=False), "the mask of 'discs 0' holds only classes.*Set data.instances=true"),
        (Discs(labels=Labels(classes=("cell",), overlapping=True)), "classes that overlap"),
    ],
)
def test_data_without_objects_are_refused(data, told):
    with pytest.raises(OptionError, match=told):
        make_network(Recipe(data="x", separator={"kind": "boundary"}), data)
    augmented = Augmented(data, {}, Preprocessing(), batched=False, separation=BOUNDARY)
    with pytest.raises(OptionError, match=told):
        augmented[(0, 0)]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"weight": 1}, "separator needs a kind"),
        ({"kind": "flow"}, "separator kind must be"),
        ({"kind": ["boundary"]}, "separator kind must be"),
        ({"kind": "boundary", "widht": 2}, "separator.widht is unknown; did you mean 'width'"),
        ({"kind": "boundary", "width": 0}, "separator.width must be"),
        ({"kind": "boundary", "width": 2.5}, "separator.width must be"),
        ({"kind": "boundary", "where": "inside"}, "separator.where must be"),
        ({"kind": "boundary", "weight": -1}, "separator.weight must be"),
        ({"kind": "boundary", "weight": "much"}, "separator.weight must be"),
        ({"kind": "boundary", "seed": 1}, "separator seed must lie between 0 and 1"),
        ({"kind": "boundary", "smallest": 0}, "separator smallest must be"),
        ({"kind": "distance", "width": 2}, 'separator.width needs separator.kind = "boundary"'),
    ],
)
def test_a_slip_in_the_table_is_named(table, told):
    with pytest.raises(OptionError, match=told):
        check_recipe(Recipe(data="x", separator=table))


# -- loss


def outputs(count=1, logits=2):
    random = torch.Generator().manual_seed(0)
    return [torch.randn(2, logits, 12, 12, generator=random, requires_grad=True) for _ in range(count)]


def targets(most=1):
    random = torch.Generator().manual_seed(1)
    masks = torch.randint(0, 2, (2, 12, 12), generator=random)
    apart = torch.randint(0, most + 1, (2, 12, 12), generator=random)
    masks[:, :2], apart[:, :2] = 255, 255
    return masks, apart


@pytest.mark.parametrize("kind", ["boundary", "distance"])
def test_the_loss_is_that_of_the_classes_and_that_of_the_last_logit(kind):
    (logits,), (masks, apart) = outputs(), targets(1 if kind == "boundary" else DEEPEST)
    separation = Separation(kind=kind, weight=0.5)
    data = Discs()
    loss = training_loss("ce-dice", {}, data, data.labels, separation=separation)([logits], masks, apart)
    classes = training_loss("ce-dice", {}, data, data.labels)([logits[:, :1]], masks)
    counted, last = apart != 255, logits[:, 1]
    truth = apart[counted] / (1 if kind == "boundary" else DEEPEST)
    expected = F.binary_cross_entropy_with_logits(last[counted], truth)
    if kind == "boundary":
        chance = last[counted].sigmoid()
        expected = expected + 1 - (2 * (chance * truth).sum() + 1) / (chance.sum() + truth.sum() + 1)
    torch.testing.assert_close(loss, classes + 0.5 * expected)
    loss.backward()
    assert (logits.grad[:, :, :2] == 0).all()
    assert (logits.grad[:, 1, 2:] != 0).any()


def test_every_output_of_a_deeply_supervised_network_learns_both():
    several, (masks, apart) = outputs(3), targets()
    data = Discs()
    loss = training_loss("ce", {}, data, data.labels, separation=BOUNDARY)
    alone = [loss([one], masks, apart) for one in several]
    torch.testing.assert_close(loss(several, masks, apart), torch.stack(alone).mean())


def test_classes_are_weighed_without_the_separator():
    (logits,), (masks, apart) = outputs(logits=3), targets()
    data = Discs()
    options = {"weights": "balanced"}
    loss = training_loss("ce", options, data, data.labels, separation=BOUNDARY)
    assert float(loss([logits], masks, apart).detach()) > 0


def test_a_depth_is_learnt_best_by_itself():
    depth = torch.arange(0, DEEPEST + 1).view(1, 1, -1)
    share = (depth / DEEPEST).clamp(1e-6, 1 - 1e-6)
    best = depth_loss(share.logit()[None], depth)
    for off in (-0.1, 0.1):
        assert depth_loss((share + off).clamp(1e-6, 1 - 1e-6).logit()[None], depth) > best
    assert depth_loss(torch.zeros(1, 1, 1, 2), torch.full((1, 1, 2), 255)) == 0


@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_in_parts_takes_the_step_of_the_whole(parts):
    random = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 8, 8, generator=random)
    masks = torch.randint(0, 2, (6, 8, 8), generator=random, dtype=torch.uint8)
    apart = torch.randint(0, 255, (6, 8, 8), generator=random, dtype=torch.uint8)
    data, steps = Discs(), []
    for accumulate in (1, parts):
        torch.manual_seed(0)
        model = Supervised(nn.Conv2d(3, 2, 1))
        accelerator = make_accelerator("cpu", "no", out="runs")
        optimizer = accelerator.prepare(torch.optim.SGD(model.parameters(), 0.1))
        loss = training_loss("ce", {}, data, data.labels, separation=Separation(kind="distance"))
        freezing = Freezing(model, 0)
        given = {"freezing": freezing, "accumulate": accumulate, "on_message": print}
        TrainStep(model, optimizer, loss, accelerator, **given).step(
            Batch(images, masks, torch.arange(6), apart)
        )
        steps.append(model.network.weight.detach())
    torch.testing.assert_close(*steps)


# -- weights to start from


def network(seed, logits, kind="", classes=("background", "cell")):
    torch.manual_seed(seed)
    model = segzoo.create("unet", num_classes=logits, width=2, depth=2)
    separator = Separator(kind=kind) if kind else None
    model.segzoo_config = replace(config_of(model), labels=Labels(classes=classes), separator=separator)
    return model


@pytest.mark.parametrize(
    ("source", "mine", "told"),
    [
        ((1, ""), (2, "boundary"), "starts from scratch; those of the classes are taken"),
        ((3, "distance"), (2, ""), "is left out; those of the classes are taken"),
        (
            (2, "distance"),
            (2, "boundary"),
            "starts from scratch, because it learned distance there and learns",
        ),
    ],
)
def test_logits_of_classes_are_taken_and_the_separator_s_is_not(source, mine, told, tmp_path):
    theirs, ours = network(1, *source), network(2, *mine)
    before = {name: one.clone() for name, one in ours.state_dict().items()}
    folder = save(theirs, tmp_path / "source")
    report = transfer(ours, str(folder))
    count = config_of(ours).class_logits
    for name in ("head.weight", "head.bias"):
        after = ours.state_dict()[name]
        assert torch.equal(after[:count], theirs.state_dict()[name][:count])
        assert torch.equal(after[count:], before[name][count:])
    assert f"the logit that separates touching objects {told}" in report.text()
    assert len(report.taken) == report.total


@pytest.mark.parametrize(("source", "mine"), [((2, ""), (2, "boundary")), ((2, "boundary"), (2, ""))])
def test_a_separator_is_not_taken_for_a_class(source, mine, tmp_path):
    theirs, ours = network(1, *source), network(2, *mine)
    before = ours.head.weight.clone()
    report = transfer(ours, str(save(theirs, tmp_path / "source")))
    assert torch.equal(ours.head.weight, before)
    assert "the last layer starts from scratch:" in report.text()
    assert set(report.missing) == {"head.weight", "head.bias"}


def test_the_same_separator_is_taken_whole(tmp_path):
    theirs, ours = network(1, 2, "boundary"), network(2, 2, "boundary")
    report = transfer(ours, str(save(theirs, tmp_path / "source")))
    assert torch.equal(ours.head.weight, theirs.head.weight)
    assert report.separator == ""


# -- trainings


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["boundary", "distance"])
def test_a_few_steps_tell_touching_discs_apart(kind, folder, tmp_path):
    words = ["train", "--data", str(folder), *WORDS, f"separator.kind={kind}", "epochs=16"]
    words += ["metrics=dice,ap", "validate_every=16", "--out", str(tmp_path / "run")]
    assert run(words) == 0
    predictor = Predictor(tmp_path / "run", backend="eager")
    assert predictor.config.separator == Separator(kind=kind)
    right = merged = 0
    for number in range(4):
        image, objects = touching(number + 100)
        found = predictor(image)
        merged += len(found.instances(split_touching=False).areas)
        right += abs(len(found.instances().areas) - objects.max()) <= 1
        assert (found.mask == (objects > 0)).mean() > 0.95
    assert merged < 12
    assert right >= 3
    (row,) = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()][-1:]
    assert row["ap_pooled"] > 0.7


@pytest.mark.slow
def test_a_training_that_is_killed_ends_with_the_same_separator(folder, tmp_path):
    words = ["train", "--data", str(folder), *WORDS, "separator.kind=boundary", "epochs=2"]
    codes = [
        run_apart(tmp_path, program, [*words, "--out", out], blow).code
        for out, blow in (("whole", None), ("killed", Blow("SIGKILL", 8)))
    ]
    assert codes == [0, -9]
    assert run_apart(tmp_path, program, ["train", "--resume", "killed"], None).code == 0
    one, other = (load_file(tmp_path / out / "model.safetensors") for out in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
