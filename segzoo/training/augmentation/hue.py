"""Hue, saturation and value, as arrays ``(H, W)`` float32.

torchvision changes hue too, but takes five times as long for it on one core, and has neither the shifts of
saturation and value nor the multiplied hue that recipes ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segzoo.training.augmentation.step import Bytes

    Plane = NDArray[np.float32]

#: Pixels in a band: a plane of it is 128 KB.
_BAND = 1 << 15


def to_hsv(planes: Plane) -> tuple[Plane, Plane, Plane]:
    """Return hue in sixths of a turn, saturation in [0, 1] and value of red, green and blue ``(3, H, W)``.

    Hue lies in [0, 6), with red 0, green 2 and blue 4; grey has hue 0.
    """
    red, green, blue = planes
    value = np.maximum(np.maximum(red, green), blue)
    chroma = value - np.minimum(np.minimum(red, green), blue)
    share = 1 / np.maximum(chroma, 1e-3)
    hue = np.where(
        value == red,
        (green - blue) * share,
        np.where(value == green, (blue - red) * share + 2, (red - green) * share + 4),
    )
    return np.where(hue < 0, hue + 6, hue), chroma / np.maximum(value, 1e-3), value


def to_rgb(hue: Plane, saturation: Plane, value: Plane) -> Plane:
    """Return red, green and blue ``(3, H, W)``; hue may be any number of sixths of a turn."""
    hue = hue - 6 * np.floor(hue * np.float32(1 / 6))
    chroma = value * saturation
    least = value - chroma
    planes = np.empty((3, *hue.shape), np.float32)
    ramps = np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)
    for channel, ramp in enumerate(ramps):
        np.multiply(ramp.clip(0, 1, out=ramp), chroma, out=planes[channel])
    planes += least
    return planes


def recoloured(image: Bytes, change: Callable[[Plane], Plane]) -> Bytes:
    """Return an image ``(H, W, 3)`` changed pixel by pixel, in bands that stay in a core's cache.

    Args:
        image: ``(H, W, 3)`` uint8.
        change: of ``(3, rows, W)`` float32 from 0 to 255, to as much.
    """
    height, width = image.shape[:2]
    rows = max(_BAND // width, 1)
    out = np.empty(image.shape, np.uint8)
    for first in range(0, height, rows):
        band = slice(first, first + rows)
        planes = np.ascontiguousarray(image[band].transpose(2, 0, 1)).astype(np.float32)
        for channel, plane in enumerate(change(planes)):
            plane += np.float32(0.5)
            out[band, :, channel] = plane
    return out
