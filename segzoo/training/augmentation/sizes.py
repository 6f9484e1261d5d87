"""Steps that change the size: resizing the whole image, placing it in a frame, or cropping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchvision.transforms.v2.functional as T
from torchvision.transforms import InterpolationMode

from segzoo.training.augmentation.layers import kinds_of
from segzoo.training.augmentation.step import (
    Step,
    log_uniform,
    option,
    read_choice,
    read_factors,
    read_grey,
    read_number,
    read_share,
    read_sides,
    read_size,
    uniform,
    white,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.training.augmentation.step import Pair, Pixels, Scale, Size


_read_interpolation = read_choice("bilinear", "bicubic")
_read_outside = read_choice("ignore", "background")


@dataclass(frozen=True, kw_only=True)
class Resize(Step):
    """The whole image at a fixed size, without keeping its aspect ratio.

    Attributes:
        size: height and width of the output.
        interpolation: interpolation of the image, ``bilinear`` or ``bicubic``; a mask takes the nearest
            pixels.
    """

    size: tuple[int, int] = option(read_size, 256)
    interpolation: str = option(_read_interpolation, "bilinear")

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask at ``size``."""
        del random, ignore
        return resized(image, mask, self.size, self.interpolation)

    def size_after(self, before: Size | None) -> Size | None:
        """Return ``size``."""
        del before
        return self.size


@dataclass(frozen=True, kw_only=True)
class ResizeShort(Step):
    """The whole image, with its shorter side scaled to a random length.

    Attributes:
        size: minimum and maximum length in pixels; all integers between them are equally likely.
        interpolation: interpolation of the image, ``bilinear`` or ``bicubic``.
    """

    size: tuple[int, int] = option(read_sides, (282, 678))
    interpolation: str = option(_read_interpolation, "bilinear")

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask at the size drawn."""
        del ignore
        short, (height, width) = int(random.integers(self.size[0], self.size[1] + 1)), mask.shape
        scale = short / min(height, width)
        wanted = max(round(height * scale), 1), max(round(width * scale), 1)
        return resized(image, mask, wanted, self.interpolation)

    def size_after(self, before: Size | None) -> Size | None:
        """Return ``None``: sizes vary, or depend on the image's aspect ratio."""
        del before
        return None


@dataclass(frozen=True, kw_only=True)
class Letterbox(Step):
    """The whole image as large as fits into a frame, centred, with bars at two sides.

    Attributes:
        size: height and width of the frame.
        grey: level of the bars, where 255 is white.
        outside: value of the mask on the bars: ``background`` or ``ignore``.
        interpolation: interpolation of the image, ``bilinear`` or ``bicubic``.
    """

    size: tuple[int, int] = option(read_size, 512)
    grey: int = option(read_grey, 128)
    outside: str | int = option(_read_outside, "background")
    interpolation: str = option(_read_interpolation, "bicubic")

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask in the frame."""
        del random
        height, width = mask.shape
        scale = min(self.size[0] / height, self.size[1] / width)
        inner = max(round(height * scale), 1), max(round(width * scale), 1)
        image, mask = resized(image, mask, inner, self.interpolation)
        starts = [-((self.size[0] - inner[0]) // 2), -((self.size[1] - inner[1]) // 2)]
        outside = outside_value(self.outside, ignore)
        return pasted(image, self.size, starts, self.grey / 255 * white(image)), pasted(
            mask, self.size, starts, outside
        )

    def size_after(self, before: Size | None) -> Size | None:
        """Return the frame's size."""
        del before
        return self.size

    def ignores(self) -> str:
        """Return the setting that makes the bars ignored, or ``""``."""
        return "outside" if self.outside == "ignore" else ""


@dataclass(frozen=True, kw_only=True)
class Place(Step):
    """The whole image with random aspect ratio and scale, at a random place of a frame that may cut it.

    The image's aspect ratio, width by height, is multiplied by a number from ``[1 - jitter, 1 + jitter]``
    and divided by another; its longer side is the frame's side times a number from ``scale``.

    Attributes:
        size: height and width of the frame.
        jitter: variation of the aspect ratio, below 1.
        scale: minimum and maximum share of the frame's side.
        grey: level outside the image, where 255 is white.
        outside: value of the mask there: ``background`` or ``ignore``.
        interpolation: interpolation of the image, ``bilinear`` or ``bicubic``.
    """

    size: tuple[int, int] = option(read_size, 512)
    jitter: float = option(lambda key, value: read_number(key, value, low=0, high=0.9), 0.3)
    scale: tuple[float, float] = option(read_factors, (0.25, 2.0))
    grey: int = option(read_grey, 128)
    outside: str | int = option(_read_outside, "background")
    interpolation: str = option(_read_interpolation, "bicubic")

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
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
        return pasted(image, self.size, starts, self.grey / 255 * white(image)), pasted(
            mask, self.size, starts, outside
        )

    def size_after(self, before: Size | None) -> Size | None:
        """Return the frame's size."""
        del before
        return self.size

    def ignores(self) -> str:
        """Return the setting that makes the outside of the image ignored, or ``""``."""
        return "outside" if self.outside == "ignore" else ""


# Resampling and windows: antialiased images, nearest pixels for masks, mirrored borders.


def resized(image: Pixels, mask: Pixels, size: Size, interpolation: str = "bilinear") -> Pair:
    """Return image and mask at ``size``, ``(height, width)``."""
    if mask.shape == size:
        return image, mask
    pixels = torch.from_numpy(writable(image)).movedim(-1, 0)
    pixels = T.resize(pixels, list(size), interpolation=InterpolationMode(interpolation), antialias=True)
    return pixels.movedim(0, -1).numpy(), at(
        mask, nearest(mask.shape[0], size[0]), nearest(mask.shape[1], size[1])
    )


def nearest(size: int, wanted: int) -> NDArray[np.intp]:
    """Return the nearest of ``size`` positions for each of ``wanted`` positions, centre to centre."""
    return np.minimum((np.arange(wanted) + 0.5) * (size / wanted), size - 1).astype(np.intp)


def mirrored(size: int, start: int, side: int) -> NDArray[np.intp]:
    """Return ``side`` positions from ``start`` in a row of ``size`` that is mirrored at its ends."""
    last = max(size - 1, 1)
    positions = np.mod(np.arange(start, start + side), 2 * last)
    return np.minimum(last - np.abs(positions - last), size - 1)


def at(pixels: Pixels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
    """Return the pixels at all combinations of ``rows`` and ``columns``."""
    return np.take(pixels[rows], columns, axis=1)


def writable(pixels: Pixels) -> Pixels:
    """Return pixels in C order in writable memory, as torch requires; copies only if necessary."""
    return np.require(pixels, requirements=("C", "W"))


# Crops.

_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Crop(Step):
    """A part of the image at a random place, with random scale and aspect ratio.

    If no pixel of a part counts, another part is drawn around a pixel that does. Centring on foreground
    is nnU-Net's rule (Isensee et al., 2021, arXiv:1904.08128), with a share of 0.33: one of the classes in
    the image is drawn, all equally likely, and then one of its pixels.

    Attributes:
        size: height and width of the output.
        scale: minimum and maximum magnification, drawn on a logarithmic scale.
        aspect: minimum and maximum factor of the width relative to the height.
        padding: content outside an image that is smaller than the part: its ``mirror`` image, or ``zero``.
        outside: value of the mask there if padding is zero: ``ignore`` or ``background``.
        foreground: probability of centring the part on a pixel of a class other than background, as far as
            the image's border allows; of any class if none is background.
    """

    size: tuple[int, int] = option(read_size, 256)
    scale: tuple[float, float] = option(read_factors, (0.8, 1.25))
    aspect: tuple[float, float] = option(read_factors, 1.0)
    padding: str = option(read_choice("mirror", "zero"), "mirror")
    outside: str | int = option(_read_outside, "ignore")
    foreground: float = option(read_share, 0.0)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return the part and its mask, at ``size``."""
        return self.done(image, mask, random, ignore)

    def done(
        self,
        image: Pixels,
        mask: Pixels,
        random: np.random.Generator,
        ignore: int | None,
        colours: Sequence[int] | None = None,
        scale: Scale | None = None,
        kinds: NDArray[np.int64] | None = None,
    ) -> Pair:
        """Return the result of a call; an image that needs scaling is scaled only within the part."""
        del colours
        scale = scale or _as_it_is
        centre = None
        if self.foreground and random.random() < self.foreground:
            centre = _foreground_pixel(mask, random, ignore, kinds)
        part, classes = resized(*self._part(image, mask, random, ignore, scale, centre=centre), self.size)
        for _ in range(_TRIES):
            if ignore is None or (classes[::8, ::8] != ignore).any() or (classes != ignore).any():
                break
            counting = np.argwhere(mask != ignore)
            if not len(counting):
                break
            aim = counting[random.integers(len(counting))]
            part, classes = resized(*self._part(image, mask, random, ignore, scale, aim), self.size)
        return part, classes

    def _part(
        self,
        image: Pixels,
        mask: Pixels,
        random: np.random.Generator,
        ignore: int | None,
        scale_values: Scale,
        aim: NDArray[np.intp] | None = None,
        centre: tuple[int, int] | None = None,
    ) -> Pair:
        """Return a part at the image's scale that contains the pixel ``aim`` or lies around ``centre``."""
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
            if centre is not None:
                low = high = min(max(centre[axis] - side // 2, low), high)
            starts.append(int(random.integers(low, high + 1)))
        if all(0 <= a <= n - s for a, n, s in zip(starts, mask.shape, sides, strict=True)):
            window = slice(starts[0], starts[0] + sides[0]), slice(starts[1], starts[1] + sides[1])
            return scale_values(image[window]), mask[window]
        if self.padding == "mirror":
            rows, columns = (mirrored(n, a, s) for n, a, s in zip(mask.shape, starts, sides, strict=True))
            return scale_values(at(image, rows, columns)), at(mask, rows, columns)
        outside = outside_value(self.outside, ignore)
        return pasted(scale_values(image), sides, starts, 0), pasted(mask, sides, starts, outside)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the crop's size."""
        del before
        return self.size

    def ignores(self) -> str:
        """Return the setting that makes pixels from outside the image ignored, or ``""``."""
        return "outside" if self.padding == "zero" and self.outside == "ignore" else ""


def _foreground_pixel(
    mask: Pixels, random: np.random.Generator, ignore: int | None, kinds: NDArray[np.int64] | None
) -> tuple[int, int] | None:
    """Return row and column of a random pixel of a random class; ``None`` if there is no foreground."""
    there = np.flatnonzero(np.bincount(mask.reshape(-1)))
    kinds = kinds_of(np.arange(there[-1] + 1), 0, ignore) if kinds is None else kinds
    classes = np.unique(kinds[there])
    classes = classes[classes >= 0]
    if not len(classes):
        return None
    values = there[kinds[there] == random.choice(classes)]
    row, column = divmod(int(random.choice(np.flatnonzero(np.isin(mask, values)))), mask.shape[1])
    return row, column


def _as_it_is(pixels: Pixels) -> Pixels:
    return pixels


def outside_value(outside: str | int, ignore: int | None) -> int:
    """Return the mask's value outside the image; that of the background is 0 unless a number is given."""
    if isinstance(outside, int):
        return outside
    return 0 if outside == "background" or ignore is None else ignore


def pasted(pixels: Pixels, size: tuple[int, ...], starts: list[int], value: float) -> Pixels:
    """Return the window of ``size`` from ``starts``, which may be negative, padded with ``value``."""
    canvas = np.full((*size, *pixels.shape[2:]), value, pixels.dtype)
    here, there = [], []
    for start, side, whole in zip(starts, size, pixels.shape, strict=False):
        first, last = max(start, 0), min(start + side, whole)
        there.append(slice(first, last))
        here.append(slice(first - start, last - start))
    canvas[tuple(here)] = pixels[tuple(there)]
    return canvas
