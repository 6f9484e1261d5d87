"""Distances between the surfaces of masks: 95th percentile Hausdorff distance, and the average.

Surface: the pixels of a mask that share an edge with a pixel outside of it or with the image's border. HD95
is the larger of the 95th percentiles of both directions (with linear interpolation); the average is over the
surface pixels of both masks. Other programs differ: some use one percentile of both directions together.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.contract import describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.metrics.counting import Counted, average_classes
from segzoo.metrics.extras import load_ndimage
from segzoo.options import check_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels

_MEASURES = {"hd95": "95th percentile Hausdorff distance", "asd": "average symmetric surface distance"}


def surface_distance(
    *,
    labels: Labels,
    measure: Literal["hd95", "asd"] = "hd95",
    spacing: tuple[float, float] = (1.0, 1.0),
    background: bool = False,
    per_class: bool = False,
) -> Counted:
    """A distance between the surfaces of each class, per image; 0 is perfect.

    Args:
        labels: labels of the classes.
        measure: ``hd95`` or ``asd``.
        spacing: height and width of a pixel, in the desired unit.
        background: whether the background is included in the mean.
        per_class: whether to return the score of each class as well.

    Raises:
        OptionError: there is no such measure, or the spacing is not above 0.
        MissingExtraError: SciPy is not installed.
    """
    check_choice("measure", measure, tuple(_MEASURES))
    if len(spacing) != 2 or not min(spacing) > 0:
        raise OptionError(f"spacing must be two numbers above 0, height and width of a pixel; got {spacing}")
    load_ndimage()
    classes = scored_classes(labels, background=background)
    unit = (
        "pixels" if tuple(spacing) == (1, 1) else f"units of which a pixel is {spacing[0]:g} x {spacing[1]:g}"
    )
    return Counted(
        labels=labels,
        contract=write_contract(
            f"{_MEASURES[measure]} in {unit} (lower is better)",
            classes=describe_classes(labels, classes),
            average="per_image = mean over images of the mean over classes",
            empty="a class in neither mask has the distance 0; in one mask only, the image's diagonal",
            ignored=f"{describe_ignored(labels)}; they belong to no class, and edges against them are edges",
        ),
        shape=(2, len(classes)),
        count=partial(_count, classes=classes, measure=measure, spacing=(spacing[0], spacing[1])),
        per_image=partial(_score, names=[labels.classes[index] for index in classes], per_class=per_class),
    )


def _score(counts: NDArray[Any], *, names: Sequence[str], per_class: bool) -> dict[str, float]:
    values = np.where(counts[1] > 0, counts[0], np.nan)
    return average_classes("per_image", values, names=names, per_class=per_class)


def _count(
    image: Image, *, classes: Sequence[int], measure: str, spacing: tuple[float, float]
) -> NDArray[np.float64]:
    """Return each class's distance, and whether the image has pixels that count."""
    diagonal = math.hypot(*(side * step for side, step in zip(image.size, spacing, strict=True)))
    distances = [_distance(*image.of_class(index), measure, spacing, diagonal) for index in classes]
    return np.array([distances, [image.pixels(index) > 0 for index in classes]], np.float64)


def _distance(
    predicted: NDArray[np.bool_],
    true: NDArray[np.bool_],
    measure: str,
    spacing: tuple[float, float],
    diagonal: float,
) -> float:
    if not predicted.any() or not true.any():
        return diagonal if predicted.any() or true.any() else 0.0
    box = _bounding_box(predicted | true)
    surfaces = [_surface(mask[box]) for mask in (predicted, true)]
    transform = load_ndimage().distance_transform_edt
    there, back = (transform(~other, sampling=spacing)[one] for one, other in (surfaces, surfaces[::-1]))
    if measure == "hd95":
        return float(max(np.percentile(there, 95), np.percentile(back, 95)))
    return float((there.sum() + back.sum()) / (there.size + back.size))


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    # Pixels at the box's border touch a pixel outside of the mask, or the image's border.
    inside[[0, -1]] = inside[:, [0, -1]] = False
    return mask & ~inside


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
