"""The figures of the guide of metrics; segzoo's metrics compute every number in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from curves import curves
from drawing import WIDTH, Drawing
from drawn_masks import mask
from matrix import matrix
from panels import legend, lines, numbered, overlap
from programs import programs

from segzoo.build import make_metric
from segzoo.metrics.boundary import _rim
from segzoo.metrics.extras import load_morphology, load_ndimage
from segzoo.specs import numbered_labels


def score(name: str, *pairs: tuple[str, str], **options: Any) -> dict[str, float]:
    """Return what a metric computes of pairs of masks, each the prediction's name and the truth's."""
    metric = make_metric(name, numbered_labels(2), **options)
    for predicted, true in pairs:
        metric.update(mask(predicted), mask(true))
    return dict(metric.compute())


def both(predicted: str, true: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks as truth values."""
    return mask(predicted) > 0, mask(true) > 0


def pixels() -> Drawing:
    """What overlap counts: one matrix, and the scores that follow."""
    drawing = Drawing(352, "A prediction and the ground truth, pixel by pixel, and the resulting scores")
    predicted, true = both("predicted", "truth")
    overlap(drawing, (14, 14, 24), predicted, true)
    tp, fp, fn = (
        int(np.count_nonzero(one)) for one in (predicted & true, predicted & ~true, true & ~predicted)
    )
    tn = true.size - tp - fp - fn
    counts = [f"TP {tp:2}  in both", f"FP {fp:2}  predicted", f"FN {fn:2}  true", f"TN {tn:2}  in neither"]
    lines(drawing, 226, 50, counts)
    legend(drawing, 14, 184)
    one = {name: score(name, ("predicted", "truth"))["pooled"] for name in _OF_PIXELS}
    lines(
        drawing,
        14,
        216,
        [
            f"IoU         {tp} / ({tp} + {fp} + {fn})       = {one['iou']:.3f}",
            f"Dice        2*{tp} / (2*{tp} + {fp} + {fn})   = {one['dice']:.3f}",
            f"precision   {tp} / ({tp} + {fp})           = {one['precision']:.3f}",
            f"recall      {tp} / ({tp} + {fn})           = {one['recall']:.3f}",
            f"specificity {tn} / ({tn} + {fp})         = {one['specificity']:.3f}",
            f"accuracy    ({tp} + {tn}) / {true.size}         = {one['accuracy']:.3f}",
        ],
    )
    drawing.text(
        14, 338, "Specificity and accuracy flatter: most pixels are background.", size=12, fill="faint"
    )
    return drawing


_OF_PIXELS = ("iou", "dice", "precision", "recall", "specificity", "accuracy")


def averages() -> Drawing:
    """Two images, and the two averages of their scores."""
    drawing = Drawing(258, "Two images: the mean of their scores, and the score of their pixels together")
    pairs = [("shaved", "large"), ("predicted", "truth")]
    x = 14.0
    for number, pair in enumerate(pairs):
        predicted, true = both(*pair)
        overlap(drawing, (x, 34, 18), predicted, true)
        drawing.text(x, 24, f"image {number + 1}: IoU {score('iou', pair)['pooled']:.3f}", bold=True)
        x += 18 * true.shape[1] + 24
    legend(drawing, 14, 216)
    found = score("iou", *pairs)
    lines(
        drawing, 14, 244, [f"per_image {found['per_image']:.3f}      pooled {found['pooled']:.3f}"], size=14
    )
    return drawing


def rims() -> Drawing:
    """A large object whose edge is ragged: overlap forgives it, its rim does not."""
    drawing = Drawing(244, "A large object with a ragged edge: all pixels, and only the edges")
    predicted, true = both("shaved", "large")
    overlap(drawing, (10, 34, 16), predicted, true)
    overlap(drawing, (218, 34, 16), _rim(predicted, 1), _rim(true, 1))
    pair = ("shaved", "large")
    drawing.text(10, 24, f"IoU {score('iou', pair)['pooled']:.3f}", bold=True)
    drawing.text(218, 24, f"boundary IoU {score('boundary-iou', pair)['pooled']:.3f}", bold=True)
    legend(drawing, 10, 202)
    drawing.text(10, 228, "Right: edges with a width of one pixel, the minimum.", size=12, fill="faint")
    return drawing


def distances() -> Drawing:
    """A single stray pixel, and what distances make of it."""
    drawing = Drawing(282, "A perfect square, and one stray pixel far away")
    predicted, true = both("lone", "square")
    side, x, y = 22, 14, 16
    overlap(drawing, (x, y, side), predicted, true)
    stray = np.argwhere(predicted & ~true)[0]
    surface = np.argwhere(_rim(true, 1))
    near = surface[np.argmin(((surface - stray) ** 2).sum(axis=1))]
    ends = [(x + (column + 0.5) * side, y + (row + 0.5) * side) for row, column in (stray, near)]
    drawing.path(ends, dashed=True, width=2)
    farthest = math.dist(stray.tolist(), near.tolist())
    middle = (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2
    drawing.text(middle[0] + 12, middle[1] + 20, f"{farthest:.2f} pixels", size=12)
    legend(drawing, 14, 196)
    pair = ("lone", "square")
    lines(
        drawing,
        14,
        226,
        [
            f"IoU   {score('iou', pair)['pooled']:.3f}",
            f"hd95  {score('hd95', pair)['per_image']:.3f} pixels (the farthest is {farthest:.2f})",
            f"asd   {score('asd', pair)['per_image']:.3f} pixels",
        ],
    )
    return drawing


def centrelines() -> Drawing:
    """A thick vessel found, its thin branch lost."""
    drawing = Drawing(256, "A thick vessel that was found, and its thin branch that was not")
    predicted, true = both("trunk", "vessel")
    side, x, y = 24, 14, 14
    overlap(drawing, (x, y, side), predicted, true)
    skeleton = load_morphology().skeletonize(true)
    for row, column in np.argwhere(skeleton):
        drawing.box(
            x + (column + 0.36) * side, y + (row + 0.36) * side, side * 0.28, side * 0.28,
            fill="bright", stroke="ink", radius=3,
        )  # fmt: skip
    legend(drawing, 14, 206)
    drawing.box(322, 84, 9, 9, fill="bright", stroke="ink", radius=3)
    drawing.text(336, 93, "centre line", size=12, fill="faint")
    pair = ("trunk", "vessel")
    found = [f"{name} {score(metric, pair)['pooled']:.3f}" for name, metric in _OF_LINES]
    lines(drawing, 14, 238, ["   ".join(found)], size=14)
    return drawing


_OF_LINES = (("Dice", "dice"), ("clDice", "cldice"))


def objects() -> Drawing:
    """Two nuclei that touch in the prediction are one object there."""
    drawing = Drawing(254, "Three nuclei, two of which are joined in the prediction")
    label = load_ndimage().label
    for name, x, said in (("nuclei", 10, "truth: 3"), ("merged", 218, "prediction: 2")):
        numbered(drawing, (x, 30, 16), label(mask(name))[0], ("hit", "missed", "extra"))
        drawing.text(x, 20, f"{said} objects", bold=True)
    pair = ("merged", "nuclei")
    quality = score("pq", pair)
    lines(
        drawing,
        10,
        184,
        [
            f"Dice of pixels        {score('dice', pair)['pooled']:.3f}",
            f"panoptic quality pq   {quality['pooled']:.3f}",
            f"  of the pairs' IoU   {quality['pooled/segmentation']:.3f}",
            f"  of finding objects  {quality['pooled/recognition']:.3f}",
        ],
    )
    return drawing


def segments() -> Drawing:
    """One pixel of membrane missing, and two cells are one."""
    drawing = Drawing(196, "Two cells between membranes; a gap of one pixel joins them")
    for name, x, said in (("cells", 10, "truth: 2 cells"), ("leaking", 222, "prediction: 1 cell")):
        found = load_ndimage().label(mask(name))[0]
        numbered(drawing, (x, 30, 17), found, ("hit", "missed"))
        drawing.text(x, 20, said, bold=True)
    pair = ("leaking", "cells")
    rand = score("rand", pair)
    lines(
        drawing,
        10,
        144,
        [
            f"Dice of pixels  {score('dice', pair)['pooled']:.3f}",
            f"rand            {rand['per_image']:.3f}",
            f"  split {rand['per_image/split']:.3f}   merge {rand['per_image/merge']:.3f}",
        ],
    )
    return drawing


#: By the name of the file.
FIGURES = {
    "metrics-pixels": pixels,
    "metrics-averages": averages,
    "metrics-matrix": matrix,
    "metrics-rims": rims,
    "metrics-distances": distances,
    "metrics-centrelines": centrelines,
    "metrics-objects": objects,
    "metrics-segments": segments,
    "metrics-curves": curves,
    "metrics-programs": programs,
}

assert WIDTH == 420, "the drawings above are made for this width"
