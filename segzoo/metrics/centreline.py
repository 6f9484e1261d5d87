"""clDice: whether masks cover each other's centre lines. For vessels, roads and membranes.

Paper: Shit et al., 2021, arXiv:2003.07311. Skeletons are computed by thinning (scikit-image), not by the soft
skeletonisation of the paper's loss.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.metrics.contract import (
    ABSENT,
    describe_average,
    describe_classes,
    describe_ignored,
    scored_classes,
    write_contract,
)
from segzoo.metrics.counting import Counted, average_classes
from segzoo.metrics.extras import load_morphology
from segzoo.metrics.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels


def centreline_dice(*, labels: Labels, per_class: bool = False) -> Counted:
    """Harmonic mean of the shares of each mask's skeleton that the other mask covers, per image and pooled.

    Args:
        labels: labels of the classes; the background is left out.
        per_class: whether to return the score of each class as well.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    load_morphology()
    classes = scored_classes(labels, background=False)
    score = partial(_score, names=[labels.classes[index] for index in classes], per_class=per_class)
    return Counted(
        labels=labels,
        contract=write_contract(
            "clDice = 2 P S / (P + S), P and S the shares of the predicted and the true skeleton that the "
            "other mask covers",
            classes=describe_classes(labels, classes),
            average=describe_average("skeletons"),
            empty=f"{ABSENT}; in one mask only it counts 0",
            ignored=f"{describe_ignored(labels)}; they belong to no class",
        ),
        shape=(5, len(classes)),
        count=partial(_count, classes=classes),
        pooled=partial(score, "pooled"),
        per_image=partial(score, "per_image"),
    )


def _count(image: Image, *, classes: Sequence[int]) -> NDArray[np.int64]:
    """Return covered and all pixels of the predicted skeleton, the same for the true one, and pixels."""
    skeletonize = load_morphology().skeletonize
    counts = np.zeros((5, len(classes)), np.int64)
    counts[4] = [image.pixels(index) for index in classes]
    for column, index in enumerate(classes):
        predicted, true = image.of_class(index)
        for row, one, other in ((0, predicted, true), (2, true, predicted)):
            skeleton = skeletonize(one) if one.any() else one
            counts[row : row + 2, column] = np.count_nonzero(skeleton & other), np.count_nonzero(skeleton)
    return counts


def _score(prefix: str, counts: NDArray[Any], *, names: Sequence[str], per_class: bool) -> dict[str, float]:
    covered, predicted, found, true, pixels = counts
    precision, sensitivity = ratio(covered, predicted, empty=0.0), ratio(found, true, empty=0.0)
    values = ratio(2 * precision * sensitivity, precision + sensitivity, empty=0.0)
    values = np.where(predicted + true > 0, values, np.nan)
    return average_classes(prefix, values, names=names, pixels=pixels, per_class=per_class)
