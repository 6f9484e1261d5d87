"""The figure of other programs: the same masks, and what each program would print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drawing import Drawing
from drawn_masks import mask

from segzoo.build import make_metric
from segzoo.specs import numbered_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Metrics of masks, and those of their scores that people quote.
QUOTED = (
    ("milesial-dice", "dice"),
    ("wzmiaomiao-dice", "dice"),
    ("nested-iou", "iou"),
    ("bubbliiiing-miou", "mIoU"),
    ("torchmetrics-miou", "jaccard"),
    ("torchmetrics-miou", "mean_iou"),
    ("smp-miou", "micro"),
    ("smp-miou", "macro_imagewise"),
    ("mmseg-miou", "mIoU"),
    ("dice", "per_image"),
    ("dice", "pooled"),
    ("iou", "per_image"),
    ("iou", "pooled"),
)


def quoted() -> Iterator[tuple[str, str, float]]:
    """Yield each metric, the score and its value of three images, the last of which shows nothing."""
    empty = mask("truth") * 0
    pairs = [(mask("shaved"), mask("large")), (mask("predicted"), mask("truth")), (empty, empty)]
    for name, value in QUOTED:
        metric = make_metric(name, numbered_labels(2))
        for predicted, true in pairs:
            metric.update(predicted, true)
        yield name, value, metric.compute()[value]


def programs() -> Drawing:
    """Bars of what the programs print."""
    rows = list(quoted())
    drawing = Drawing(24 * len(rows) + 22, "Three images, and the score that each program computes for them")
    for index, (name, score, value) in enumerate(rows):
        y = 14 + 24 * index
        ours = "-" not in name
        drawing.text(12, y + 14, f"{name} {score}", size=12)
        drawing.box(214, y, 150 * value, 18, fill="hit" if ours else "extra", stroke="paper")
        drawing.text(372, y + 14, f"{value:.3f}", mono=True)
    return drawing
