"""Rules that every metric keeps, and the scores of classes against naive versions and torchmetrics."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional import classification as reference

from segzoo import zoo
from segzoo.build import make_metric
from segzoo.errors import MissingExtraError, OptionError, UsageError
from segzoo.metrics.confusion import confusion_matrix
from segzoo.metrics.contract import RULES
from segzoo.metrics.rates import kappa, mcc
from segzoo.specs import Labels, MetricSpec, numbered_labels

BINARY = Labels(classes=("background", "cell"))
ALL = sorted(zoo.metrics.names())
seeds = st.integers(0, 10**6)


def blobs(seed, classes=3, size=(12, 14)):
    """Return a mask of rectangles, and another that resembles it."""
    random = np.random.default_rng(seed)
    truth = np.zeros(size, np.uint8)
    for _ in range(4):
        top, left = random.integers(0, size[0] - 3), random.integers(0, size[1] - 3)
        truth[top : top + random.integers(1, 7), left : left + random.integers(1, 7)] = random.integers(
            classes
        )
    guess = np.roll(truth, random.integers(-1, 2, 2), (0, 1))
    return np.where(random.random(size) < 0.05, 1, guess).astype(np.uint8), truth


def supplies(prediction, classes=3, seed=0):
    """Return what a metric may need besides masks: probabilities whose largest is the prediction's."""
    noise = np.random.default_rng(seed).random((classes, *prediction.shape))
    chances = noise + 2 * np.moveaxis(np.eye(classes)[prediction], -1, 0)
    return {"probabilities": (chances / chances.sum(0)).astype(np.float32), "instances": (None, None)}


def scored(name, pairs, labels=BINARY, **options):
    metric = make_metric(name, labels, **options)
    for prediction, target in pairs:
        metric.update(np.array(prediction, np.uint8), np.array(target, np.uint8))
    return metric.compute()


# Rules that segzoo's metrics keep besides those of test_contracts.py.


@pytest.mark.parametrize("name", ALL)
def test_every_metric_states_the_seven_rules_of_its_contract(name):
    contract = make_metric(name, Labels(classes=("sky", "tree", "road"), ignore_index=255)).contract
    measure, *rules = contract.split("; ")
    assert measure
    for rule in RULES:
        assert sum(part.startswith(f"{rule}: ") for part in rules) == 1, rule
    assert "255" in contract
    assert "tree" in contract


@pytest.mark.parametrize("name", ALL)
def test_every_metric_leaves_out_what_is_ignored_or_outside_the_field_of_view(name):
    labels = Labels(classes=("a", "b", "c"), ignore_index=255)
    prediction, target = blobs(3)
    prediction[:, 6], target[:, 6] = 0, 0
    given = supplies(prediction)
    bare, ignoring, viewing = (make_metric(name, labels) for _ in range(3))
    cut = np.s_[:, :6]
    shown = given | {"probabilities": given["probabilities"][:, :, :6]}
    bare.update(prediction[cut], target[cut], **shown)
    outside = np.zeros(target.shape, bool)
    outside[cut] = True
    viewing.update(prediction, target, **given, valid=outside)
    ignoring.update(prediction, np.where(outside, target, 255).astype(np.uint8), **given)
    assert ignoring.compute() == pytest.approx(viewing.compute(), nan_ok=True)
    # Only the width of a rim and the distance of a lost class depend on the image's size.
    if name not in ("boundary-iou", "hd95", "asd"):
        assert ignoring.compute() == pytest.approx(bare.compute(), nan_ok=True)


@pytest.mark.parametrize("name", ALL)
def test_every_metric_refuses_to_merge_with_other_rules(name):
    one, other = make_metric(name, BINARY), make_metric(name, Labels(classes=("background", "vein")))
    with pytest.raises(OptionError, match=r"cell.*vein"):
        one.merge(other)


def test_a_metric_cannot_need_what_nobody_supplies():
    with pytest.raises(UsageError, match="weather"):
        MetricSpec(name="m", factory="a:b", needs=("weather",))


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(MissingExtraError, match=r"SciPy.*segmentation-zoo\[metrics\]"):
        make_metric("hd95", BINARY)


@pytest.mark.medium
def test_scoring_masks_needs_no_torch():
    code = (
        "import sys, numpy; from segzoo.build import make_metric; from segzoo.specs import numbered_labels; "
        "mask = numpy.eye(3, dtype=numpy.uint8); metric = make_metric('dice', numbered_labels(2)); "
        "metric.update(mask, mask); print(metric.compute()['pooled'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "False"]


# Input that cannot be scored.


@pytest.mark.parametrize(
    ("prediction", "target", "named"),
    [
        (np.zeros((1, 1), np.uint8), np.zeros((2, 2), np.uint8), "prediction is 1x1 and the target 2x2"),
        (np.zeros((2, 2)), np.zeros((2, 2), np.uint8), "the prediction holds float64"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8), r"target holds the index 255.*values="),
        (
            np.full((2, 2), 7, np.uint8),
            np.zeros((2, 2), np.uint8),
            "prediction holds the index 7, but 2 classes",
        ),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), -1), "the target holds -1 to -1.*ignore_index"),
        (np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.uint8), r"shape \(1, 2, 2\)"),
    ],
)
def test_masks_that_cannot_be_scored_are_named(prediction, target, named):
    with pytest.raises(OptionError, match=named):
        make_metric("dice", BINARY).update(prediction, target)


def test_supplies_of_another_shape_are_named():
    mask, metric = np.zeros((2, 2), np.uint8), make_metric("roc-auc", BINARY)
    with pytest.raises(OptionError, match="needs probabilities"):
        metric.update(mask, mask)
    with pytest.raises(OptionError, match=r"\(3, 2, 2\).*\(2, 2, 2\) or \(1, 2, 2\)"):
        metric.update(mask, mask, probabilities=np.zeros((3, 2, 2), np.float32))
    with pytest.raises(OptionError, match="sigmoid"):
        metric.update(mask, mask, probabilities=np.full((1, 2, 2), 3, np.float32))
    with pytest.raises(OptionError, match="field of view is 1x2"):
        metric.update(mask, mask, probabilities=np.zeros((1, 2, 2), np.float32), valid=np.ones((1, 2), bool))
    with pytest.raises(OptionError, match="instances must be 2x2"):
        make_metric("pq", BINARY).update(mask, mask, instances=(np.zeros((3, 3), int), None))


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("dice", {"measure": "dise"}, "dise"),
        ("miou", {"weights": "some"}, "some"),
        ("accuracy", {"measure": "luck"}, "luck"),
        ("hd95", {"measure": "hd50"}, "hd50"),
        ("hd95", {"spacing": (0, 1)}, "spacing"),
        ("boundary-iou", {"dilation": 0}, "dilation"),
        ("pq", {"connectivity": 6}, "connectivity"),
        ("rand", {"segments": 5}, "segments"),
        ("rand", {"measure": "r"}, "measure"),
        ("roc-auc", {"bins": 1}, "bins"),
        ("roc-auc", {"measure": "pr"}, "measure"),
        ("nested-iou", {"batch_size": 0}, "batch_size"),
        ("iou", {"colour": 1}, "colour"),
    ],
)
def test_a_wrong_option_is_named(name, options, named):
    with pytest.raises(OptionError, match=named):
        make_metric(name, BINARY, **options)


# The confusion matrix.


@given(seed=seeds, classes=st.sampled_from([2, 3, 21, 255, 256]), smooth=st.booleans(), view=st.booleans())
def test_the_confusion_matrix_counts_every_pixel_once(seed, classes, smooth, view):
    random = np.random.default_rng(seed)
    pair = random.integers(0, classes, (2, 9, 11)).astype(np.uint8)
    if smooth:
        pair = pair.repeat(12, axis=2)
    counted = random.random(pair.shape[1:]) < 0.7 if view else None
    wanted = np.zeros((classes, classes), np.int64)
    for row, column in zip(
        *(side[... if counted is None else counted].flat for side in pair[::-1]), strict=True
    ):
        wanted[row, column] += 1
    got = confusion_matrix(pair[0], pair[1], classes, counted)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, wanted)


def test_the_confusion_matrix_takes_views_with_gaps():
    pair = np.random.default_rng(0).integers(0, 2, (2, 40, 60)).astype(np.uint8)
    got = confusion_matrix(pair[0][::2, ::3], pair[1][::2, ::3], 2)
    np.testing.assert_array_equal(
        got, confusion_matrix(pair[0][::2, ::3].copy(), pair[1][::2, ::3].copy(), 2)
    )


# Scores of classes.


def test_dice_and_iou_of_a_hand_counted_example():
    pair = ([[1, 1, 0, 0]], [[1, 0, 1, 0]])
    assert scored("dice", [pair]) == {"per_image": 0.5, "pooled": 0.5}
    assert scored("iou", [pair]) == {"per_image": 1 / 3, "pooled": 1 / 3}


def test_per_image_weighs_images_and_pooled_weighs_pixels():
    small, large = ([[1]], [[1]]), ([[1] * 9], [[0] * 9])
    got = scored("iou", [small, large])
    assert got["per_image"] == 0.5
    assert got["pooled"] == pytest.approx(1 / 10)


def test_a_class_in_neither_mask_scores_1_in_its_image():
    assert scored("dice", [([[0]], [[0]])])["per_image"] == 1


def test_precision_and_recall_of_a_class_in_one_mask_only_are_0():
    assert scored("precision", [([[0, 0]], [[1, 0]])])["pooled"] == 0
    assert scored("recall", [([[1, 0]], [[0, 0]])])["pooled"] == 0


def test_ignored_pixels_count_for_nothing():
    labels = Labels(classes=("a", "b"), ignore_index=255)
    assert scored("dice", [([[1, 1]], [[1, 255]])], labels)["pooled"] == 1


def test_a_class_that_is_ignored_is_not_averaged():
    labels = Labels(classes=("a", "b", "void"), ignore_index=2)
    got = scored("iou", [([[0, 1, 1, 2]], [[0, 1, 2, 2]])], labels, per_class=True)
    assert got == {"per_image": 1, "per_image/b": 1, "pooled": 1, "pooled/b": 1}


def test_each_class_is_told_if_asked_for():
    labels = Labels(classes=("sky", "tree", "road"))
    got = scored("iou", [([[1, 1, 2]], [[1, 2, 2]])], labels, per_class=True)
    assert got["pooled/tree"] == got["pooled/road"] == got["pooled"] == 0.5


@given(seed=seeds)
def test_iou_never_exceeds_dice(seed):
    pairs = [blobs(seed), blobs(seed + 1)]
    dice, iou = (scored(name, pairs, numbered_labels(3)) for name in ("dice", "iou"))
    assert all(iou[key] <= dice[key] + 1e-12 for key in dice)


@pytest.mark.parametrize("name", ["miou", "fw-iou", "mean-accuracy", "accuracy", "kappa", "mcc"])
@settings(max_examples=10)
@given(seed=seeds)
def test_renaming_the_classes_changes_nothing(name, seed):
    names = np.random.default_rng(seed).permutation(4).astype(np.uint8)
    pairs = [blobs(seed, 4), blobs(seed + 1, 4)]
    renamed = [(names[prediction], names[target]) for prediction, target in pairs]
    labels = numbered_labels(4)
    assert scored(name, renamed, labels) == pytest.approx(scored(name, pairs, labels))


@pytest.mark.parametrize("seed", range(3))
def test_scores_agree_with_torchmetrics(seed):
    pair = np.stack([blobs(seed, 4), blobs(seed + 9, 4)], axis=1)
    pair[:, 0, :4, 0] = range(4)  # every class occurs
    guess, truth = (torch.from_numpy(side) for side in pair)
    pairs, labels = list(zip(*pair, strict=True)), numbered_labels(4)
    for name, function in {
        "dice": reference.multiclass_f1_score,
        "iou": reference.multiclass_jaccard_index,
        "precision": reference.multiclass_precision,
        "recall": reference.multiclass_recall,
        "specificity": reference.multiclass_specificity,
    }.items():
        wanted = function(guess, truth, num_classes=4, average="none")[1:].mean()
        assert scored(name, pairs, labels)["pooled"] == pytest.approx(float(wanted), abs=1e-6), name
    whole = {
        "accuracy": reference.multiclass_accuracy(guess, truth, num_classes=4, average="micro"),
        "kappa": reference.multiclass_cohen_kappa(guess, truth, num_classes=4),
        "mcc": reference.multiclass_matthews_corrcoef(guess, truth, num_classes=4),
        "fw-iou": reference.multiclass_jaccard_index(guess, truth, num_classes=4, average="weighted"),
        "mean-accuracy": reference.multiclass_accuracy(guess, truth, num_classes=4, average="macro"),
    }
    everything = scored("confusion", pairs, labels)
    for name, wanted in whole.items():
        assert scored(name, pairs, labels)["pooled"] == pytest.approx(float(wanted), abs=1e-6), name
    assert everything["kappa"] == pytest.approx(float(whole["kappa"]), abs=1e-6)
    assert everything["fw_iou"] == pytest.approx(float(whole["fw-iou"]), abs=1e-6)


def test_kappa_and_mcc_are_exact_for_more_pixels_than_a_double_can_square():
    million = 10**6
    matrix = np.array([[10**15, million], [million, 10**15]], np.int64)
    # With equal sides kappa = mcc = (a - b) / (a + b).
    wanted = (10**15 - million) / (10**15 + million)
    assert kappa(matrix) == pytest.approx(wanted, rel=1e-15)
    assert mcc(matrix) == pytest.approx(wanted, rel=1e-15)
