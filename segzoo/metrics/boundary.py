"""Boundary IoU: the overlap of the masks' boundary regions, to which large interiors contribute nothing.

Paper: Cheng et al., 2021, arXiv:2103.16562. The boundary region of a mask is the part of it within ``d``
pixels of its edge; the image's border is an edge too, as in the authors' code.
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
    """IoU of the boundary regions of each class, per image and pooled.

    Args:
        labels: labels of the classes.
        dilation: width of the boundary region, as a share of the image's diagonal; at least one pixel.
        background: whether the background is included in the mean.
        per_class: whether to return the score of each class as well.

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
    """Return the intersection and union of both boundary regions, and 1 if the image has pixels."""
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
    # Erosion by a square is a running minimum along each axis in turn.
    inside = load_ndimage().minimum_filter(mask, size=2 * width + 1, mode="constant", cval=0)
    return mask & ~inside


def _score(prefix: str, counts: NDArray[Any], *, names: Sequence[str], per_class: bool) -> dict[str, float]:
    common, either, pixels = counts
    values = ratio(common, either)
    return average_classes(prefix, values, names=names, pixels=pixels, per_class=per_class)
