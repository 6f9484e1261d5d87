"""Scores as other programs compute them, under those programs' names; each formula is one small function.

Use them only to reproduce published numbers, quirks included; for everything else, use
`segzoo.metrics.scores`. Milesial, Pytorch-UNet; bubbliiiing, unet-pytorch; 4uiiurz1, pytorch-nested-unet;
WZMIAOMIAO, deep-learning-for-image-processing; MindSpore models; torchmetrics; segmentation_models.pytorch;
MMSegmentation.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.confusion import count_confusion
from segzoo.metrics.contract import describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.metrics.counting import Counted
from segzoo.metrics.rates import accuracy, mean, rate, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels

_POOLED = "pixels of all images counted together, mean over classes"


def milesial_dice(*, labels: Labels) -> Counted:
    """Milesial's validation Dice: mean over images and all classes except the first; 1 if both are empty."""
    labels = _with_class_0_as_background(labels)
    classes = scored_classes(labels, background=False)
    return _of_matrix(
        labels,
        "milesial's Dice = (2 |A and B| + 1e-6) / (|A| + |B| + 1e-6)",
        classes,
        average="mean over images and classes (the program's batches, of one size, average to the same)",
        empty="1 where both masks are empty",
        size="that of the masks given; the program's is the image's times its scale",
        per_image=partial(_smooth_dice, classes=classes),
    )


def wzmiaomiao_dice(*, labels: Labels) -> Counted:
    """WZMIAOMIAO's Dice, accuracy and mean IoU; a class that never occurs makes its mean IoU NaN."""
    labels = _with_class_0_as_background(labels)
    classes = scored_classes(labels, background=False)
    return _of_matrix(
        labels,
        "WZMIAOMIAO's Dice = (2 |A and B| + 1e-6) / (|A| + |B| + 1e-6), and one confusion matrix's scores",
        classes,
        average="dice = mean over images and classes (batches of one); accuracy and mIoU = pixels of all "
        "images counted together, all classes",
        empty="Dice 1 where both masks are empty; mIoU NaN with a class that never occurs",
        per_image=partial(_smooth_dice, classes=classes),
        pooled=_wzmiaomiao,
    )


def bubbliiiing_miou(*, labels: Labels) -> Counted:
    """Bubbliiiing's mIoU, mPA (recall) and mean precision over all classes; absent classes count 0."""
    classes = tuple(range(len(labels.classes)))
    return _of_matrix(
        labels,
        "bubbliiiing's mIoU = TP / max(TP + FP + FN, 1), mPA = TP / max(TP + FN, 1), mPrecision = "
        "TP / max(TP + FP, 1), accuracy",
        classes,
        average=_POOLED,
        empty="an absent class counts 0 in every mean",
        pooled=_bubbliiiing,
    )


def torchmetrics_miou(*, labels: Labels) -> Counted:
    """The `JaccardIndex` (macro) and `segmentation.MeanIoU` of torchmetrics with their defaults."""
    classes = scored_classes(labels, background=True)
    return _of_matrix(
        labels,
        "torchmetrics' IoU: jaccard = JaccardIndex(average='macro'), mean_iou = segmentation.MeanIoU",
        classes,
        average=f"jaccard = {_POOLED}; mean_iou = mean over all (image, class) pairs that occur",
        empty="what is in neither mask is left out",
        pooled=partial(_torchmetrics, classes=classes),
        shape=(len(labels.classes) + 1, len(labels.classes)),
        count=partial(_with_iou, classes=classes),
    )


def smp_miou(*, labels: Labels) -> Counted:
    """segmentation_models.pytorch's ``iou_score`` in its four reductions."""
    classes = tuple(range(len(labels.classes)))
    return _of_matrix(
        labels,
        "segmentation_models.pytorch's iou_score = TP / (TP + FP + FN)",
        classes,
        average=f"macro = {_POOLED}; micro = pixels of all images and classes counted together; "
        "..._imagewise = mean over images",
        empty="1 where both masks are empty (zero_division=1)",
        pooled=partial(_smp, ""),
        per_image=partial(_smp, "_imagewise"),
    )


def mmseg_miou(*, labels: Labels) -> Counted:
    """MMSegmentation's ``IoUMetric``: aAcc, mIoU and mAcc, as shares, without rounding."""
    classes = tuple(range(len(labels.classes)))
    return _of_matrix(
        labels,
        "MMSegmentation's aAcc, mIoU = TP / (TP + FP + FN), mAcc = TP / (TP + FN), as shares of 1",
        classes,
        average=_POOLED,
        empty="a class in neither mask is left out; one never true is left out of mAcc",
        pooled=_mmseg,
    )


def mindspore_dice(*, labels: Labels) -> Counted:
    """MindSpore's soft Dice of probabilities over all classes, mean over images."""
    return Counted(
        labels=labels,
        contract=write_contract(
            "MindSpore's soft Dice = 2 sum(p y) / (sum(p^2) + sum(y^2) + 1e-6)",
            classes=describe_classes(labels, range(len(labels.classes))) + ", summed together",
            average="mean over images",
            empty="none: the background is always there",
            ignored=describe_ignored(labels),
            threshold="none, probabilities p are scored",
            size="that of the masks given; the program's is 388 x 388",
        ),
        shape=(2,),
        count=_count_soft,
        per_image=_soft_dice,
    )


def _with_class_0_as_background(labels: Labels) -> Labels:
    """Return labels whose first class is left out of the mean, whatever it is, as in some programs."""
    return labels if labels.background == 0 else replace(labels, background=0)


def _of_matrix(
    labels: Labels,
    measure: str,
    classes: Sequence[int],
    *,
    average: str,
    empty: str,
    size: str = "that of the masks given",
    per_image: Callable[[NDArray[Any]], Mapping[str, float]] | None = None,
    pooled: Callable[[NDArray[Any]], Mapping[str, float]] | None = None,
    shape: tuple[int, int] | None = None,
    count: Callable[[Image], NDArray[Any]] = count_confusion,
) -> Counted:
    return Counted(
        labels=labels,
        contract=write_contract(
            measure,
            classes=describe_classes(labels, classes),
            average=average,
            empty=empty,
            ignored=describe_ignored(labels),
            size=size,
        ),
        shape=shape or (len(labels.classes), len(labels.classes)),
        count=count,
        pooled=pooled,
        per_image=per_image,
    )


def _smooth_dice(matrix: NDArray[Any], *, classes: Sequence[int]) -> dict[str, float]:
    if not matrix.sum():
        return {"dice": float("nan")}
    chosen = list(classes)
    common, total = np.diagonal(matrix)[chosen], (matrix.sum(0) + matrix.sum(1))[chosen]
    return {"dice": float(((2 * common + 1e-6) / (total + 1e-6)).mean())}


def _wzmiaomiao(matrix: NDArray[Any]) -> dict[str, float]:
    return {"accuracy": accuracy(matrix), "mIoU": float(rate("iou", matrix).mean())}


def _bubbliiiing(matrix: NDArray[Any]) -> dict[str, float]:
    common, predicted, true = np.diagonal(matrix), matrix.sum(0), matrix.sum(1)
    parts = {"mIoU": predicted + true - common, "mPA": true, "mPrecision": predicted}
    known = bool(matrix.sum())
    scores = {
        name: float((common / np.maximum(bottom, 1)).mean()) if known else float("nan")
        for name, bottom in parts.items()
    }
    return {**scores, "accuracy": accuracy(matrix)}


def _with_iou(image: Image, *, classes: Sequence[int]) -> NDArray[np.float64]:
    """Return the confusion matrix with an additional row: sum and number of the image's defined IoUs."""
    matrix = count_confusion(image)
    known = rate("iou", matrix)[list(classes)]
    row = np.zeros(matrix.shape[1])
    row[:2] = np.nansum(known), np.count_nonzero(~np.isnan(known))
    return np.vstack([matrix.astype(np.float64), row])


def _torchmetrics(counts: NDArray[Any], *, classes: Sequence[int]) -> dict[str, float]:
    matrix, (total, pairs) = counts[:-1], counts[-1, :2]
    return {
        "jaccard": mean(rate("iou", matrix)[list(classes)]),
        "mean_iou": float(total / pairs) if pairs else float("nan"),
    }


def _smp(suffix: str, matrix: NDArray[Any]) -> dict[str, float]:
    macro = micro = float("nan")
    if matrix.sum():
        common = np.diagonal(matrix)
        either = matrix.sum(0) + matrix.sum(1) - common
        macro = float(ratio(common, either, empty=1.0).mean())
        micro = float(common.sum() / either.sum())
    return {f"macro{suffix}": macro, f"micro{suffix}": micro}


def _mmseg(matrix: NDArray[Any]) -> dict[str, float]:
    recall = ratio(np.diagonal(matrix), matrix.sum(1))
    return {"aAcc": accuracy(matrix), "mIoU": mean(rate("iou", matrix)), "mAcc": mean(recall)}


def _count_soft(image: Image) -> NDArray[np.float64]:
    """Return 2 sum(p y) and sum(p^2) + sum(y^2)."""
    if image.probabilities is None:
        raise OptionError("mindspore-dice needs probabilities: pass probabilities=(num_classes, H, W)")
    counted = ... if image.counted is None else image.counted
    truth = image.target[counted].ravel()
    probabilities = image.probabilities[:, counted] if image.counted is not None else image.probabilities
    probabilities = probabilities.reshape(len(image.labels.classes), -1).astype(np.float64)
    common = probabilities[truth, np.arange(truth.size)].sum()
    return np.array([2 * common, np.square(probabilities).sum() + truth.size])


def _soft_dice(counts: NDArray[Any]) -> dict[str, float]:
    return {"dice": float(counts[0] / (counts[1] + 1e-6)) if counts[1] else float("nan")}
