"""What part of an image is seen: crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segzoo.training.augmentation.options import (
    option,
    read_choice,
    read_factors,
    read_size,
)
from segzoo.training.augmentation.resizing import at, mirrored, resized
from segzoo.training.augmentation.step import Step, log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.training.augmentation.options import Size
    from segzoo.training.augmentation.step import Bytes, Pair

_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Crop(Step):
    """A part of the image from a random place, at a random scale and aspect.

    A part in which no pixel counts is drawn again, around a pixel that does.

    Attributes:
        size: height and width that come out.
        scale: by what the image is magnified; twice is as likely as half.
        aspect: by what it is widened against its height.
        padding: what continues an image smaller than the part: its ``mirror`` image, or ``zero``.
        outside: what the mask is there where padding is zero: ``ignore`` or ``background``, class 0.
    """

    size: tuple[int, int] = option(read_size, 256)
    scale: tuple[float, float] = option(read_factors, (0.8, 1.25))
    aspect: tuple[float, float] = option(read_factors, 1.0)
    padding: str = option(read_choice("mirror", "zero"), "mirror")
    outside: str = option(read_choice("ignore", "background"), "ignore")

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the part and its mask, at ``size``."""
        part, classes = resized(*self._part(image, mask, random, ignore), self.size)
        for _ in range(_TRIES):
            if ignore is None or (classes[::8, ::8] != ignore).any() or (classes != ignore).any():
                break
            counting = np.argwhere(mask != ignore)
            if not len(counting):
                break
            aim = counting[random.integers(len(counting))]
            part, classes = resized(*self._part(image, mask, random, ignore, aim), self.size)
        return part, classes

    def _part(
        self,
        image: Bytes,
        mask: Bytes,
        random: np.random.Generator,
        ignore: int | None,
        aim: NDArray[np.intp] | None = None,
    ) -> Pair:
        """Return a part at the image's scale, which holds the pixel ``aim`` if there is one."""
        scale, stretch = log_uniform(random, self.scale), log_uniform(random, self.aspect) ** 0.5
        sides = (
            max(round(self.size[0] / scale * stretch), 1),
            max(round(self.size[1] / scale / stretch), 1),
        )
        starts = []
        for axis, (whole, side) in enumerate(zip(mask.shape, sides, strict=True)):
            low, high = min(0, whole - side), max(0, whole - side)
            if aim is not None:
                low, high = max(low, int(aim[axis]) - side + 1), min(high, int(aim[axis]))
            starts.append(int(random.integers(low, high + 1)))
        if all(0 <= a <= n - s for a, n, s in zip(starts, mask.shape, sides, strict=True)):
            window = slice(starts[0], starts[0] + sides[0]), slice(starts[1], starts[1] + sides[1])
            return image[window], mask[window]
        if self.padding == "mirror":
            rows, columns = (mirrored(n, a, s) for n, a, s in zip(mask.shape, starts, sides, strict=True))
            return at(image, rows, columns), at(mask, rows, columns)
        outside = outside_value(self.outside, ignore)
        return pasted(image, sides, starts, 0), pasted(mask, sides, starts, outside)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the crop's size."""
        del before
        return self.size

    def ignores(self) -> str:
        """Return the setting by which pixels from outside the image count for nothing, or ``""``."""
        return "outside" if self.padding == "zero" and self.outside == "ignore" else ""


def outside_value(outside: str, ignore: int | None) -> int:
    """Return the mask's value outside the image."""
    return 0 if outside == "background" or ignore is None else ignore


def pasted(pixels: Bytes, size: tuple[int, ...], starts: list[int], value: int) -> Bytes:
    """Return the window of ``size`` from ``starts``, which may be negative, filled up with ``value``."""
    canvas = np.full((*size, *pixels.shape[2:]), value, pixels.dtype)
    here, there = [], []
    for start, side, whole in zip(starts, size, pixels.shape, strict=False):
        first, last = max(start, 0), min(start + side, whole)
        there.append(slice(first, last))
        here.append(slice(first - start, last - start))
    canvas[tuple(here)] = pixels[tuple(there)]
    return canvas
