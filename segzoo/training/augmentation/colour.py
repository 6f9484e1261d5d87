"""Steps that change colours.

They are given those bands of an image that are colours. Hue and saturation are of red, green and blue, and of
nothing below black: other images have their brightness, contrast or value changed alone, alike in all bands.
Bytes are held between 0 and 255; floats, in which 1 is white, may go beyond.
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

    Brightness, contrast and saturation are multiplied by numbers from ``[1 - strength, 1 + strength]``, hue
    is turned by up to a fifth of ``strength``, in turns.

    Attributes:
        strength: 0 to 1.
        probability: how often it is done.
    """

    strength: float = option(read_share, 0.3)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image in other colours."""
        brightness, contrast, saturation = 1 + random.uniform(-self.strength, self.strength, 3)
        hue = float(random.uniform(-self.strength, self.strength)) / 5
        # What brightness clips, contrast must not bring back; the mean is taken before the clipping.
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
    """The same added to every pixel's hue, saturation and value.

    Attributes:
        hue: most that is added or taken away, or ``[least, most]``, where 180 is a full turn.
        saturation: likewise, where 255 is full.
        value: likewise, where 255 is full.
        probability: how often it is done.
    """

    hue: tuple[float, float] = option(read_limit(180), 20)
    saturation: tuple[float, float] = option(read_limit(255), 30)
    value: tuple[float, float] = option(read_limit(255), 20)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image in other colours."""
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
    """Every pixel's hue, saturation and value, each multiplied by a number near 1.

    A hue is the angle from red, in turns; one beyond a full turn begins again.

    Attributes:
        hue: most by which its factor differs from 1.
        saturation: likewise.
        value: likewise.
        probability: how often it is done.
    """

    hue: float = option(partial(read_number, low=0, high=1), 0.1)
    saturation: float = option(partial(read_number, low=0, high=1), 0.7)
    value: float = option(partial(read_number, low=0, high=1), 0.3)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image in other colours."""
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
    """Red, green and blue replaced by their grey level; other images stay as they are.

    Attributes:
        probability: how often it is done.
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
# torchvision changes hue too, but takes five times as long for it on one core, and has neither the shifts of
# saturation and value nor the multiplied hue that recipes ask for.

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


def recoloured(image: Pixels, change: Callable[[Plane], Plane]) -> Pixels:
    """Return an image ``(H, W, 3)`` changed pixel by pixel, in bands that stay in a core's cache.

    Args:
        image: ``(H, W, 3)``.
        change: of ``(3, rows, W)`` float32 in which 255 is white, to as much.
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
    """Whether an image has a hue: it is red, green and blue, and nowhere below black."""
    return image.shape[2] == 3 and (image.dtype == np.uint8 or not (image < 0).any())


# Brightness, contrast and gamma: the same for all bands. Bytes have 256 levels, so that a table will do.

LEVELS = np.arange(256, dtype=np.float32)
#: What red, green and blue weigh in a grey level (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, kw_only=True)
class Brightness(Step):
    """The same added to every pixel.

    Attributes:
        limit: most that is added or taken away, or ``[least, most]``, where white is 1.
        probability: how often it is done.
    """

    limit: tuple[float, float] = option(read_limit(1), 0.2)
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image, brighter or darker."""
        added = 255 * uniform(random, self.limit)
        return mapped(image, lambda levels: levels + added)


@dataclass(frozen=True, kw_only=True)
class Contrast(Step):
    """Differences multiplied: from the image's mean grey level, or from black.

    Attributes:
        limit: most by which the factor differs from 1, or ``[least, most]``.
        about: ``mean`` or ``black``, which stays as it is.
        probability: how often it is done.
    """

    limit: tuple[float, float] = option(read_limit(1), 0.2)
    about: str = option(read_choice("mean", "black"), "mean")
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image with more contrast or less."""
        still = mean_grey(image) if self.about == "mean" else 0.0
        factor = 1 + uniform(random, self.limit)
        return mapped(image, lambda levels: still + factor * (levels - still))


@dataclass(frozen=True, kw_only=True)
class Gamma(Step):
    """Pixels, where white is 1, to the power of gamma.

    Attributes:
        gamma: least and greatest; twice is as likely as half.
        probability: how often it is done.
    """

    gamma: tuple[float, float] = option(read_factors, (0.7, 1.5))
    probability: float = option(read_share, 1.0)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image, its middle levels darker or brighter."""
        gamma = log_uniform(random, self.gamma)
        # What is below black is mirrored, so that it stays below.
        return mapped(image, lambda levels: np.copysign(255 * (np.abs(levels) / 255) ** gamma, levels))


@dataclass(frozen=True, kw_only=True)
class Invert(Step):
    """Black and white swapped: dark objects on bright ground become bright objects on dark ground.

    Attributes:
        probability: how often it is done.
    """

    probability: float = option(read_share, 0.5)

    of_colours = True

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the negative of the image."""
        del random
        return mapped(image, lambda levels: 255 - levels)


def mapped(image: Pixels, change: Callable[[Levels], Levels]) -> Pixels:
    """Return the image with each level replaced; bytes are rounded and held between 0 and 255.

    Args:
        image: ``(H, W, C)``.
        change: of levels of which 255 is white.
    """
    if image.dtype != np.uint8:
        return (change(image * np.float32(255)) / 255).astype(image.dtype)
    table = np.rint(change(LEVELS).clip(0, 255)).astype(np.uint8).tobytes()
    # Several times as fast as indexing, which would first make each level a 64-bit index.
    return np.frombuffer(bytearray(image.tobytes().translate(table)), np.uint8).reshape(image.shape)


def mean_grey(image: Pixels) -> float:
    """Return the mean level, of which 255 is white: of red, green and blue by weight, of others alike."""
    height, width, channels = image.shape
    # A sum over whole rows first: NumPy sums over the few channels of a pixel ten times slower.
    kind = np.uint32 if image.dtype == np.uint8 else np.float64
    totals = np.ascontiguousarray(image).reshape(height, -1).sum(0, dtype=kind)
    means = totals.reshape(width, channels).sum(0) / (height * width) * (255 / white(image))
    return float(means @ LUMA) if channels == 3 else float(means.mean())
