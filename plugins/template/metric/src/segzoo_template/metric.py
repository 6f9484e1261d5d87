"""IoU of the foreground: all classes except the background, merged into one."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzoo.labels import foreground
from segzoo.metrics import Counted, Image, describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.specs import Labels


def foreground_iou(*, labels: Labels) -> Counted:
    """Make the metric for masks with these labels."""
    return Counted(
        labels=labels,
        contract=write_contract(
            "IoU of all classes except the background, merged into one",
            classes=describe_classes(labels, scored_classes(labels, background=False)),
            average="pixels of all images counted together",
            empty="not a number if all pixels of both masks are background",
            ignored=describe_ignored(labels),
        ),
        shape=(2,),
        count=_count,
        pooled=_score,
    )


def _count(image: Image) -> NDArray[Any]:
    """Count the pixels that are foreground in both masks, and those in either."""
    counted = True if image.counted is None else image.counted
    predicted, true = (foreground(mask, image.labels) & counted for mask in (image.prediction, image.target))
    return np.array([np.count_nonzero(predicted & true), np.count_nonzero(predicted | true)])


def _score(counts: NDArray[Any]) -> dict[str, float]:
    both, either = counts.tolist()
    return {"foreground_iou": both / either if either else math.nan}
