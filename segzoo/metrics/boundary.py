"""Boundary IoU: the overlap of the masks' rims, which large objects do not drown.

Paper: Cheng et al., 2021, arXiv:2103.16562. The rim of a mask is what lies within ``d`` pixels of
its edge, inside it; the image's border is an edge too, as in the authors' code.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.contract import (
    ABSENT,
    describe_average,
    describe_classes,
    describe_ignored,
    scored_classes,
    write_contract,
)
from segzoo.metrics.counting import Counted, average_classes
from segzoo.metrics.extras import load_ndimage
from segzoo.metrics.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels


def boundary_iou(
    *, labels: Labels, dilation: float = 0.02, background: bool = False, per_class: bool = False
) -> Counted:
    """IoU of the rims of each class, per image and pooled.

    Args:
        labels: the classes.
        dilation: how wide a rim is, as a share of the image's diagonal; at least one pixel.
        background: whether the background is averaged too.
        per_class: whether to return each class too.

    Raises:
        OptionError: ``dilation`` is not above 0.
        MissingExtraError: SciPy is not installed.
    """
    if not dilation > 0:
        raise OptionError(f"dilation must be above 0, got {dilation}")
    load_ndimage()
    classes = scored_classes(labels, background=background)
    score = partial(_score, names=[labels.classes[index] for index in classes], per_class=per_class)
    return Counted(
        labels=labels,
        contract=write_contract(
            f"IoU of the rims, {dilation:g} of the image's diagonal wide",
            classes=describe_classes(labels, classes),
            average=describe_average("rims"),
            empty=ABSENT,
            ignored=f"{describe_ignored(labels)}; they belong to no class, and edges against them are edges",
        ),
        shape=(3, len(classes)),
        count=partial(_count, classes=classes, dilation=dilation),
        pooled=partial(score, "pooled"),
        per_image=partial(score, "per_image"),
    )


def _count(image: Image, *, classes: Sequence[int], dilation: float) -> NDArray[np.int64]:
    """Return the common pixels of both rims, those of either rim, and 1 if the image has pixels."""
    counts = np.zeros((3, len(classes)), np.int64)
    counts[2] = [image.pixels(index) for index in classes]
    width = max(round(dilation * math.hypot(*image.size)), 1)
    for column, index in enumerate(classes):
        predicted, true = (_rim(mask, width) for mask in image.of_class(index))
        counts[:2, column] = np.count_nonzero(predicted & true), np.count_nonzero(predicted | true)
    return counts


def _rim(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    if not mask.any():
        return mask
    # Eroding by a square is a running minimum along each side in turn.
    inside = load_ndimage().minimum_filter(mask, size=2 * width + 1, mode="constant", cval=0)
    return mask & ~inside


def _score(prefix: str, counts: NDArray[Any], *, names: Sequence[str], per_class: bool) -> dict[str, float]:
    common, either, pixels = counts
    values = ratio(common, either)
    return average_classes(prefix, values, names=names, pixels=pixels, per_class=per_class)
