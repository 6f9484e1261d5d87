"""Other programs' scores: each test states the program's formula, in plain NumPy, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_models_pytorch.metrics as smp
import torch
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU

from segzoo.build import make_metric
from segzoo.specs import Labels, numbered_labels

CLASSES = 4


@pytest.fixture(scope="module")
def images():
    """Return five (prediction, target) pairs of 4 classes; class 3 is in few, class 2 in none."""
    random = np.random.default_rng(0)
    target = random.choice([0, 1, 3], (5, 7, 8), p=[0.6, 0.35, 0.05]).astype(np.uint8)
    target[1:3][target[1:3] == 3] = 1
    guess = np.where(random.random(target.shape) < 0.3, random.choice([0, 1], target.shape), target)
    guess[1:3][guess[1:3] == 3] = 0
    return [(one.astype(np.uint8), other) for one, other in zip(guess, target, strict=True)]


def scored(name, images, labels=None, **options):
    metric = make_metric(name, labels or numbered_labels(CLASSES), **options)
    for prediction, target in images:
        metric.update(prediction, target)
    return metric.compute()


def sides(images, index):
    """Return common, predicted, true and either pixels of a class in each image."""
    rows = [((p == index), (t == index)) for p, t in images]
    return np.array([((p & t).sum(), p.sum(), t.sum(), (p | t).sum()) for p, t in rows]).T


def test_milesial_dice_is_the_mean_over_images_and_foreground_classes(images):
    scores = []
    for index in (1, 2, 3):
        common, predicted, true, _ = sides(images, index)
        total = predicted + true
        scores.append((2 * common + 1e-6) / (np.where(total == 0, 2 * common, total) + 1e-6))
    assert scored("milesial-dice", images)["dice"] == pytest.approx(np.mean(scores), rel=1e-12)


def test_wzmiaomiao_dice_is_the_same_over_pixels_that_are_not_ignored(images):
    labels = Labels(classes=("a", "b", "c", "d"), ignore_index=255)
    holes = [(p, np.where(np.indices(t.shape)[0] < 2, 255, t).astype(np.uint8)) for p, t in images]
    rest = [(p[2:], t[2:]) for p, t in images]
    got = scored("wzmiaomiao-dice", holes, labels)
    assert got["dice"] == pytest.approx(scored("milesial-dice", rest)["dice"], rel=1e-12)
    right = np.mean([p == t for p, t in rest])
    assert got["accuracy"] == pytest.approx(right)
    # 0 / 0 of a class that never occurs is not a number, and so is the program's mean.
    assert np.isnan(got["mIoU"])
    binary = [(p == 1, t == 1) for p, t in rest]
    plain = scored("wzmiaomiao-dice", binary, numbered_labels(2))["mIoU"]
    pooled = [sides(binary, index).sum(1) for index in (0, 1)]
    assert plain == pytest.approx(np.mean([common / either for common, _, _, either in pooled]))


def test_bubbliiiing_counts_absent_classes_as_0(images):
    iou, accuracy, precision = [], [], []
    for index in range(CLASSES):
        common, predicted, true, either = sides(images, index).sum(1)
        iou.append(common / max(either, 1))
        accuracy.append(common / max(true, 1))
        precision.append(common / max(predicted, 1))
    got = scored("bubbliiiing-miou", images)
    assert got["mIoU"] == pytest.approx(np.mean(iou))
    assert got["mPA"] == pytest.approx(np.mean(accuracy))
    assert got["mPrecision"] == pytest.approx(np.mean(precision))
    assert iou[2] == 0
    assert got["mIoU"] < scored("mmseg-miou", images)["mIoU"]


def test_nested_iou_pools_each_batch_and_weighs_batches_by_their_images(images):
    binary = [((p == 1).astype(np.uint8), (t == 1).astype(np.uint8)) for p, t in images]
    common, _, _, either = sides(binary, 1)
    batches = [slice(0, 2), slice(2, 4), slice(4, 5)]
    scores = [(common[part].sum() + 1e-5) / (either[part].sum() + 1e-5) for part in batches]
    wanted = np.average(scores, weights=[2, 2, 1])
    got = scored("nested-iou", binary, numbered_labels(2), batch_size=2)
    assert got["iou"] == pytest.approx(wanted, rel=1e-12)
    pooled = scored("nested-iou", binary, numbered_labels(2), batch_size=5)
    assert pooled["iou"] == pytest.approx(scored("iou", binary, numbered_labels(2))["pooled"], abs=1e-6)


def test_mindspore_dice_is_soft_and_sums_squares_over_all_classes(images):
    random, metric, wanted = (
        np.random.default_rng(1),
        make_metric("mindspore-dice", numbered_labels(CLASSES)),
        [],
    )
    for prediction, target in images:
        p = random.dirichlet(np.ones(CLASSES), target.shape).astype(np.float32).transpose(2, 0, 1)
        y = np.eye(CLASSES)[target].transpose(2, 0, 1)
        wanted.append(2 * (p * y).sum() / ((p * p).sum() + (y * y).sum() + 1e-6))
        metric.update(prediction, target, probabilities=p)
    assert metric.compute()["dice"] == pytest.approx(np.mean(wanted), rel=1e-6)


def test_torchmetrics_iou_leaves_absent_classes_out(images):
    guess, truth = (torch.from_numpy(np.stack(side)).long() for side in zip(*images, strict=True))
    got = scored("torchmetrics-miou", images)
    jaccard = MulticlassJaccardIndex(CLASSES)(guess, truth)
    single = MeanIoU(CLASSES, input_format="index")(guess, truth)
    assert got["jaccard"] == pytest.approx(float(jaccard), abs=1e-6)
    assert got["mean_iou"] == pytest.approx(float(single), abs=1e-6)
    known = [
        common / either
        for i in range(CLASSES)
        for common, _, _, either in [sides(images, i).sum(1)]
        if either
    ]
    assert got["jaccard"] == pytest.approx(np.mean(known))


def test_torchmetrics_ignores_what_is_ignored(images):
    labels = Labels(classes=("a", "b", "c", "d"), ignore_index=255)
    holes = [(p, np.where(np.indices(t.shape)[1] < 3, 255, t).astype(np.uint8)) for p, t in images]
    guess, truth = (torch.from_numpy(np.stack(side)).long() for side in zip(*holes, strict=True))
    wanted = MulticlassJaccardIndex(CLASSES, ignore_index=255)(guess, truth)
    assert scored("torchmetrics-miou", holes, labels)["jaccard"] == pytest.approx(float(wanted), abs=1e-6)


def test_smp_iou_counts_absent_classes_as_1(images):
    guess, truth = (torch.from_numpy(np.stack(side)).long() for side in zip(*images, strict=True))
    counts = smp.get_stats(guess, truth, mode="multiclass", num_classes=CLASSES)
    got = scored("smp-miou", images)
    for reduction in ("macro", "micro", "macro-imagewise", "micro-imagewise"):
        wanted = smp.iou_score(*counts, reduction=reduction)
        assert got[reduction.replace("-", "_")] == pytest.approx(float(wanted), abs=1e-6), reduction
    per_class = [sides(images, i).sum(1) for i in range(CLASSES)]
    assert got["macro"] == pytest.approx(
        np.mean([common / either if either else 1 for common, _, _, either in per_class])
    )


def test_mmseg_iou_leaves_absent_classes_out_of_both_means(images):
    totals = np.array([sides(images, i).sum(1) for i in range(CLASSES)], float)
    common, _, true, either = totals.T
    with np.errstate(invalid="ignore"):
        iou, recall = common / either, common / true
    got = scored("mmseg-miou", images)
    assert got["mIoU"] == pytest.approx(np.nanmean(iou))
    assert got["mAcc"] == pytest.approx(np.nanmean(recall))
    assert got["aAcc"] == pytest.approx(common.sum() / true.sum())
