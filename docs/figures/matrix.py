"""The figure of several classes: which became which, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from drawing import Drawing
from drawn_masks import mask
from panels import lines

from segzoo.build import make_metric
from segzoo.specs import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = Labels(classes=("sky", "road", "car"))
_COLOURS = ("glass", "wood", "extra")


def matrix() -> Drawing:
    """A truth and a prediction of three classes, their confusion matrix, and scores of it."""
    drawing = Drawing(398, "Three classes: which pixels became which, and the scores of the matrix")
    metric = make_metric("confusion", LABELS)
    metric.update(mask("seen"), mask("street"))
    for name, x, said in (("street", 12, "truth"), ("seen", 224, "prediction")):
        drawing.text(x, 22, said, bold=True)
        _classes(drawing, x, 30, mask(name))
    _counts(drawing, 170, getattr(metric, "counts"))  # noqa: B009 - only counted metrics have it
    found = metric.compute()
    other = {name: _one(name) for name in ("miou", "fw-iou", "mean-accuracy", "accuracy", "kappa", "mcc")}
    ious = " ".join(f"{name} {found[f'iou/{name}']:.3f}" for name in LABELS.classes)
    pairs = [f"{name:14}{value:.3f}" for name, value in other.items()]
    rows = [f"{left}   {right}" for left, right in zip(pairs[:3], pairs[3:], strict=True)]
    lines(drawing, 12, 306, [f"IoU           {ious}", *rows])
    said = "The car is small: a third of miou, but little of fw-iou and accuracy."
    drawing.text(12, 386, said, size=12, fill="faint")
    return drawing


def _one(name: str) -> float:
    metric = make_metric(name, LABELS)
    metric.update(mask("seen"), mask("street"))
    return metric.compute()["pooled"]


def _classes(drawing: Drawing, x: float, y: float, classes: NDArray[np.uint8]) -> None:
    side = 18
    for (row, column), index in np.ndenumerate(classes):
        drawing.box(x + column * side, y + row * side, side, side, fill=_COLOURS[index], stroke="paper")


def _counts(drawing: Drawing, top: float, counts: NDArray[np.int64]) -> None:
    """Draw the matrix: a row for each true class, a column for each predicted one."""
    left, wide, high = 110, 80, 28
    for number, name in enumerate(LABELS.classes):
        drawing.box(12, top + 24 + number * high, 14, 14, fill=_COLOURS[number])
        drawing.text(32, top + 36 + number * high, f"true {name}")
        drawing.text(left + (number + 0.5) * wide, top + 12, f"as {name}", anchor="middle", fill="faint")
    for (row, column), pixels in np.ndenumerate(counts):
        x, y = left + column * wide, top + 18 + row * high
        fill = "hit" if row == column else "missed" if pixels else "plain"
        drawing.box(x, y, wide, high, fill=fill, stroke="paper")
        ink = "bright" if pixels else "faint"
        drawing.text(x + wide / 2, y + 19, str(int(pixels)), anchor="middle", fill=ink, mono=True)
