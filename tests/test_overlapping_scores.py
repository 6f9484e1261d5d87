"""Losses and metrics of classes that overlap, against the same in plain numpy, one class after the other."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from test_overlapping import CLASSES, LABELS, network

import segzoo
from segzoo import zoo
from segzoo.build import make_loss, make_metric
from segzoo.errors import OptionError
from segzoo.evaluation import score_predictions
from segzoo.evaluation.models import score_model
from segzoo.interfaces import Sample
from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.specs import Labels

SHAPE = (3, 20, 24)
OVERLAPPING = [name for name, (spec, _) in zoo.registry("losses").items() if spec.overlapping]
EXCLUSIVE = [
    "accuracy",
    "kappa",
    "mcc",
    "confusion",
    "rand",
    "info",
    "milesial-dice",
    "mmseg-miou",
    "smp-miou",
]


def example(seed=0, ignored=True):
    """Logits of two images, and their truth with pixels that do not count for some of the classes."""
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, 2, (2, *SHAPE)).astype(np.float32))
    target = random.choice(
        np.array([0, 1, 255], np.uint8), (2, *SHAPE), p=[0.6, 0.3, 0.1] if ignored else [0.6, 0.4, 0]
    )
    return logits, torch.from_numpy(target)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))


# -- losses


def naive(name, logits, target):
    """A loss, class by class."""
    chances, truth, counts = sigmoid(logits), target.numpy() == 1, target.numpy() != 255
    entropy = -np.where(truth, np.log(chances), np.log(1 - chances))
    right = np.where(truth, chances, 1 - chances)
    if name == "bce":
        return entropy[counts].mean()
    if name == "focal":
        return ((1 - right) ** 2 * entropy)[counts].mean()
    if name == "ohem":
        hard = np.sort(right[counts])
        return -np.log(hard[: max((hard < 0.7).sum(), -(-hard.size // 16))]).mean()
    ratios = []
    for k in range(SHAPE[0]):
        p, y = chances[:, k][counts[:, k]], truth[:, k][counts[:, k]].astype(float)
        common, over, under = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
        if name == "dice":
            ratios.append((2 * common + 1) / (p.sum() + y.sum() + 1))
        else:
            ratios.append((common + 1) / (common + 0.3 * over + 0.7 * under + 1))
    return 1 - np.mean(ratios)


@pytest.mark.parametrize("name", ["bce", "focal", "dice", "tversky", "ohem"])
def test_a_loss_is_that_of_each_class_by_itself(name):
    logits, target = example()
    assert float(make_loss(name, LABELS)(logits, target)) == pytest.approx(
        naive(name, logits, target), rel=1e-5
    )


def test_the_usual_loss_is_binary_cross_entropy_and_dice():
    logits, target = example()
    expected = naive("bce", logits, target) + naive("dice", logits, target)
    for name in ("ce-dice", "bce-dice"):
        assert float(make_loss(name, LABELS)(logits, target)) == pytest.approx(expected, rel=1e-5)


def test_weights_are_those_of_classes():
    logits, target = example()
    chances, truth, counts = sigmoid(logits), target.numpy() == 1, target.numpy() != 255
    entropy = -np.where(truth, np.log(chances), np.log(1 - chances))
    weights = np.broadcast_to(np.array([0.5, 1.0, 2.0])[None, :, None, None], entropy.shape)
    expected = (entropy * weights)[counts].sum() / weights[counts].sum()
    loss = make_loss("cross-entropy", LABELS, weights=[0.5, 1.0, 2.0])
    assert float(loss(logits, target)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(OptionError, match="3 classes need as many weights"):
        make_loss("cross-entropy", LABELS, weights=[1.0, 2.0])(logits, target)


@pytest.mark.parametrize("name", OVERLAPPING)
def test_losses_leave_out_what_is_ignored_and_fall_where_the_answer_is_better(name):
    logits, target = example()
    loss = make_loss(name, LABELS)
    hidden = torch.where(target == 255, 50.0, logits)
    assert float(loss(hidden, target)) == pytest.approx(float(loss(logits, target)), rel=1e-5)
    right = (target == 1).float() * 2 - 1
    sure, unsure, wrong = (float(loss(right * size, target)) for size in (20.0, 0.0, -20.0))
    assert sure < unsure < wrong
    given = logits.clone().requires_grad_()
    nothing = loss(given, torch.full_like(target, 255))
    nothing.backward()
    assert float(nothing) == pytest.approx(0, abs=1e-6)
    assert not given.grad.any()


@pytest.mark.parametrize("name", OVERLAPPING)
def test_one_class_alone_is_a_binary_mask_to_every_loss(name):
    logits, target = example(ignored=False)
    binary = make_loss(name, Labels(classes=("no", "yes")))
    alone = make_loss(name, Labels(classes=("yes",), overlapping=True))
    one, other = binary(logits[:, :1], target[:, 0]), alone(logits[:, :1], target[:, :1])
    if name != "wzmiaomiao":  # whose weights are of two classes
        assert float(one) == pytest.approx(float(other), rel=1e-6)


def test_a_loss_of_one_class_a_pixel_is_refused_by_a_sentence():
    with pytest.raises(
        OptionError, match="'lovasz-softmax' has one class a pixel, and these classes overlap"
    ):
        make_loss("lovasz-softmax", LABELS)
    with pytest.raises(OptionError, match="if classes overlap it must be 1"):
        make_loss("bce", LABELS)(example()[0], example()[1].clamp(max=2))


def test_deep_supervision_takes_planes_on_every_output():
    logits, target = example()
    loss = DeepSupervision(make_loss("bce", LABELS))
    assert float(loss([logits, logits], target)) == pytest.approx(naive("bce", logits, target), rel=1e-5)


# -- metrics


def masks(seed=0):
    random = np.random.default_rng(seed)
    prediction = random.integers(0, 2, SHAPE, np.uint8)
    target = random.choice(np.array([0, 1, 255], np.uint8), SHAPE, p=[0.5, 0.4, 0.1])
    return prediction, target


@pytest.mark.parametrize("name", ["iou", "dice", "precision", "recall", "specificity"])
def test_a_score_is_the_mean_of_those_of_each_class(name):
    metric = make_metric(name, LABELS)
    binary = [make_metric(name, Labels(classes=("no", "yes"), ignore_index=255)) for _ in range(3)]
    for seed in range(3):
        prediction, target = masks(seed)
        metric.update(prediction, target)
        for k, one in enumerate(binary):
            one.update(prediction[k], target[k])
    expected = {key: np.mean([one.compute()[key] for one in binary]) for key in ("per_image", "pooled")}
    assert metric.compute() == pytest.approx(expected)
    assert "each class by itself: a pixel may count in several" in metric.contract


@pytest.mark.parametrize(
    "name", [one for one, (spec, _) in zoo.registry("metrics").items() if spec.overlapping]
)
def test_every_metric_that_takes_planes_is_perfect_for_the_truth_itself(name):
    metric, spec = make_metric(name, LABELS), zoo.registry("metrics").get(name)
    target = np.zeros(SHAPE, np.uint8)
    target[0, 3:9, 3:9], target[1, 5:15, 5:20], target[2, :3] = 1, 1, 255
    given = {"probabilities": (target == 1).astype(np.float32)} if "probabilities" in spec.needs else {}
    metric.update((target == 1).astype(np.uint8), target, **given)
    perfect = 1 if spec.higher_is_better else 0
    known = [value for value in metric.compute().values() if not math.isnan(value)]
    assert known == pytest.approx([perfect] * len(known), abs=1e-4)


def test_a_class_that_counts_nowhere_has_no_score_and_one_in_neither_mask_has_a_perfect_one():
    metric = make_metric("dice", LABELS, per_class=True)
    target = np.zeros(SHAPE, np.uint8)
    target[0, :5], target[2] = 1, 255
    metric.update((target == 1).astype(np.uint8), target)
    found = metric.compute()
    assert found["per_image/vessel"] == found["per_image/optic disc"] == found["per_image"] == 1
    assert math.isnan(found["per_image/lesion"])


@pytest.mark.parametrize("name", EXCLUSIVE)
def test_a_metric_of_one_class_a_pixel_says_which_others_there_are(name):
    with pytest.raises(
        OptionError, match=f"'{name}' has one class a pixel, and these classes overlap: take .*iou"
    ):
        make_metric(name, LABELS)


def test_masks_that_are_none_of_planes_are_refused():
    metric = make_metric("iou", LABELS)
    prediction, target = masks()
    for wrong, told in (
        (prediction[0], "mask of 3 overlapping classes must be"),
        (prediction * 2, "1 means present and 0 absent"),
        (prediction / 2, "apply a threshold"),
    ):
        with pytest.raises(OptionError, match=told):
            metric.update(wrong, target)


# -- evaluation


class Data:
    """Four images whose truth is what a network says of them, but for one class."""

    labels = LABELS

    def __init__(self, model, wrong=True):
        self.images = [np.random.default_rng(n).integers(0, 256, (40, 48, 3), np.uint8) for n in range(4)]
        self.masks = [segzoo.predict(image, model=model).mask.copy() for image in self.images]
        for mask in self.masks:
            mask[1] = mask[1] ^ wrong
            mask[2, :4] = 255

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return Sample(self.images[range(4)[index]], self.masks[index], f"image {index}")


@pytest.mark.slow
def test_an_evaluation_tells_each_class_and_shows_the_worst(tmp_path):
    model = network()
    found = score_model(
        model, Data(model), metrics=["iou", "dice"], worst=2, save_predictions=tmp_path / "masks"
    )
    scores = {one.name: one for one in found.classes}
    assert (scores["vessel"].iou, scores["optic disc"].iou) == (1, 0)
    assert found.confusion is None
    assert json.loads(json.dumps(found.to_json()))["confusion"] is None
    assert {panel.caption for panel in found.worst[0].panels} == {"image", "truth", "prediction", "errors"}
    assert "optic disc" in found.worst[0].panels[2].alt
    segzoo.evaluation.write_report(found, tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text()
    assert "Confusion" not in page
    assert "a pixel may count" in page
    assert len(list((tmp_path / "masks").glob("image 0_*.png"))) == 3


def test_predictions_in_files_score_as_the_model_does(tmp_path):
    model = network()
    data = Data(model)
    direct = score_model(model, data, save_predictions=tmp_path / "masks", resamples=0)
    data.names = [data[n].name for n in range(4)]
    by_file = score_predictions(tmp_path / "masks", data, resamples=0)
    ious = [[one.iou for one in found.classes] for found in (by_file, direct)]
    assert ious[0] == pytest.approx(ious[1], nan_ok=True)
    (tmp_path / "stacks").mkdir()
    for n in range(4):
        np.save(tmp_path / f"stacks/image {n}_mask.npy", segzoo.predict(data.images[n], model=model).mask)
    assert score_predictions(tmp_path / "stacks", data, resamples=0).scores == by_file.scores


def test_a_model_and_data_of_two_kinds_are_told_apart():
    model = network()
    data = Data(model)
    data.labels = Labels(classes=CLASSES)
    with pytest.raises(
        OptionError, match="classes overlap in the model, but the dataset has one class per pixel"
    ):
        score_model(model, data)
