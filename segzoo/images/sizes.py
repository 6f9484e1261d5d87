"""Images to the size and the values that a network expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segzoo.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.specs import Preprocessing, Resize

#: Pillow's method for an interpolation of a `Resize`.
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return width and height times ``scale``, truncated, and at least 1.

    Args:
        width: of the image.
        height: of the image.
        scale: what both are multiplied by.
    """
    return max(int(width * scale), 1), max(int(height * scale), 1)


def check_pixels(path: Path, height: int, width: int) -> None:
    """Refuse what Pillow would refuse to decode at once: more than twice its ``MAX_IMAGE_PIXELS``.

    Raises:
        ImageError: an image claims more pixels than that.
    """
    if Image.MAX_IMAGE_PIXELS is not None and height * width > 2 * Image.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"{path} is too large to decode at once: it claims {height}x{width} pixels, above the limit of "
            f"{2 * Image.MAX_IMAGE_PIXELS} that guards against files made to exhaust a machine"
        )


@dataclass(frozen=True)
class Placement:
    """Where the image lies inside what the network sees.

    Attributes:
        top: its first row.
        left: its first column.
        height: how many rows it has.
        width: how many columns.
    """

    top: int
    left: int
    height: int
    width: int


def placed(height: int, width: int, resize: Resize | None) -> tuple[tuple[int, int], Placement]:
    """Return height and width of what a network sees of an image, and where the image lies in that.

    Args:
        height: of the image.
        width: of the image.
        resize: how it is resized; ``None`` keeps its size.
    """
    if resize is None:
        return (height, width), Placement(0, 0, height, width)
    if resize.mode == "stretch":
        return (resize.height, resize.width), Placement(0, 0, resize.height, resize.width)
    letterbox = resize.mode == "letterbox"
    scale = min(resize.height / height, resize.width / width) if letterbox else resize.scale
    new = max(int(height * scale), 1), max(int(width * scale), 1)
    if not letterbox:
        return new, Placement(0, 0, *new)
    top, left = (resize.height - new[0]) // 2, (resize.width - new[1]) // 2
    return (resize.height, resize.width), Placement(top, left, *new)


def averages(resize: Resize | None) -> bool:
    """Whether a smaller image is made of means of the larger one's pixels, so that the way hardly matters."""
    return resize is not None and resize.antialias and resize.interpolation != "nearest"


def resized(
    image: NDArray[np.uint8],
    resize: Resize | None,
    *,
    size: tuple[int, int] | None = None,
    resample: Callable[[NDArray[np.uint8], int, int, Resize], NDArray[np.uint8]] | None = None,
) -> tuple[NDArray[np.uint8], Placement]:
    """Bring ``(H, W, C)`` to the size of a `Resize` and say where the image then lies.

    Args:
        image: uint8.
        resize: how.
        size: height and width that count as the image's, where it was read smaller (`read_reduced`).
        resample: does it instead of Pillow: maps ``(H, W, C)`` to a height and a width.
    """
    height, width = size or image.shape[:2]
    seen, place = placed(height, width, resize)
    if resize is None:
        return image, place
    small = (resample or _resample)(image, place.height, place.width, resize)
    if resize.mode != "letterbox":
        return small, place
    bars = np.full((*seen, image.shape[2]), resize.fill, np.uint8)
    bars[place.top : place.top + place.height, place.left : place.left + place.width] = small
    return bars, place


def normalised(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return ``(C, H, W)`` float32: ``(value / 255 - mean) / std``.

    Args:
        image: ``(H, W, C)``, with the channels that the network wants.
        preprocessing: which has mean and std.

    Raises:
        ImageError: mean and std are for another number of channels.
    """
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    if mean.size not in (1, image.shape[2]):
        raise ImageError(f"the image has {image.shape[2]} channels, the network's mean has {mean.size}")
    # Moved while they are bytes, and changed in place: each copy of floats would cost as much as the sum.
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    scaled = np.divide(planes, np.float32(255), dtype=np.float32)
    if mean.any():
        scaled -= mean.reshape(-1, 1, 1)
    if (std != 1).any():
        scaled /= std.reshape(-1, 1, 1)
    return scaled


def _resample(image: NDArray[np.uint8], height: int, width: int, resize: Resize) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    if image.shape[2] == 3:
        return np.asarray(_resample_plane(Image.fromarray(image), height, width, resize))
    planes = (Image.fromarray(image[..., channel]) for channel in range(image.shape[2]))
    return np.stack([np.asarray(_resample_plane(plane, height, width, resize)) for plane in planes], axis=-1)


def _resample_plane(plane: Image.Image, height: int, width: int, resize: Resize) -> Image.Image:
    method = RESAMPLING[resize.interpolation]
    if resize.antialias:
        return plane.resize((width, height), method)
    whole = (0, 0, plane.width, plane.height)
    return plane.transform((width, height), Image.Transform.EXTENT, whole, method)
