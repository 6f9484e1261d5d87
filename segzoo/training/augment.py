"""Augmentation of image and mask together, decided by one random generator a sample.

A crop at a random place and scale, mirrored where the image is smaller; a flip and a right-angle
turn; brightness, contrast, saturation and hue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torchvision.transforms.v2.functional as T
from torchvision.transforms import InterpolationMode

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.training.recipe import Recipe


def augment(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], recipe: Recipe, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a crop of ``(crop, crop, C)`` and its mask, ``(crop, crop)``."""
    low, high = np.log(recipe.scale)
    side = max(round(recipe.crop / float(np.exp(random.uniform(low, high)))), 1)
    rows, columns = (_window(size, side, random) for size in mask.shape)
    image, mask = image[np.ix_(rows, columns)], mask[np.ix_(rows, columns)]
    turns, flip = int(random.integers(4)), bool(random.integers(2))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    if flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    pixels = _resize(torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0), recipe.crop, "bilinear")
    classes = _resize(torch.from_numpy(np.ascontiguousarray(mask))[None], recipe.crop, "nearest-exact")
    pixels = _recolour(pixels, recipe.jitter, random)
    return pixels.movedim(0, -1).numpy(), classes[0].numpy()


def _window(size: int, side: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Return ``side`` positions in a row of ``size``, continued by mirroring where it is too short."""
    start = int(random.integers(min(0, size - side), max(0, size - side) + 1))
    last = max(size - 1, 1)
    return np.minimum(last - np.abs(np.mod(np.arange(start, start + side), 2 * last) - last), size - 1)


def _resize(pixels: Tensor, side: int, mode: str) -> Tensor:
    if pixels.shape[-1] == side:
        return pixels
    return T.resize(pixels, [side, side], interpolation=InterpolationMode(mode), antialias=True)


def _recolour(pixels: Tensor, jitter: float, random: np.random.Generator) -> Tensor:
    if not jitter or pixels.shape[0] not in (1, 3):
        return pixels
    brightness, contrast, saturation = 1 + random.uniform(-jitter, jitter, 3)
    pixels = T.adjust_contrast(T.adjust_brightness(pixels, brightness), contrast)
    if pixels.shape[0] == 3:
        pixels = T.adjust_saturation(pixels, saturation)
        pixels = T.adjust_hue(pixels, float(random.uniform(-jitter, jitter)) / 5)
    return pixels
