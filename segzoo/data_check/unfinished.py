"""Masks in which only some objects have a number: 0 means not annotated there, instead of background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.data_check.report import Finding
from segzoo.datasets.subset import evenly_spread
from segzoo.errors import ImageError, MissingExtraError
from segzoo.images import read
from segzoo.labels import read_mask
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.meaning import Meaning
    from segzoo.data_check.survey import Look

#: Number of masks that are read again, together with their images.
_LOOKED_AT = 8
#: Objects stand out if this share of them lies on one side of the image's threshold.
_STANDS_OUT = 0.9
#: If this many times the pixels of the numbered objects look like them, others were left out.
_LEFT_OUT = 3.0
_LEVELS = 256


def unfinished(looks: Sequence[Look], meaning: Meaning) -> Iterator[Finding]:
    """Report images in which far more looks like the numbered objects than has a number."""
    if meaning.kind != "instances":
        return
    some = [look for look in looks if look.readable and look.mask.size == look.image.size]
    chosen = [some[index] for index in evenly_spread(len(some), _LOOKED_AT)]
    shares = [share for look in chosen for share in [_alike(look)] if share is not None]
    if not shares or np.median(shares) < _LEFT_OUT:
        return
    yield Finding(
        kind="unfinished",
        severity="warning",
        what=f"{np.median(shares):.0f} times as many pixels look like the numbered objects as have a number",
        advice=f"{many(len(shares), 'image', 'were')} checked. If 0 means not annotated there, "
        "training learns those objects as background. Number them too, or set that 0 is ignored and "
        'which numbers are background: data.instances={"0":"ignore","1-99":"object","100":"background"} '
        "data.ignore_index=255.",
        count=len(some),
    )


def _alike(look: Look) -> float | None:
    """Return how many times the objects' pixels look like them; ``None`` if the objects do not stand out."""
    try:
        pixels = read(look.image_path, page=look.page)
        numbers = read_mask(look.mask_path, page=look.page)
    except (ImageError, MissingExtraError):
        return None
    grey = pixels.astype(np.float32).mean(axis=2)
    objects = numbers > 0
    if grey.shape != objects.shape or not objects.any():
        return None
    bright = grey > _threshold(grey)
    side = bright if bright[objects].mean() >= _STANDS_OUT else ~bright
    if side[objects].mean() < _STANDS_OUT or 2 * np.count_nonzero(side) > side.size:
        return None
    # If objects are few, the threshold divides the noise: pixels like the objects must be as bright as nine
    # tenths of the objects' pixels.
    lowest, highest = np.quantile(grey[objects], [1 - _STANDS_OUT, _STANDS_OUT])
    like = grey >= lowest if side is bright else grey <= highest
    return float(np.count_nonzero(like) / (_STANDS_OUT * np.count_nonzero(objects)))


def _threshold(grey: NDArray[np.float32]) -> float:
    """Return Otsu's threshold: 10.1109/TSMC.1979.4310076."""
    low, high = np.nanpercentile(grey, [0.1, 99.9])
    counts, edges = np.histogram(grey, _LEVELS, (low, max(high, low + 1e-6)))
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    weighed = np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = weighed / below - (weighed[-1] - weighed) / above
        between: NDArray[Any] = np.nan_to_num(below * above * apart**2)
    return float(edges[1 + int(between.argmax())])
