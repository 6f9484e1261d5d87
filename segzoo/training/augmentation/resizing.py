"""Pixels of another size or place: antialiased images, masks of nearest pixels, mirrored continuations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torchvision.transforms.v2.functional as T
from torchvision.transforms import InterpolationMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.training.augmentation.options import Size
    from segzoo.training.augmentation.step import Bytes, Pair


def resized(image: Bytes, mask: Bytes, size: Size, interpolation: str = "bilinear") -> Pair:
    """Return image and mask at ``size``, ``(height, width)``."""
    if mask.shape == size:
        return image, mask
    pixels = torch.from_numpy(writable(image)).movedim(-1, 0)
    pixels = T.resize(pixels, list(size), interpolation=InterpolationMode(interpolation), antialias=True)
    return pixels.movedim(0, -1).numpy(), at(
        mask, nearest(mask.shape[0], size[0]), nearest(mask.shape[1], size[1])
    )


def nearest(size: int, wanted: int) -> NDArray[np.intp]:
    """Return for each of ``wanted`` positions the nearest of ``size``, centre to centre."""
    return np.minimum((np.arange(wanted) + 0.5) * (size / wanted), size - 1).astype(np.intp)


def mirrored(size: int, start: int, side: int) -> NDArray[np.intp]:
    """Return ``side`` positions from ``start`` in a row of ``size``, which its mirror images continue."""
    last = max(size - 1, 1)
    positions = np.mod(np.arange(start, start + side), 2 * last)
    return np.minimum(last - np.abs(positions - last), size - 1)


def at(pixels: Bytes, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Bytes:
    """Return the pixels where ``rows`` and ``columns`` cross."""
    return np.take(pixels[rows], columns, axis=1)


def writable(pixels: Bytes) -> Bytes:
    """Return pixels in C order in memory that may be written to, as torch demands; a copy where need be."""
    return np.require(pixels, requirements=("C", "W"))
