"""Findings about unusual images: a single colour, much darker, brighter or flatter, or grey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.data_check.report import Finding
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.data_check.survey import Look

#: Minimum number of images to define what is usual, and the maximum share of unusual ones.
_FEWEST, _FEW = 8, 0.05
#: Minimum distance from the median, in robust standard deviations, and in levels of 255.
_FAR, _LEVELS = 6.0, 40.0
#: An image with less than this share of the usual contrast is flat.
_FLAT = 0.2
#: Maximum difference between the colours of grey images, and usual minimum for colour images, in levels.
_GREY, _COLOURED = 1.0, 8.0
#: Converts the median absolute deviation to a standard deviation, for a normal distribution.
_NORMAL = 1.4826
_SHOWN = 20


def outliers(looks: Sequence[Look]) -> Iterator[Finding]:
    """Report images of a single colour, and unusual images."""
    looks = [look for look in looks if look.readable and look.image.sketch is not None]
    uniform = {look: None for look in looks if look.image.uniform}
    if uniform:
        yield Finding(
            kind="uniform",
            severity="warning",
            what=f"{many(len(uniform), 'image', 'have')} a single colour",
            advice="They show nothing: a closed shutter, an empty export, or an incomplete file? A network "
            "learns nothing from them. Remove them.",
            count=len(uniform),
            examples=tuple(dict.fromkeys(look.image_path for look in uniform))[:_SHOWN],
        )
    rest = [look for look in looks if look not in uniform]
    told = _unlike(rest) if len(rest) >= _FEWEST else []
    if told:
        yield Finding(
            kind="outliers",
            severity="note",
            what=f"{many(len(told), 'image', 'are')} unlike the others",
            advice="Check them. Keep images of another camera, exposure or subject only if you will also "
            "predict such images.",
            count=len(told),
            examples=tuple(told[:_SHOWN]),
        )


def _unlike(looks: Sequence[Look]) -> list[str]:
    """Return the unusual images, with the reason."""
    sketches = [np.asarray(look.image.sketch) for look in looks]
    light = np.array([sketch.mean() for sketch in sketches])
    contrast = np.array([sketch.std() for sketch in sketches])
    tint = np.array([look.image.tint for look in looks])
    middle = float(np.median(light))
    usual = float(np.median(contrast))
    away = np.maximum(_FAR * _spread(light), _LEVELS)
    found = {
        "far darker": light < middle - away,
        "far brighter": light > middle + away,
        "far less contrast": (contrast < _FLAT * usual) & (contrast < usual - _FAR * _spread(contrast) / 2),
        "grey among colour images": (tint < _GREY) & (np.median(tint) >= _COLOURED),
        "colour among grey images": (tint >= _COLOURED) & (np.median(tint) < _GREY),
    }
    reasons: dict[int, list[str]] = {}
    for reason, which in found.items():
        if which.sum() <= max(1, _FEW * len(looks)):
            for index in np.flatnonzero(which):
                reasons.setdefault(int(index), []).append(reason)
    return [
        f"{looks[index].image_path}: {', '.join(why)} (mean {light[index]:.0f}, contrast "
        f"{contrast[index]:.0f}; usual {middle:.0f} and {usual:.0f} of 255)"
        for index, why in sorted(reasons.items())
    ]


def _spread(values: NDArray[np.float64]) -> float:
    """Return the standard deviation estimated from the middle half of the values."""
    return float(_NORMAL * np.median(np.abs(values - np.median(values))))
