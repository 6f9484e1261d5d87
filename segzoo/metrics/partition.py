"""Scores of partitions, for membranes: foreground-restricted Rand and information scores.

Paper: Arganda-Carreras et al., 2015, doi 10.3389/fnana.2015.00142 (the ISBI 2012 challenge). Only pixels
inside true segments count; predicted membrane pixels there count as segments of one pixel each, as in the
challenge's scripts. The challenge also thins predicted membranes first, which is not done here.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.contract import describe_ignored, write_contract
from segzoo.metrics.counting import Counted
from segzoo.metrics.extras import load_ndimage
from segzoo.metrics.objects import Meetings, describe_objects, label_class, meet
from segzoo.options import check_choice, check_connectivity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.metrics.image import Image
    from segzoo.specs import Labels

_FORMULAS = {
    "rand": "V_rand = sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2), the Rand error being 1 - V_rand; "
    "split over t_j^2 alone, merge over s_i^2 alone",
    "info": "V_info = 2 I(S; T) / (H(S) + H(T)); split over H(S) alone, merge over H(T) alone",
}


def partition_score(
    *,
    labels: Labels,
    measure: Literal["rand", "info"] = "rand",
    segments: int | None = None,
    connectivity: int = 4,
) -> Counted:
    """A foreground-restricted score of segments, per image; ``/split`` and ``/merge`` are its two parts.

    Args:
        labels: labels of the classes.
        measure: ``rand`` or ``info``.
        segments: index of the class whose connected components are the segments: the cells, not the
            membranes. ``None`` uses the first class that is not background.
        connectivity: 4 or 8, for the components.

    Raises:
        OptionError: there is no such measure or class, or connectivity is neither 4 nor 8.
        MissingExtraError: SciPy is not installed.
    """
    check_choice("measure", measure, tuple(_FORMULAS))
    if segments is None:
        segments = labels.foreground[0]
    if not 0 <= segments < len(labels.classes):
        raise OptionError(f"segments must be a class index, 0 to {len(labels.classes) - 1}, got {segments}")
    check_connectivity(connectivity)
    load_ndimage()
    return Counted(
        labels=labels,
        contract=write_contract(
            f"{_FORMULAS[measure]}; {describe_objects(connectivity)}",
            classes=f"segments of {labels.classes[segments]} (all else is between them)",
            average="per_image = mean over images",
            empty="an image without true segments is left out",
            ignored=f"{describe_ignored(labels)}; pixels outside true segments; predicted pixels of no "
            "segment are segments of one pixel",
        ),
        shape=(4,),
        count=partial(_count, measure=measure, segments=segments, connectivity=connectivity),
        per_image=_score,
    )


def _score(counts: NDArray[Any]) -> dict[str, float]:
    names = ("per_image", "per_image/split", "per_image/merge")
    values = counts[:3].tolist() if counts[3] else [math.nan] * 3
    return dict(zip(names, values, strict=True))


def _count(image: Image, *, measure: str, segments: int, connectivity: int) -> NDArray[np.float64]:
    """Return the score, split, merge, and whether there was anything to score."""
    meetings = meet(*label_class(image, segments, connectivity))
    inside = meetings.true > 0
    if not inside.any():
        return np.zeros(4)
    meetings = Meetings(meetings.predicted[inside], meetings.true[inside], meetings.pixels[inside])
    single = int(meetings.pixels[meetings.predicted == 0].sum())
    pairs = meetings.pixels[meetings.predicted > 0]
    predicted = meetings.areas(meetings.predicted)[1:]
    true = meetings.areas(meetings.true)
    score = _rand if measure == "rand" else _information
    return np.array([*score(pairs, predicted, true, single), 1.0])


def _rand(
    pairs: NDArray[np.int64], predicted: NDArray[np.int64], true: NDArray[np.int64], single: int
) -> tuple[float, float, float]:
    both, ours, theirs = (
        float(np.square(pixels.astype(np.float64)).sum()) + more
        for pixels, more in ((pairs, single), (predicted, single), (true, 0))
    )
    return 2 * both / (ours + theirs), both / theirs, both / ours


def _information(
    pairs: NDArray[np.int64], predicted: NDArray[np.int64], true: NDArray[np.int64], single: int
) -> tuple[float, float, float]:
    total = int(true.sum())
    joint, ours, theirs = (
        _entropy(pixels, total, more) for pixels, more in ((pairs, single), (predicted, single), (true, 0))
    )
    shared = max(ours + theirs - joint, 0.0)
    # With one segment on each side, there is no information and no error.
    return tuple(
        min(shared / entropy, 1.0) if entropy > 0 else 1.0 for entropy in ((ours + theirs) / 2, ours, theirs)
    )  # pyright: ignore[reportReturnType]


def _entropy(pixels: NDArray[np.int64], total: int, single: int) -> float:
    shares = pixels[pixels > 0] / total
    return float(-(shares * np.log(shares)).sum()) + single / total * math.log(total)
