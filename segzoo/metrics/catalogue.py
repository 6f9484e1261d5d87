"""The catalogue of metrics: their specs, by what they measure. It imports none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.specs import MetricSpec

if TYPE_CHECKING:
    from collections.abc import Iterable


def list_metrics() -> Iterable[MetricSpec]:
    """Return the specs of every built-in metric."""
    return [*_class_scores(), *_shape_scores(), *_other_programs_scores()]


def _class_scores() -> Iterable[MetricSpec]:
    of_class, whole = "segzoo.metrics.scores:class_score", "segzoo.metrics.scores:agreement"
    foreground = "of the foreground classes, per image and pooled"
    return [
        _metric("dice", of_class, f"Dice (F1) {foreground}", "f1", measure="dice"),
        _metric("iou", of_class, f"intersection over union {foreground}", "jaccard", measure="iou"),
        _metric("precision", of_class, f"precision {foreground}", measure="precision"),
        _metric("recall", of_class, f"recall {foreground}", "sensitivity", measure="recall"),
        _metric("specificity", of_class, f"specificity {foreground}", measure="specificity"),
        _metric("miou", of_class, "IoU of all classes with background", measure="iou", background=True),
        _metric(
            "fw-iou",
            of_class,
            "IoU of all classes, weighted by their true pixels",
            measure="iou",
            background=True,
            weights="frequency",
        ),
        _metric(
            "mean-accuracy",
            of_class,
            "recall of all classes with background",
            "balanced-accuracy",
            measure="recall",
            background=True,
        ),
        _metric(
            "accuracy", whole, "share of pixels whose class is right", measure="accuracy", overlapping=False
        ),
        _metric("kappa", whole, "Cohen's kappa", measure="kappa", overlapping=False),
        _metric("mcc", whole, "Matthews' correlation coefficient", measure="mcc", overlapping=False),
        _metric(
            "confusion",
            "segzoo.metrics.confusion:confusion",
            "all scores of one confusion matrix",
            overlapping=False,
        ),
    ]


def _shape_scores() -> Iterable[MetricSpec]:
    surface, curve = "segzoo.metrics.surface:surface_distance", "segzoo.metrics.curves:Curve"
    partition, objects = "segzoo.metrics.partition:partition_score", "segzoo.metrics.instances"
    calibration = "segzoo.metrics.calibration"
    probabilities, instances = ("probabilities",), ("instances",)
    return [
        _metric(
            "boundary-iou",
            "segzoo.metrics.boundary:boundary_iou",
            "IoU of the masks' boundary regions",
            paper="arXiv:2103.16562",
        ),
        _metric("hd95", surface, "95th percentile Hausdorff distance", up=False, measure="hd95"),
        _metric("asd", surface, "average symmetric surface distance", "assd", up=False, measure="asd"),
        _metric(
            "cldice",
            "segzoo.metrics.centreline:centreline_dice",
            "centre line Dice, for vessels and roads",
            paper="arXiv:2003.07311",
        ),
        _metric("roc-auc", curve, "area under the ROC curve", "auc", needs=probabilities, measure="roc-auc"),
        _metric(
            "average-precision", curve, "average precision", needs=probabilities, measure="average-precision"
        ),
        _metric(
            "ece",
            f"{calibration}:calibration_error",
            "expected calibration error of probabilities",
            "calibration-error",
            up=False,
            needs=probabilities,
            paper="arXiv:1706.04599",
        ),
        _metric(
            "brier", f"{calibration}:brier", "Brier score of probabilities", up=False, needs=probabilities
        ),
        _metric(
            "nll",
            f"{calibration}:likelihood",
            "negative log-likelihood of the ground truth",
            up=False,
            needs=probabilities,
        ),
        _metric(
            "rand",
            partition,
            "Rand score inside true segments",
            needs=instances,
            measure="rand",
            overlapping=False,
        ),
        _metric(
            "info",
            partition,
            "information score inside true segments",
            needs=instances,
            measure="info",
            overlapping=False,
        ),
        _metric(
            "ap",
            f"{objects}:object_precision",
            "AP of objects, TP / (TP + FP + FN) at IoU 0.5, as DSB2018 and StarDist define it",
            "ap50",
            "object-ap",
            needs=instances,
            paper="doi:10.1038/s41592-019-0612-7",
        ),
        _metric(
            "aji", f"{objects}:aggregated_jaccard", "aggregated Jaccard index of objects", needs=instances
        ),
        _metric(
            "pq",
            f"{objects}:panoptic_quality",
            "panoptic quality of objects",
            needs=instances,
            paper="arXiv:1801.00868",
        ),
        _metric(
            "count-error",
            f"{objects}:count_error",
            "difference of the numbers of objects",
            up=False,
            needs=instances,
        ),
    ]


def _other_programs_scores() -> Iterable[MetricSpec]:
    parity = "segzoo.metrics.parity"
    return [
        _metric(
            "milesial-dice",
            f"{parity}:milesial_dice",
            "Dice as milesial's Pytorch-UNet prints it",
            overlapping=False,
        ),
        _metric(
            "bubbliiiing-miou",
            f"{parity}:bubbliiiing_miou",
            "mIoU and mPA as unet-pytorch prints them",
            overlapping=False,
        ),
        _metric("nested-iou", "segzoo.metrics.batches:NestedIoU", "IoU as 4uiiurz1's UNet++ prints it"),
        _metric(
            "wzmiaomiao-dice",
            f"{parity}:wzmiaomiao_dice",
            "Dice as WZMIAOMIAO's U-Net prints it",
            overlapping=False,
        ),
        _metric(
            "mindspore-dice",
            f"{parity}:mindspore_dice",
            "soft Dice as MindSpore's U-Net prints it",
            needs=("probabilities",),
            overlapping=False,
        ),
        _metric(
            "torchmetrics-miou",
            f"{parity}:torchmetrics_miou",
            "IoU as torchmetrics counts it",
            overlapping=False,
        ),
        _metric(
            "smp-miou",
            f"{parity}:smp_miou",
            "IoU as segmentation_models.pytorch counts it",
            overlapping=False,
        ),
        _metric(
            "mmseg-miou",
            f"{parity}:mmseg_miou",
            "aAcc, mIoU and mAcc as MMSegmentation prints them",
            overlapping=False,
        ),
    ]


def _metric(
    name: str,
    factory: str,
    summary: str,
    *aliases: str,
    up: bool = True,
    needs: tuple[str, ...] = (),
    paper: str = "",
    overlapping: bool = True,
    **options: Any,
) -> MetricSpec:
    return MetricSpec(
        name=name,
        factory=factory,
        options=options,
        aliases=aliases,
        summary=summary,
        higher_is_better=up,
        needs=needs,
        paper=paper,
        overlapping=overlapping,
    )
