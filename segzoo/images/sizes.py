"""Resize images to the size, and normalise them to the values, that a network expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import ImageError
from segzoo.specs.pictures import MOST_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.specs import Preprocessing, Resize

#: Largest factor by which the number of pixels may grow, if the result exceeds `MOST_PIXELS`.
_MOST_ENLARGED = 256

#: Advice in errors about too many pixels, for the command line.
ANY_SIZE = "if you trust it, pass --any-size"

#: Pillow's resampling method for an interpolation of a `Resize`.
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return width and height times ``scale``, truncated, and at least 1.

    Args:
        width: width of the image.
        height: height of the image.
        scale: factor for both.
    """
    return max(int(width * scale), 1), max(int(height * scale), 1)


def most_pixels() -> int | None:
    """Return Pillow's limit on pixels decoded at once, twice ``MAX_IMAGE_PIXELS``; ``None`` for no limit."""
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def check_pixels(path: Path, height: int, width: int) -> None:
    """Refuse an image that Pillow would refuse to decode at once.

    Raises:
        ImageError: it claims more pixels than `most_pixels`.
    """
    most = most_pixels()
    if most is not None and height * width > most:
        raise ImageError(
            f"{path} is too large to decode at once: it claims {height}x{width} pixels, more than the limit "
            f"of {most} that protects against files made to exhaust memory; {ANY_SIZE}"
        )


@dataclass(frozen=True)
class Placement:
    """Position of the image within the network's input.

    Attributes:
        top: first row.
        left: first column.
        height: number of rows.
        width: number of columns.
    """

    top: int
    left: int
    height: int
    width: int


def placed(height: int, width: int, resize: Resize | None) -> tuple[tuple[int, int], Placement]:
    """Return height and width of the network's input, and the position of the image within it.

    Args:
        height: height of the image.
        width: width of the image.
        resize: how it is resized; ``None`` keeps its size.
    """
    if resize is None:
        return (height, width), Placement(0, 0, height, width)
    rows, columns = _new_size(height, width, resize)
    if resize.mode != "letterbox":
        return (rows, columns), Placement(0, 0, rows, columns)
    top, left = (resize.height - rows) // 2, (resize.width - columns) // 2
    return (resize.height, resize.width), Placement(top, left, rows, columns)


def _new_size(height: int, width: int, resize: Resize) -> tuple[int, int]:
    """Return rows and columns of a resized image, without bars around it."""
    if resize.mode == "stretch":
        return resize.height, resize.width
    if resize.mode == "short":
        return _short(height, width, resize)
    if resize.mode == "bounds":
        scale = min(resize.long / max(height, width), resize.short / min(height, width))
        rows, columns = (max(int(side * scale + 0.5), 1) for side in (height, width))
        return _rounded_up(rows, columns, resize.multiple)
    letterbox = resize.mode == "letterbox"
    scale = min(resize.height / height, resize.width / width) if letterbox else resize.scale
    columns, rows = scaled_size(width, height, scale)
    return rows, columns


def _short(height: int, width: int, resize: Resize) -> tuple[int, int]:
    shorter, longer = sorted((height, width))
    short, long = resize.short, resize.short * longer // shorter
    if resize.long and long > resize.long:
        short, long = max(round(resize.long * shorter / longer), 1), resize.long
    if short * long > max(MOST_PIXELS, _MOST_ENLARGED * height * width):
        raise ImageError(
            f"an image of {height}x{width} with its shorter side resized to {short} pixels would have "
            f"{long:,} on the other side: crop it, or resize it differently"
        )
    return _rounded_up(*((short, long) if height <= width else (long, short)), resize.multiple)


def _rounded_up(height: int, width: int, multiple: int) -> tuple[int, int]:
    return height + -height % multiple, width + -width % multiple


def averages(resize: Resize | None) -> bool:
    """Whether a smaller image consists of means of the larger one's pixels, so the method hardly matters."""
    return resize is not None and resize.antialias and resize.interpolation != "nearest"


def resized(
    image: NDArray[Any],
    resize: Resize | None,
    *,
    size: tuple[int, int] | None = None,
    resample: Callable[[NDArray[Any], int, int, Resize], NDArray[Any]] | None = None,
) -> tuple[NDArray[Any], Placement]:
    """Resize ``(H, W, C)`` as a `Resize` defines and return the position of the image in the result.

    Args:
        image: uint8 or float32, from `segzoo.images.intensity`; the result has the same type.
        resize: how to resize.
        size: height and width of the full image, if a smaller version was read (`read_reduced`).
        resample: replaces Pillow: resizes ``(H, W, C)`` to a height and a width.
    """
    height, width = size or image.shape[:2]
    seen, place = placed(height, width, resize)
    if resize is None:
        return image, place
    small = (resample or _resample)(image, place.height, place.width, resize)
    if resize.mode != "letterbox":
        return small, place
    bars = np.full((*seen, image.shape[2]), fill_of(resize, image.dtype), image.dtype)
    bars[place.top : place.top + place.height, place.left : place.left + place.width] = small
    return bars, place


def fill_of(resize: Resize, dtype: np.dtype[Any]) -> float:
    """Return the value of a letterbox's bars for pixels of a type: of 255 in uint8, of 1 in float32."""
    return resize.fill if dtype == np.uint8 else resize.fill / 255


def normalised(
    image: NDArray[np.uint8] | NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Return ``(C, H, W)`` float32: ``(value - mean) / std``, with 8-bit values divided by 255 first.

    Args:
        image: ``(H, W, C)``, uint8 or float32, with the bands that the network expects.
        preprocessing: preprocessing with mean and std.

    Raises:
        ImageError: mean and std are for another number of channels.
    """
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    if mean.size not in (1, image.shape[2]):
        raise ImageError(f"the image has {image.shape[2]} channels, but the network's mean has {mean.size}")
    if image.dtype != np.uint8:
        scaled = image.transpose(2, 0, 1).astype(np.float32, order="C")  # a copy, modified in place
    else:
        # Reordered as bytes, then modified in place: each copy of floats would cost as much as the
        # computation.
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        scaled = np.divide(planes, np.float32(255), dtype=np.float32)
    if mean.any():
        scaled -= mean.reshape(-1, 1, 1)
    if (std != 1).any():
        scaled /= std.reshape(-1, 1, 1)
    return scaled


def _resample(image: NDArray[Any], height: int, width: int, resize: Resize) -> NDArray[Any]:
    if image.shape[:2] == (height, width):
        return image
    if image.shape[2] == 3 and image.dtype == np.uint8:
        return np.asarray(_resample_plane(Image.fromarray(image), height, width, resize))
    planes = (Image.fromarray(image[..., channel]) for channel in range(image.shape[2]))
    return np.stack([np.asarray(_resample_plane(plane, height, width, resize)) for plane in planes], axis=-1)


def _resample_plane(plane: Image.Image, height: int, width: int, resize: Resize) -> Image.Image:
    method = RESAMPLING[resize.interpolation]
    if resize.antialias:
        return plane.resize((width, height), method)
    whole = (0, 0, plane.width, plane.height)
    return plane.transform((width, height), Image.Transform.EXTENT, whole, method)
