"""Light and camera: uneven illumination, and dim exposures that use few grey levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from segzoo.training.augmentation.step import (
    Step,
    like,
    log_uniform,
    option,
    read_interval,
    read_share,
    read_whole,
    uniform,
    white,
)

if TYPE_CHECKING:
    from segzoo.training.augmentation.step import Pixels


@dataclass(frozen=True, kw_only=True)
class Shade(Step):
    """Uneven illumination: the image is multiplied by one smooth field, and another is added.

    Both fields interpolate random numbers on a coarse grid. The strength of each is also random, from 0 to
    the option's value. All bands change equally.

    Attributes:
        gain: maximum difference of the multiplied field from 1.
        haze: maximum of the added field, where white is 1.
        vignette: maximum loss of light in the corners; the centre loses none.
        points: number of points of the coarse grid along each side.
        probability: probability of applying the step.
    """

    gain: float = option(read_share, 0.3)
    haze: float = option(read_share, 0.1)
    vignette: float = option(read_share, 0.3)
    points: int = option(partial(read_whole, low=2, high=64), 3)
    probability: float = option(read_share, 0.5)

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with changed illumination."""
        gain, haze, vignette = random.uniform(0, 1, 3) * (self.gain, self.haze, self.vignette)
        nodes = torch.from_numpy(random.uniform(-1, 1, (1, 2, self.points, self.points)).astype(np.float32))
        fields = interpolate(nodes, size=image.shape[:2], mode="bicubic", align_corners=True)[0]
        light, added = fields.clamp_(-1, 1).numpy()
        height, width = image.shape[:2]
        # From -1 to 1 across the image, so that corners lie at a squared distance of 2 from the centre.
        y, x = (
            np.linspace(-1, 1, side, dtype=np.float32) if side > 1 else np.zeros(1, np.float32)
            for side in (height, width)
        )
        factor = (1 + np.float32(gain) * light) * (1 - np.float32(vignette / 2) * (y[:, None] ** 2 + x**2))
        added = (added + 1) * np.float32(haze / 2 * white(image))
        return like(image, image * factor[..., None] + added[..., None])


@dataclass(frozen=True, kw_only=True)
class Exposure(Step):
    """A dim exposure: the image uses only a few grey levels above an offset, with shot noise.

    The range from the 0.5th to the 99.5th percentile of all bands becomes ``levels`` of the 255 grey
    levels, but never more than the image has. Then noise is added and levels are rounded, which stays
    visible if the image is brightened again. A grey image that is stored in three bands stays grey.

    Attributes:
        levels: minimum and maximum range of grey levels, drawn on a logarithmic scale.
        offset: minimum and maximum grey level of the darkest part.
        noise: minimum and maximum variance of the shot noise, for each grey level of light; 0 is none.
        stretch: probability of stretching the range back, as a percentile intensity does.
        probability: probability of applying the step.
    """

    levels: tuple[float, float] = option(partial(read_interval, low=1, high=255), (8, 64))
    offset: tuple[float, float] = option(partial(read_interval, low=0, high=255), (0, 40))
    noise: tuple[float, float] = option(partial(read_interval, low=0, high=10), (0, 0.2))
    stretch: float = option(read_share, 0.0)
    probability: float = option(read_share, 0.5)

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image as a camera would record it in dim light."""
        wanted = log_uniform(random, self.levels)
        offset, noise = uniform(random, self.offset), uniform(random, self.noise)
        stretched = random.random() < self.stretch
        unit = np.float32(255 / white(image))
        levels = image * unit
        # Percentiles of a sample of the pixels are as good, and nine times as fast.
        low, high = np.percentile(levels[::3, ::3], (0.5, 99.5))
        scale = min(wanted / max(high - low, 1e-3), 1.0)
        levels -= np.float32(low)
        levels *= np.float32(scale)
        levels += np.float32(offset)
        levels.clip(0, None, out=levels)
        if noise:
            # A grey image that is stored in three bands gets one noise, so that it stays grey.
            bands = 1 if (image == image[..., :1]).all() else image.shape[2]
            drawn = random.standard_normal((*image.shape[:2], bands), np.float32)
            levels += np.sqrt(levels * np.float32(noise)) * drawn
        levels = np.rint(levels).clip(0, 255)
        if stretched:
            levels = (levels - np.float32(offset)) * np.float32(1 / scale) + np.float32(low)
        return like(image, levels / unit)
