"""Steps that change colours.

Hue and saturation are of red, green and blue: an image of any other number of channels has its brightness,
contrast or value changed alone, alike in all channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from segzoo.training.augmentation.hue import recoloured, to_hsv, to_rgb
from segzoo.training.augmentation.options import option, read_limit, read_number, read_share
from segzoo.training.augmentation.step import Step, uniform
from segzoo.training.augmentation.tone import LEVELS, LUMA, mapped, mean_grey

if TYPE_CHECKING:
    from segzoo.training.augmentation.hue import Plane
    from segzoo.training.augmentation.step import Bytes


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

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image in other colours."""
        brightness, contrast, saturation = 1 + random.uniform(-self.strength, self.strength, 3)
        hue = float(random.uniform(-self.strength, self.strength)) / 5
        # What brightness clips, contrast must not bring back; the mean is taken before the clipping.
        still = mean_grey(image) * brightness
        bright = (LEVELS * brightness).clip(0, 255)
        image = mapped(image, still + contrast * (bright - still))
        if image.shape[2] != 3 or not self.strength:
            return image

        def change(planes: Plane) -> Plane:
            grey = np.tensordot(LUMA, planes, 1)
            planes -= grey
            planes *= np.float32(saturation)
            planes += grey
            turned, saturated, value = to_hsv(planes.clip(0, 255, out=planes))
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

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image in other colours."""
        hue, saturation, value = (uniform(random, limit) for limit in (self.hue, self.saturation, self.value))
        if image.shape[2] != 3:
            return mapped(image, LEVELS + value)

        def change(planes: Plane) -> Plane:
            turned, saturated, bright = to_hsv(planes)
            saturated = (saturated + np.float32(saturation / 255)).clip(0, 1)
            bright = (bright + np.float32(value)).clip(0, 255)
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

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image in other colours."""
        drawn = 1 + random.uniform(-1, 1, 3) * (self.hue, self.saturation, self.value)
        hue, saturation, value = drawn.astype(np.float32)
        if image.shape[2] != 3:
            return mapped(image, LEVELS * value)

        def change(planes: Plane) -> Plane:
            turned, saturated, bright = to_hsv(planes)
            return to_rgb(turned * hue, (saturated * saturation).clip(0, 1), (bright * value).clip(0, 255))

        return recoloured(image, change)


@dataclass(frozen=True, kw_only=True)
class Grey(Step):
    """Red, green and blue replaced by their grey level; other images stay as they are.

    Attributes:
        probability: how often it is done.
    """

    probability: float = option(read_share, 0.1)

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image without colour."""
        del random
        if image.shape[2] != 3:
            return image
        grey = np.rint(np.tensordot(image, LUMA, 1)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
