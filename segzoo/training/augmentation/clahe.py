"""Contrast limited adaptive histogram equalisation.

Paper: Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.training.augmentation.colour import LUMA
from segzoo.training.augmentation.step import (
    Step,
    like,
    option,
    read_interval,
    read_share,
    read_whole,
    uniform,
    white,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.training.augmentation.colour import Plane
    from segzoo.training.augmentation.step import Pixels

_BINS = 256


@dataclass(frozen=True, kw_only=True)
class Clahe(Step):
    """Local contrast enhancement (CLAHE): the histogram of each tile is equalised, within a limit.

    In RGB images the grey level is equalised, and each colour changes by the same amount; in other images
    each band is equalised separately.

    Attributes:
        limit: minimum and maximum height of a histogram, as a multiple of a flat one's; 1 has hardly any
            effect.
        tiles: number of rows and columns of tiles, fewer if the image is too small.
        probability: probability of applying the step.
    """

    limit: tuple[float, float] = option(partial(read_interval, low=1, high=256), (1, 4))
    tiles: int = option(partial(read_whole, low=1, high=64), 8)
    probability: float = option(read_share, 0.5)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with enhanced contrast."""
        limit, unit = uniform(random, self.limit), np.float32(255 / white(image))
        levels = image * unit
        if image.shape[2] == 3:
            grey = levels @ LUMA
            levels += (equalised(grey, limit, self.tiles) - grey)[..., None]
        else:
            planes = [equalised(levels[..., band], limit, self.tiles) for band in range(levels.shape[2])]
            levels = np.stack(planes, axis=-1)
        return like(image, levels / unit)


def equalised(grey: Plane, limit: float, tiles: int) -> Plane:
    """Return levels ``(H, W)``, in which 255 is white, with the histograms of tiles equalised.

    Args:
        grey: ``(H, W)`` float32. If it goes below 0 or above 255, the output range is as large.
        limit: limit of a bin, as a multiple of the mean bin; the excess is distributed over all bins.
        tiles: number of tiles along each side; fewer if the image has fewer pixels.
    """
    low, high = min(float(grey.min()), 0.0), max(float(grey.max()), 255.0)
    scaled = (grey - np.float32(low)) * np.float32((_BINS - 1) / (high - low))
    bins = np.rint(scaled).astype(np.intp)
    down, across = (_Tiles(side, min(tiles, side)) for side in grey.shape)
    places = (down.number[:, None] * across.count + across.number) * _BINS
    counts = np.bincount((places + bins).ravel(), minlength=down.count * across.count * _BINS)
    shares = counts.reshape(-1, _BINS).astype(np.float64)
    shares /= shares.sum(1, keepdims=True)
    # The mean bin holds one part in 256.
    kept = np.minimum(shares, limit / _BINS)
    kept += (1 - kept.sum(1, keepdims=True)) / _BINS
    curves = (kept.cumsum(1) * (_BINS - 1)).astype(np.float32).ravel()
    made = np.zeros(grey.shape, np.float32)
    for row, weight in ((down.before, 1 - down.share), (down.after, down.share)):
        for column, its in ((across.before, 1 - across.share), (across.after, across.share)):
            places = (row[:, None] * across.count + column) * _BINS
            made += np.take(curves, places + bins) * (weight[:, None] * its)
    # A float between two bins stays between their levels.
    made += scaled - bins
    return made * np.float32((high - low) / (_BINS - 1)) + np.float32(low)


class _Tiles:
    """Tiles along one side: the tile of each pixel, and the two tiles whose centres it lies between."""

    def __init__(self, side: int, count: int) -> None:
        self.count = count
        self.number: NDArray[np.intp] = np.arange(side) * count // side
        place = (np.arange(side) + 0.5) * (count / side) - 0.5
        first = np.floor(place)
        self.share: NDArray[Any] = (place - first).astype(np.float32)
        self.before: NDArray[np.intp] = first.clip(0, count - 1).astype(np.intp)
        self.after: NDArray[np.intp] = (first + 1).clip(0, count - 1).astype(np.intp)
