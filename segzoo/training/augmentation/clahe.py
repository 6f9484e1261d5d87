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
    """More contrast where there is little: the histogram of each tile is made even, within a limit.

    In images of three colours the grey level is equalised, and each colour is changed by the same amount; in
    others each band is equalised by itself.

    Attributes:
        limit: least and greatest height of a histogram, as a multiple of an even one's; 1 changes hardly
            anything.
        tiles: rows and columns of tiles, as many as the image has pixels for.
        probability: how often it is done.
    """

    limit: tuple[float, float] = option(partial(read_interval, low=1, high=256), (1, 4))
    tiles: int = option(partial(read_whole, low=1, high=64), 8)
    probability: float = option(read_share, 0.5)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with more contrast."""
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
    """Return levels ``(H, W)``, of which 255 is white, with the histograms of tiles made even.

    Args:
        grey: ``(H, W)`` float32. Where it goes below 0 or above 255, so does the range that is filled.
        limit: of a bin, as a multiple of the mean bin; what is above it is shared out among all bins.
        tiles: along each side; of an image with fewer pixels there are fewer.
    """
    low, high = min(float(grey.min()), 0.0), max(float(grey.max()), 255.0)
    scaled = (grey - np.float32(low)) * np.float32((_BINS - 1) / (high - low))
    bins = np.rint(scaled).astype(np.intp)
    down, across = (_Tiles(side, min(tiles, side)) for side in grey.shape)
    places = (down.number[:, None] * across.count + across.number) * _BINS
    counts = np.bincount((places + bins).ravel(), minlength=down.count * across.count * _BINS)
    shares = counts.reshape(-1, _BINS).astype(np.float64)
    shares /= shares.sum(1, keepdims=True)
    # One part in 256 is the mean bin.
    kept = np.minimum(shares, limit / _BINS)
    kept += (1 - kept.sum(1, keepdims=True)) / _BINS
    curves = (kept.cumsum(1) * (_BINS - 1)).astype(np.float32).ravel()
    made = np.zeros(grey.shape, np.float32)
    for row, weight in ((down.before, 1 - down.share), (down.after, down.share)):
        for column, its in ((across.before, 1 - across.share), (across.after, across.share)):
            places = (row[:, None] * across.count + column) * _BINS
            made += np.take(curves, places + bins) * (weight[:, None] * its)
    # What lies between two bins of floats stays between their levels.
    made += scaled - bins
    return made * np.float32((high - low) / (_BINS - 1)) + np.float32(low)


class _Tiles:
    """Tiles along one side: the tile that each pixel lies in, and the two whose middles it lies between."""

    def __init__(self, side: int, count: int) -> None:
        self.count = count
        self.number: NDArray[np.intp] = np.arange(side) * count // side
        place = (np.arange(side) + 0.5) * (count / side) - 0.5
        first = np.floor(place)
        self.share: NDArray[Any] = (place - first).astype(np.float32)
        self.before: NDArray[np.intp] = first.clip(0, count - 1).astype(np.intp)
        self.after: NDArray[np.intp] = (first + 1).clip(0, count - 1).astype(np.intp)
