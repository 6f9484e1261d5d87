"""Uncertainty of each pixel: the entropy of its probabilities, relative to the largest possible entropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.prediction.outputs.interface import Band, Drawn, Output
from segzoo.prediction.outputs.probabilities import Probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Uncertainty(Output):
    """Grey in a PNG, 0 (certain) to 255; 0 to 1 as float32 in other formats."""

    def draw(self, band: Band) -> Drawn:
        """Return ``(H, W)``, or ``(K, H, W)`` if classes overlap.

        Raises:
            OptionError: the probabilities were not kept.
        """
        # Rounded as when written, so that an image gives the same values by rows and as a whole.
        kept = np.asarray(Probabilities().draw(band))
        found = entropy(kept, overlapping=band.segmentation.labels.overlapping)
        return np.rint(found * 255).astype(np.uint8) if band.suffix == ".png" else found


def entropy(probabilities: NDArray[Any], *, overlapping: bool = False) -> NDArray[np.float32]:
    """Return the entropy of probabilities, divided by that of equal probabilities: 0 (certain) to 1.

    Args:
        probabilities: ``(K, H, W)`` that add up to 1, or ``(1, H, W)`` for the second of two classes.
        overlapping: whether classes overlap, so that each probability stands for itself.

    Returns:
        ``(H, W)``, or ``(K, H, W)`` if classes overlap.
    """
    count = len(probabilities)
    if overlapping or count == 1:
        planes = [_term(plane) + _term(1 - plane) for plane in probabilities.astype(np.float32)]
        found = np.stack(planes) if overlapping else planes[0]
        return np.clip(found / np.float32(math.log(2)), 0, 1)
    total = np.zeros(probabilities.shape[1:], np.float32)
    for plane in probabilities:
        total += _term(plane.astype(np.float32))
    return np.clip(total / np.float32(math.log(count)), 0, 1)


def _term(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``-p ln p``, which is 0 at 0."""
    logs = np.log(plane, out=np.zeros_like(plane), where=plane > 0)
    return -plane * logs
