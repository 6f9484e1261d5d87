"""Class 0 is background unless the labels say otherwise: another class may be, or none."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import segzoo
from segzoo import zoo
from segzoo.build import make_loss, make_metric
from segzoo.config import Architecture, ModelConfig
from segzoo.errors import OptionError
from segzoo.evaluation.page import error_names
from segzoo.evaluation.pictures import error_map, shares
from segzoo.evaluation.results import class_contract
from segzoo.evaluation.samples import ScoredSample
from segzoo.labels import found_in_words, with_background
from segzoo.prediction.decision import choose_classes
from segzoo.prediction.outputs import OutputOptions, output_files, write_outputs
from segzoo.prediction.postprocessing import clean, find_instances
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.tiling.rows import ArrayRows
from segzoo.publishing.card import model_card
from segzoo.specs import Labels
from segzoo.training.augmentation import make_augmentation
from segzoo.training.differences import fingerprint
from segzoo.training.report.examples import Example

STREET = Labels(
    classes=("sky", "road", "car"), palette=((9, 90, 200), (90, 90, 90), (200, 0, 0)), background=None
)

BACKGROUNDS = [0, 2, None]
#: The background, and where classes 0, 1 and 2 go: the other moves are these backwards, or one after another.
MOVES = [(0, (1, 2, 0)), (0, (2, 1, 0)), (0, (0, 2, 1)), (None, (1, 2, 0)), (None, (2, 1, 0))]


def moved(labels, order):
    """The same labels with class ``i`` at index ``order[i]``."""
    places = np.argsort(order)
    background = labels.background
    return replace(
        labels,
        classes=tuple(labels.classes[place] for place in places),
        palette=tuple(labels.palette[place] for place in places),
        background=None if background is None else order[background],
    )


def segmented(labels, seed=0, size=(40, 31)):
    random = np.random.default_rng(seed)
    mask = random.integers(0, len(labels.classes), (size[0] // 5 + 1, size[1] // 5 + 1), np.uint8)
    mask = mask.repeat(5, axis=0).repeat(5, axis=1)[: size[0], : size[1]]
    return Segmentation(mask, labels, random.integers(0, 256, (*size, 3), np.uint8))


def reordered(found, order):
    return Segmentation(np.array(order, np.uint8)[found.mask], moved(found.labels, order), found.image)


def written(found, folder, name, **options):
    folder.mkdir(exist_ok=True)
    (path,) = write_outputs(found, folder / "a", [name], OutputOptions(**options))
    return path


@pytest.mark.parametrize(("background", "order"), MOVES)
@pytest.mark.parametrize("name", ["overlay", "contours", "binary", "cutout", "colour", "sheet"])
def test_pictures_are_the_same_whatever_the_indices_of_classes(tmp_path, name, background, order):
    found = segmented(replace(STREET, background=background))
    one = written(found, tmp_path / "one", name)
    other = written(reordered(found, order), tmp_path / "other", name)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("background", "order"), MOVES)
@pytest.mark.parametrize("coco", ["rle", "polygons"])
def test_objects_are_the_same_whatever_the_indices_of_classes(tmp_path, coco, background, order):
    found = segmented(replace(STREET, background=background))
    told = []
    for folder, one in (("one", found), ("other", reordered(found, order))):
        data = json.loads(written(one, tmp_path / folder, "coco", coco=coco).read_text())
        names = {category["id"]: category["name"] for category in data["categories"]}
        objects = [{**each, "category_id": names[each["category_id"]]} for each in data["annotations"]]
        shapes = json.loads(written(one, tmp_path / folder, "geojson").read_text())["features"]
        for shape in shapes:
            del shape["properties"]["index"]
        told.append((sorted(names.values()), objects, shapes))
    assert told[0] == told[1]
    assert len(told[0][0]) == len(found.labels.foreground)


@pytest.mark.parametrize("name", sorted(zoo.registry("outputs").names()))
@pytest.mark.parametrize("background", [2, None])
def test_every_output_is_written_without_a_background_and_with_the_last_class_as_such(
    tmp_path, name, background
):
    found = segmented(replace(STREET, background=background))
    chances = np.full((3, *found.mask.shape), 1 / 3, np.float32)
    written(replace(found, probabilities=chances), tmp_path, name)


def test_without_a_background_the_first_class_is_drawn_like_the_others():
    found = replace(segmented(STREET), mask=np.zeros((4, 4), np.uint8), image=np.zeros((4, 4, 3), np.uint8))
    assert np.asarray(found.overlay(1.0)).tolist() == [[[9, 90, 200]] * 4] * 4
    assert np.asarray(found.cutout())[..., 3].min() == 255
    assert find_instances(found.mask, STREET).classes.tolist() == [0]
    assert found.polygons()[0][0] == 0


def test_without_a_background_the_summary_names_every_class():
    shares = {"sky": 0.5, "road": 0.0, "car": 0.5}
    assert found_in_words(shares, STREET) == "sky 50.0%, car 50.0%"
    assert found_in_words(shares, replace(STREET, background=0)) == "car 50.0%"
    assert found_in_words({"sky": 0, "road": 0, "car": 1}, replace(STREET, background=2)) == "background only"


@pytest.mark.parametrize("background", [2, None])
def test_classes_that_are_not_wanted_become_background_or_another_class(tmp_path, background):
    found = segmented(replace(STREET, background=background))
    path = written(found, tmp_path, "mask", classes=("road",))
    with Image.open(path) as read:
        nothing = 3 if background is None else background
        assert np.array_equal(np.asarray(read), np.where(found.mask == 1, 1, nothing))
    with Image.open(written(found, tmp_path, "binary", classes=("road",))) as read:
        assert np.array_equal(np.asarray(read) > 0, found.mask == 1)
    objects = json.loads(written(found, tmp_path, "coco", classes=("road",)).read_text())
    names = {one["id"]: one["name"] for one in objects["categories"]}
    assert min(names) == 1  # COCO counts from 1
    assert {names[one["category_id"]] for one in objects["annotations"]} == {"road"}


@pytest.mark.parametrize("name", ["mask", "overlay", "cutout", "areas"])
@pytest.mark.parametrize("background", [2, None])
@pytest.mark.parametrize("classes", [(), ("road",)])
def test_by_rows_files_are_those_of_the_whole_image(tmp_path, name, background, classes):
    found = segmented(replace(STREET, background=background))
    whole = written(found, tmp_path / "whole", name, classes=classes)
    path = tmp_path / f"rows{whole.suffix}"
    given = {"options": OutputOptions(classes=classes), "image": lambda: ArrayRows(found.image)}
    with output_files({name: path}, found.labels, found.mask.shape, **given) as files:
        for top in range(0, len(found.mask), 7):
            files.write(found.mask[top : top + 7])
    if name == "areas":
        assert path.read_bytes() == whole.read_bytes()
    else:
        with Image.open(path) as one, Image.open(whole) as other:
            assert np.array_equal(np.asarray(one), np.asarray(other))


def test_a_class_for_the_rest_has_a_name_a_colour_and_a_value_of_its_own():
    labels = Labels(classes=("other", "sky"), values=(0, 2), ignore_index=255, background=None)
    rest = with_background(labels)
    assert rest.classes == ("other", "sky", "any other")
    assert rest.values == (0, 2, 1)
    assert rest.background == 2
    assert with_background(rest) is rest


MASKS = arrays(np.uint8, (9, 9), elements=st.integers(0, 2))


@given(mask=MASKS, size=st.integers(1, 9), order=st.permutations(range(3)))
def test_small_objects_and_holes_go_whatever_the_index_of_the_background(mask, size, order):
    labels = replace(STREET, background=0)
    # Two classes beside the background may touch a small object equally: then the first of them is taken.
    if order[1] > order[2]:
        order = [order[0], order[2], order[1]]
    table = np.array(order, np.uint8)
    for sizes in ({"smallest_object": size}, {"smallest_hole": size}):
        expected = table[clean(mask, labels, **sizes)]
        assert np.array_equal(clean(table[mask], moved(labels, order), **sizes), expected)


def test_without_a_background_a_small_object_becomes_what_surrounds_it_or_stays():
    mask = np.array([[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]], np.uint8)
    assert not clean(mask, STREET, smallest_object=2).any()
    assert np.array_equal(clean(mask, STREET, smallest_object=99), mask)
    with pytest.raises(OptionError, match="these classes have none"):
        clean(mask, STREET, smallest_hole=2)


def test_where_every_class_has_a_threshold_and_none_passes_the_background_is_taken():
    chances = torch.tensor([[[0.5, 0.2]], [[0.3, 0.7]], [[0.2, 0.1]]])
    every = {0: 0.6, 1: 0.6, 2: 0.6}
    assert choose_classes(chances, every).tolist() == [[0, 1]]
    assert choose_classes(chances, every, background=2).tolist() == [[2, 1]]
    assert choose_classes(chances, every, background=None).tolist() == [[0, 1]]
    assert choose_classes(chances.flip(0), every, background=None).tolist() == [[2, 1]]


# Scores and losses.

#: Metrics of programs that take class 0 for background, whatever it is.
_FIXED = {"milesial-dice", "wzmiaomiao-dice"}
#: Metrics of the first class that is not background.
_FIRST = {"rand", "info"}


def scored(name, labels, masks, chances, objects):
    metric = make_metric(name, labels)
    for (prediction, target), true in zip(masks, objects, strict=True):
        metric.update(prediction, target, probabilities=chances, instances=(None, true))
    return metric.compute()


@pytest.mark.parametrize(("background", "order"), MOVES)
@pytest.mark.parametrize("name", sorted(set(zoo.metrics.names()) - _FIXED - _FIRST))
def test_every_metric_is_the_same_whatever_the_indices_of_classes(name, background, order):
    labels, random, table = replace(STREET, background=background), np.random.default_rng(3), np.array(order)
    masks = [(segmented(labels, seed).mask, segmented(labels, seed + 9).mask) for seed in (1, 2)]
    blocks = random.integers(1, 4, (6, 5)).repeat(7, axis=0).repeat(7, axis=1)[:40, :31]
    # An object that two classes share evenly would be the first one's: here each is of one class.
    objects = [blocks + 4 * target for _, target in masks]
    chances = random.random((3, *masks[0][0].shape), np.float32)
    expected = scored(name, labels, masks, chances, objects)
    others = [tuple(table.astype(np.uint8)[mask] for mask in pair) for pair in masks]
    found = scored(name, moved(labels, order), others, chances[np.argsort(order)], objects)
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-12)


@pytest.mark.parametrize("name", sorted(_FIRST))
def test_segments_are_those_of_the_class_that_is_not_background(name):
    labels = Labels(classes=("membrane", "cell"))
    one, other = (segmented(labels, seed).mask for seed in (1, 2))
    expected = scored(name, labels, [(one, other)], None, [None])
    flipped = Labels(classes=("cell", "membrane"), background=1)
    assert scored(name, flipped, [(1 - one, 1 - other)], None, [None]) == expected


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_mean_over_classes_leaves_out_the_background_and_no_other(background):
    labels = replace(STREET, background=background)
    found, truth = segmented(labels, 1).mask, segmented(labels, 2).mask
    every = make_metric("dice", labels, background=True, per_class=True)
    every.update(found, truth)
    values = every.compute()
    wanted = np.mean([values[f"pooled/{labels.classes[index]}"] for index in labels.foreground])
    metric = make_metric("dice", labels)
    metric.update(found, truth)
    assert metric.compute()["pooled"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("background", "told"),
    [
        (0, "road, car (sky left out)"),
        (2, "sky, road (car left out)"),
        (None, "sky, road, car (no background)"),
    ],
)
def test_a_contract_says_what_becomes_of_the_background(background, told):
    assert f"classes: {told}" in make_metric("dice", replace(STREET, background=background)).contract


@pytest.mark.parametrize("name", sorted(_FIXED))
def test_programs_that_take_class_0_for_background_leave_it_out_whatever_it_is(name):
    one, other = (make_metric(name, replace(STREET, background=index)) for index in (0, None))
    assert one.contract == other.contract


def loss_of(name, labels, logits, target):
    return float(make_loss(name, labels)(torch.tensor(logits), torch.tensor(target.astype(np.int64))))


@pytest.mark.parametrize(("background", "order"), MOVES)
@pytest.mark.parametrize("name", sorted(zoo.losses.names()))
def test_every_loss_is_the_same_whatever_the_indices_of_classes(name, background, order):
    labels, random = replace(STREET, background=background), np.random.default_rng(3)
    logits, target = random.normal(size=(2, 3, 8, 9)), random.integers(0, 3, (2, 8, 9))
    found = loss_of(name, moved(labels, order), logits[:, np.argsort(order)], np.array(order)[target])
    assert found == pytest.approx(loss_of(name, labels, logits, target), rel=1e-9)


@pytest.mark.parametrize("name", sorted(set(zoo.losses.names()) - {"wzmiaomiao"}))  # weighs class 1 twice
def test_one_logit_is_for_the_class_that_is_not_background_or_for_both(name):
    random = np.random.default_rng(3)
    logits, target = random.normal(size=(2, 1, 8, 9)), random.integers(0, 2, (2, 8, 9))
    given = {"classes": ("a", "b")}
    expected = loss_of(name, Labels(**given), logits, target)
    flipped = loss_of(name, Labels(**given, background=1), -logits, 1 - target)
    assert flipped == pytest.approx(expected)
    both = [
        loss_of(name, Labels(**given, background=None), *side)
        for side in ((logits, target), (-logits, 1 - target))
    ]
    assert both[0] == pytest.approx(both[1])


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_dice_averages_over_every_class_but_background(background):
    random = np.random.default_rng(3)
    logits, target = random.normal(size=(2, 3, 8, 9)), random.integers(0, 3, (2, 8, 9))
    powers = np.exp(logits)
    chances, truth = powers / powers.sum(1, keepdims=True), np.eye(3)[target].transpose(0, 3, 1, 2)
    common, sizes = (2 * chances * truth).sum((0, 2, 3)), (chances + truth).sum((0, 2, 3))
    labels = replace(STREET, background=background)
    wanted = 1 - ((common + 1) / (sizes + 1))[list(labels.foreground)].mean()
    assert loss_of("dice", labels, logits, target) == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["dice", "ce-dice", "tversky", "lovasz-hinge", "lovasz-softmax"])
def test_a_loss_refuses_a_background_that_is_no_class(name):
    with pytest.raises(OptionError, match="background_index must be an integer"):
        make_loss(name, background_index=-1)
    with pytest.raises(OptionError, match="3 classes have the indices 0 to 2"):
        make_loss(name, background_index=3)(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2))


# Reports.


@pytest.mark.parametrize(
    ("background", "expected", "kinds"),
    [
        (
            0,
            [1, 2, 3, 0],
            ["false negative: predicted as sky", "false positive: sky in the ground truth", "wrong class"],
        ),
        (
            2,
            [3, 3, 1, 0],
            ["false negative: predicted as car", "false positive: car in the ground truth", "wrong class"],
        ),
        (None, [3, 3, 3, 0], ["wrong class"]),
    ],
)
def test_errors_are_missed_invented_or_of_another_class(background, expected, kinds):
    labels = replace(STREET, background=background)
    target, found = np.array([[1, 0, 1, 0]], np.uint8), np.array([[0, 1, 2, 0]], np.uint8)
    assert error_map(target, found, np.ones((1, 4), bool), labels).tolist() == [expected]
    assert [text for text, _ in error_names(labels)] == [*kinds, "not counted"]


def test_reports_tell_how_much_of_every_class_but_background_there_is():
    mask = np.array([0, 0, 1, 2], np.uint8)
    assert shares(mask, STREET) == "sky 50.0%, road 25.0%, car 25.0%"
    assert shares(mask, replace(STREET, background=2)) == "sky 50.0%, road 25.0%"


@pytest.mark.parametrize(("background", "expected"), [(0, 0.4), (2, 0.9), (None, 0.6)])
def test_an_example_of_a_training_is_scored_without_the_background(background, expected):
    case = ScoredSample("a", np.array([[0, 1, 1, 2]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8))
    example = Example.of(case, replace(STREET, background=background))
    assert example.score == pytest.approx(expected)


# Training.


@pytest.mark.parametrize("step", ["letterbox", "place"])
@pytest.mark.parametrize(("background", "outside"), [(0, 0), (2, 2), (None, 255)])
def test_what_an_image_leaves_free_is_background_or_counts_for_nothing(step, background, outside):
    steps = {step: {"size": [16, 16]} | ({"scale": 0.5} if step == "place" else {})}
    augment = make_augmentation(steps, ignore_index=255, background=background)
    image, mask = np.zeros((4, 16, 3), np.uint8), np.ones((4, 16), np.uint8)
    assert set(np.unique(augment(image, mask, np.random.default_rng(0))[1])) == {1, outside}


def test_bars_need_a_background_or_something_that_counts_for_nothing():
    with pytest.raises(OptionError, match=r"augment.letterbox.outside = 'background'.*ignore_index"):
        make_augmentation({"letterbox": {}}, ignore_index=None, background=None)
    make_augmentation({"crop": {}}, ignore_index=None, background=None)


def test_a_run_is_not_resumed_with_another_background():
    class Data:
        names = ("a",)

        def __init__(self, labels):
            self.labels = labels

        def __len__(self):
            return 1

    assert "background" not in fingerprint(Data(replace(STREET, background=0)))
    assert fingerprint(Data(STREET))["background"] is None


# What people read of it.


def test_made_up_colours_leave_black_to_the_background():
    names = ("a", "b", "c")
    usual = Labels(classes=names).colours
    assert usual[0] == (0, 0, 0)
    assert Labels(classes=names, background=2).colours == (*usual[1:], (0, 0, 0))
    assert (0, 0, 0) not in Labels(classes=names, background=None).colours


@pytest.mark.parametrize(
    ("background", "told"), [(0, ""), (2, "Background: car."), (None, "Background: none.")]
)
def test_a_model_card_says_which_class_is_background_unless_it_is_the_first(background, told):
    config = ModelConfig(
        architecture=Architecture(name="segzoo:unet", num_classes=3),
        labels=replace(STREET, background=background),
    )
    card = model_card(config)
    assert told in card
    assert ("Background:" in card) == bool(told)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("thresholds", [{}, {0: 0.4, 1: 0.35, 2: 0.4}])
def test_a_network_s_mask_is_the_same_whatever_the_indices_of_classes(background, thresholds):
    torch.manual_seed(0)
    order, labels = (1, 2, 0), replace(STREET, background=background)
    model = segzoo.create("unet", num_classes=3, width=8, depth=2).eval()
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    with torch.no_grad():
        model.head.weight.normal_(std=99)
        pixels = torch.tensor(image / 255).float().permute(2, 0, 1)[None]
        model.head.bias -= model(pixels).mean((0, 2, 3))
    other = copy.deepcopy(model)
    with torch.no_grad():
        for part in ("weight", "bias"):
            getattr(other.head, part).copy_(getattr(model.head, part)[np.argsort(order)])
    model.segzoo_config = replace(model.segzoo_config, labels=labels)
    other.segzoo_config = replace(other.segzoo_config, labels=moved(labels, order))
    found = segzoo.Predictor(model, thresholds=thresholds)(image)
    given = {order[index]: value for index, value in thresholds.items()}
    moved_mask = segzoo.Predictor(other, thresholds=given)(image).mask
    assert len(np.unique(found.mask)) > 1
    assert np.array_equal(moved_mask, np.array(order)[found.mask])


def test_the_contract_of_class_scores_names_the_background_where_there_is_one():
    assert "background a class like the others" in class_contract(Labels(classes=("sky", "road")))
    assert "background" not in class_contract(Labels(classes=("sky", "road"), background=None))
