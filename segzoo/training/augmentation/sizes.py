"""How large an image is seen: steps that give the whole image another size, or a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.training.augmentation.framing import outside_value, pasted
from segzoo.training.augmentation.options import (
    option,
    read_choice,
    read_factors,
    read_grey,
    read_number,
    read_sides,
    read_size,
)
from segzoo.training.augmentation.resizing import resized
from segzoo.training.augmentation.step import Step, uniform

if TYPE_CHECKING:
    import numpy as np

    from segzoo.training.augmentation.options import Size
    from segzoo.training.augmentation.step import Bytes, Pair

_read_interpolation = read_choice("bilinear", "bicubic")
_read_outside = read_choice("ignore", "background")


@dataclass(frozen=True, kw_only=True)
class Resize(Step):
    """The whole image at a fixed size, whatever its aspect.

    Attributes:
        size: height and width that come out.
        interpolation: of the image, ``bilinear`` or ``bicubic``; a mask takes the nearest pixels.
    """

    size: tuple[int, int] = option(read_size, 256)
    interpolation: str = option(_read_interpolation, "bilinear")

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask at ``size``."""
        del random, ignore
        return resized(image, mask, self.size, self.interpolation)

    def size_after(self, before: Size | None) -> Size | None:
        """Return ``size``."""
        del before
        return self.size


@dataclass(frozen=True, kw_only=True)
class ResizeShort(Step):
    """The whole image, its shorter side of a random length.

    Attributes:
        size: least and greatest length in pixels, every integer between them as likely.
        interpolation: as of `Resize`.
    """

    size: tuple[int, int] = option(read_sides, (282, 678))
    interpolation: str = option(_read_interpolation, "bilinear")

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask at the size drawn."""
        del ignore
        short, (height, width) = int(random.integers(self.size[0], self.size[1] + 1)), mask.shape
        scale = short / min(height, width)
        wanted = max(round(height * scale), 1), max(round(width * scale), 1)
        return resized(image, mask, wanted, self.interpolation)

    def size_after(self, before: Size | None) -> Size | None:
        """Return ``None``: sizes vary, or follow the image's aspect."""
        del before
        return None


@dataclass(frozen=True, kw_only=True)
class Letterbox(Step):
    """The whole image as large as a frame allows, in its middle, with bars at two sides.

    Attributes:
        size: height and width of the frame.
        grey: the bars' level.
        outside: what the mask is on the bars: ``background``, class 0, or ``ignore``.
        interpolation: as of `Resize`.
    """

    size: tuple[int, int] = option(read_size, 512)
    grey: int = option(read_grey, 128)
    outside: str = option(_read_outside, "background")
    interpolation: str = option(_read_interpolation, "bicubic")

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask in the frame."""
        del random
        height, width = mask.shape
        scale = min(self.size[0] / height, self.size[1] / width)
        inner = max(round(height * scale), 1), max(round(width * scale), 1)
        image, mask = resized(image, mask, inner, self.interpolation)
        starts = [-((self.size[0] - inner[0]) // 2), -((self.size[1] - inner[1]) // 2)]
        outside = outside_value(self.outside, ignore)
        return pasted(image, self.size, starts, self.grey), pasted(mask, self.size, starts, outside)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the frame's size."""
        del before
        return self.size

    def ignores(self) -> str:
        """Return the setting by which the bars count for nothing, or ``""``."""
        return "outside" if self.outside == "ignore" else ""


@dataclass(frozen=True, kw_only=True)
class Place(Step):
    """The whole image at a random aspect and scale, at a random place of a frame that may cut it.

    The image's aspect, width by height, is multiplied by a number from ``[1 - jitter, 1 + jitter]`` and
    divided by another; its longer side is the frame's, times a number from ``scale``.

    Attributes:
        size: height and width of the frame.
        jitter: of the aspect, below 1.
        scale: least and greatest share of the frame's side.
        grey: the level of what the image leaves free.
        outside: what the mask is there: ``background``, class 0, or ``ignore``.
        interpolation: as of `Resize`.
    """

    size: tuple[int, int] = option(read_size, 512)
    jitter: float = option(lambda key, value: read_number(key, value, low=0, high=0.9), 0.3)
    scale: tuple[float, float] = option(read_factors, (0.25, 2.0))
    grey: int = option(read_grey, 128)
    outside: str = option(_read_outside, "background")
    interpolation: str = option(_read_interpolation, "bicubic")

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask in the frame."""
        wider, taller = random.uniform(1 - self.jitter, 1 + self.jitter, 2)
        aspect = mask.shape[1] / mask.shape[0] * wider / taller
        scale = uniform(random, self.scale)
        if aspect < 1:
            height = scale * self.size[0]
            width = height * aspect
        else:
            width = scale * self.size[1]
            height = width / aspect
        inner = max(int(height), 1), max(int(width), 1)
        starts = [
            -int(random.integers(min(0, frame - side), max(0, frame - side) + 1))
            for frame, side in zip(self.size, inner, strict=True)
        ]
        image, mask = resized(image, mask, inner, self.interpolation)
        outside = outside_value(self.outside, ignore)
        return pasted(image, self.size, starts, self.grey), pasted(mask, self.size, starts, outside)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the frame's size."""
        del before
        return self.size

    def ignores(self) -> str:
        """Return the setting by which what the image leaves free counts for nothing, or ``""``."""
        return "outside" if self.outside == "ignore" else ""
