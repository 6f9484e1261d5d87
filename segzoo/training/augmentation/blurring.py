"""Blur and noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchvision.transforms.v2.functional as T

from segzoo.training.augmentation.options import option, read_interval, read_share
from segzoo.training.augmentation.resizing import writable
from segzoo.training.augmentation.step import Step, uniform

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.training.augmentation.step import Bytes


@dataclass(frozen=True, kw_only=True)
class Blur(Step):
    """A Gaussian blur.

    Attributes:
        sigma: least and greatest standard deviation, in pixels.
        probability: how often it is done.
    """

    sigma: tuple[float, float] = option(partial(read_interval, low=0.01, high=100), (0.1, 2.0))
    probability: float = option(read_share, 0.5)

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image, blurred."""
        pixels = torch.from_numpy(writable(image)).movedim(-1, 0).float()
        return smoothed(pixels, uniform(random, self.sigma)).round_().byte().movedim(0, -1).numpy()


@dataclass(frozen=True, kw_only=True)
class Noise(Step):
    """Gaussian noise, of its own at every pixel and channel.

    Attributes:
        std: least and greatest standard deviation, where white is 1.
        probability: how often it is done.
    """

    std: tuple[float, float] = option(partial(read_interval, low=0, high=1), (0.0, 0.05))
    probability: float = option(read_share, 0.5)

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image with noise."""
        std = np.float32(uniform(random, self.std) * 255)
        noisy = random.standard_normal(image.shape, np.float32)
        noisy *= std
        noisy += image
        return np.rint(noisy.clip(0, 255, out=noisy)).astype(np.uint8)


def smoothed(pixels: Tensor, sigma: float) -> Tensor:
    """Smooth ``(C, H, W)`` with a Gaussian of ``sigma`` pixels, cut at three; one side after the other."""
    for side, axis in enumerate((-1, -2)):
        # A border is mirrored, which a reach longer than the image cannot be.
        reach = min(ceil(3 * sigma), pixels.shape[axis] - 1)
        kernel = [1, 1]
        kernel[side] = 2 * reach + 1
        pixels = T.gaussian_blur(pixels, kernel, [sigma, sigma]) if reach else pixels
    return pixels
