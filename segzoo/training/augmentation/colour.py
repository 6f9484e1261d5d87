"""Steps that change colours.

They get only those bands of an image that are colours. Hue and saturation need red, green and blue without
values below black; in other images only brightness, contrast or value change, equally in all bands. Bytes are
clipped to 0 to 255; floats, in which 1 is white, may exceed that range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.training.augmentation.step import (
    Step,
    like,
    log_uniform,
    option,
    read_choice,
    read_factors,
    read_limit,
    read_number,
    read_share,
    uniform,
    white,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segzoo.training.augmentation.step import Pixels

    Plane = NDArray[np.float32]
    Levels = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Color(Step):
    """Brightness, contrast, saturation and hue.

    Brightness, contrast and saturation are multiplied by numbers from ``[1 - strength, 1 + strength]``; hue
    shifts by up to a fifth of ``strength``, where 1 is a full turn.

    Attributes:
        strength: strength of the change, 0 to 1.
        probability: probability of applying the step.
    """

    strength: float = option(read_share, 0.3)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with changed colours."""
        brightness, contrast, saturation = 1 + random.uniform(-self.strength, self.strength, 3)
        hue = float(random.uniform(-self.strength, self.strength)) / 5
        # Contrast must not bring back what brightness clipped; the mean is computed before the clipping.
        still, bytes_ = mean_grey(image) * brightness, image.dtype == np.uint8

        def contrasted(levels: Levels) -> Levels:
            bright = levels * brightness
            return still + contrast * ((bright.clip(0, 255) if bytes_ else bright) - still)

        image = mapped(image, contrasted)
        if not has_hue(image) or not self.strength:
            return image

        def change(planes: Plane) -> Plane:
            grey = np.tensordot(LUMA, planes, 1)
            planes -= grey
            planes *= np.float32(saturation)
            planes += grey
            turned, saturated, value = to_hsv(planes.clip(0, 255 if bytes_ else None, out=planes))
            return to_rgb(turned + np.float32(6 * hue), saturated, value)

        return recoloured(image, change)


@dataclass(frozen=True, kw_only=True)
class HueSaturationValue(Step):
    """Adds the same values to every pixel's hue, saturation and value.

    Attributes:
        hue: maximum change in either direction, or ``[minimum, maximum]``, where 180 is a full turn.
        saturation: maximum change in either direction, or ``[minimum, maximum]``, where 255 is full
            saturation.
        value: maximum change in either direction, or ``[minimum, maximum]``, where 255 is full brightness.
        probability: probability of applying the step.
    """

    hue: tuple[float, float] = option(read_limit(180), 20)
    saturation: tuple[float, float] = option(read_limit(255), 30)
    value: tuple[float, float] = option(read_limit(255), 20)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with changed colours."""
        hue, saturation, value = (uniform(random, limit) for limit in (self.hue, self.saturation, self.value))
        most = 255 if image.dtype == np.uint8 else None
        if not has_hue(image):
            return mapped(image, lambda levels: levels + value)

        def change(planes: Plane) -> Plane:
            turned, saturated, bright = to_hsv(planes)
            saturated = (saturated + np.float32(saturation / 255)).clip(0, 1)
            bright = (bright + np.float32(value)).clip(0, most)
            return to_rgb(turned + np.float32(hue / 30), saturated, bright)

        return recoloured(image, change)


@dataclass(frozen=True, kw_only=True)
class Hsv(Step):
    """Multiplies every pixel's hue, saturation and value by numbers near 1.

    Hue is the angle from red, in turns; values beyond a full turn wrap around.

    Attributes:
        hue: maximum difference of the hue's factor from 1.
        saturation: maximum difference of the saturation's factor from 1.
        value: maximum difference of the value's factor from 1.
        probability: probability of applying the step.
    """

    hue: float = option(partial(read_number, low=0, high=1), 0.1)
    saturation: float = option(partial(read_number, low=0, high=1), 0.7)
    value: float = option(partial(read_number, low=0, high=1), 0.3)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with changed colours."""
        drawn = 1 + random.uniform(-1, 1, 3) * (self.hue, self.saturation, self.value)
        hue, saturation, value = drawn.astype(np.float32)
        most = 255 if image.dtype == np.uint8 else None
        if not has_hue(image):
            return mapped(image, lambda levels: levels * value)

        def change(planes: Plane) -> Plane:
            turned, saturated, bright = to_hsv(planes)
            return to_rgb(turned * hue, (saturated * saturation).clip(0, 1), (bright * value).clip(0, most))

        return recoloured(image, change)


@dataclass(frozen=True, kw_only=True)
class Grey(Step):
    """Replaces red, green and blue by their grey level; other images do not change.

    Attributes:
        probability: probability of applying the step.
    """

    probability: float = option(read_share, 0.1)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image without colour."""
        del random
        if image.shape[2] != 3:
            return image
        grey = like(image, np.tensordot(image, LUMA, 1))
        return np.repeat(grey[..., None], 3, axis=2)


# Hue, saturation and value, as arrays ``(H, W)`` float32.
#
# torchvision changes hue too, but is five times slower on one core, and has neither the shifts of saturation
# and value nor the multiplied hue that recipes need.

#: Pixels in a strip of rows: a plane of it is 128 KB.
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


def recoloured(image: Pixels, change: Callable[[Plane], Plane]) -> Pixels:
    """Return an image ``(H, W, 3)`` changed pixel by pixel, in strips that stay in a core's cache.

    Args:
        image: ``(H, W, 3)``.
        change: maps ``(3, rows, W)`` float32, in which 255 is white, to the same shape.
    """
    height, width = image.shape[:2]
    rows = max(_BAND // width, 1)
    out, scale = np.empty(image.shape, image.dtype), np.float32(255 / white(image))
    for first in range(0, height, rows):
        band = slice(first, first + rows)
        planes = np.array(image[band].transpose(2, 0, 1), np.float32, order="C")
        if scale != 1:
            planes *= scale
        for channel, plane in enumerate(change(planes)):
            if scale != 1:
                plane /= scale
            else:
                plane += np.float32(0.5)
            out[band, :, channel] = plane
    return out


def has_hue(image: Pixels) -> bool:
    """Whether an image has a hue: red, green and blue, without values below black."""
    return image.shape[2] == 3 and (image.dtype == np.uint8 or not (image < 0).any())


# Brightness, contrast and gamma: the same for all bands. Bytes have only 256 levels, so a table is enough.

LEVELS = np.arange(256, dtype=np.float32)
#: Weights of red, green and blue in a grey level (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, kw_only=True)
class Brightness(Step):
    """Adds the same value to every pixel.

    Attributes:
        limit: maximum change in either direction, or ``[minimum, maximum]``, where white is 1.
        probability: probability of applying the step.
    """

    limit: tuple[float, float] = option(read_limit(1), 0.2)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the brighter or darker image."""
        added = 255 * uniform(random, self.limit)
        return mapped(image, lambda levels: levels + added)


@dataclass(frozen=True, kw_only=True)
class Contrast(Step):
    """Multiplies differences from the image's mean grey level, or from black.

    Attributes:
        limit: maximum difference of the factor from 1, or ``[minimum, maximum]``.
        about: the level that does not change: ``mean`` or ``black``.
        probability: probability of applying the step.
    """

    limit: tuple[float, float] = option(read_limit(1), 0.2)
    about: str = option(read_choice("mean", "black"), "mean")
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with more or less contrast."""
        still = mean_grey(image) if self.about == "mean" else 0.0
        factor = 1 + uniform(random, self.limit)
        return mapped(image, lambda levels: still + factor * (levels - still))


@dataclass(frozen=True, kw_only=True)
class Gamma(Step):
    """Raises pixels, where white is 1, to the power of gamma.

    Attributes:
        gamma: minimum and maximum, drawn on a logarithmic scale: 2 is as likely as 0.5.
        probability: probability of applying the step.
    """

    gamma: tuple[float, float] = option(read_factors, (0.7, 1.5))
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with darker or brighter middle levels."""
        gamma = log_uniform(random, self.gamma)
        # Values below black are mirrored, so that they stay below black.
        return mapped(image, lambda levels: np.copysign(255 * (np.abs(levels) / 255) ** gamma, levels))


@dataclass(frozen=True, kw_only=True)
class Invert(Step):
    """Swaps black and white: dark objects on a bright background become bright objects on a dark one.

    Attributes:
        probability: probability of applying the step.
    """

    probability: float = option(read_share, 0.5)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the negative of the image."""
        del random
        return mapped(image, lambda levels: 255 - levels)


def mapped(image: Pixels, change: Callable[[Levels], Levels]) -> Pixels:
    """Return the image with each level replaced; bytes are rounded and clipped to 0 to 255.

    Args:
        image: ``(H, W, C)``.
        change: function of levels in which 255 is white.
    """
    if image.dtype != np.uint8:
        return (change(image * np.float32(255)) / 255).astype(image.dtype)
    table = np.rint(change(LEVELS).clip(0, 255)).astype(np.uint8).tobytes()
    # Several times as fast as indexing, which would first convert each level to a 64-bit index.
    return np.frombuffer(bytearray(image.tobytes().translate(table)), np.uint8).reshape(image.shape)


def mean_grey(image: Pixels) -> float:
    """Return the mean level, in which 255 is white: RGB is weighted, other bands count equally."""
    height, width, channels = image.shape
    # Sum whole rows first: NumPy is ten times slower at sums over the few channels of a pixel.
    kind = np.uint32 if image.dtype == np.uint8 else np.float64
    totals = np.ascontiguousarray(image).reshape(height, -1).sum(0, dtype=kind)
    means = totals.reshape(width, channels).sum(0) / (height * width) * (255 / white(image))
    return float(means @ LUMA) if channels == 3 else float(means.mean())
