"""The figure of curves: every threshold at once."""

from __future__ import annotations

import numpy as np
from drawing import Drawing
from panels import lines

from segzoo.build import make_metric
from segzoo.specs import numbered_labels

#: Ten pixels: their true class, and the probability of class 1 that a network gave.
TRUE = (1, 1, 0, 1, 1, 0, 0, 1, 0, 0)
CHANCES = (0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.4, 0.35, 0.2, 0.1)


def curves() -> Drawing:
    """The curves of ten pixels: ROC, and precision over recall."""
    drawing = Drawing(284, "Ten pixels by falling probability, their ROC curve, and precision over recall")
    true = np.array(TRUE, bool)
    for index, (is_true, chance) in enumerate(zip(true, CHANCES, strict=True)):
        x = 12 + index * 40
        drawing.box(x, 12, 36, 26, fill="hit" if is_true else "plain", stroke="line")
        drawing.text(x + 18, 30, f"{chance:.2f}", anchor="middle", fill="bright" if is_true else "ink")
    drawing.text(
        12, 58, "Blue pixels are truly of the class; the number is its probability.", size=12, fill="faint"
    )
    hits, falses = np.cumsum(true), np.cumsum(~true)
    recall, alarms = hits / true.sum(), falses / (~true).sum()
    _curve(drawing, 34, [(0, 0), *zip(alarms, recall, strict=True)], "false alarms", "recall")
    precision = hits / (hits + falses)
    _curve(drawing, 240, [(0, 1), *zip(recall, precision, strict=True)], "recall", "precision")
    area = {name: _area(name) for name in ("roc-auc", "average-precision")}
    lines(drawing, 34, 270, [f"roc-auc {area['roc-auc']:.3f}"])
    lines(drawing, 206, 270, [f"average-precision {area['average-precision']:.3f}"])
    return drawing


def _area(name: str) -> float:
    metric = make_metric(name, numbered_labels(2))
    chances = np.array([[CHANCES]], np.float32)
    metric.update((chances[0] > 0.5).astype(np.uint8), np.array([TRUE], np.uint8), probabilities=chances)
    return metric.compute()["pooled"]


def _curve(drawing: Drawing, x: float, points: list[tuple[float, float]], across: str, up: str) -> None:
    side, top = 146.0, 84.0
    drawing.box(x, top, side, side, fill="plain")
    drawing.path(
        [(x + right * side, top + (1 - high) * side) for right, high in points], stroke="hit", width=3
    )
    drawing.text(x, top - 6, f"{up} (up to 1)", size=12, fill="faint")
    drawing.text(x + side, top + side + 16, f"{across} (up to 1)", size=12, fill="faint", anchor="end")
