"""Files to arrays: read, orient, bring to the size and the values that a network expects.

Everything here is numpy and Pillow. Arrays are ``(H, W, C)``, uint8, channels in RGB order.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from segzoo.errors import ImageError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from segzoo.specs import Preprocessing, Resize

_SUFFIXES = ".bmp .gif .jp2 .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp"
#: Suffixes that a folder is searched for; a file named by itself may have any.
SUFFIXES = frozenset(_SUFFIXES.split())
#: Suffixes of arrays: what ``numpy.save`` writes, and a tensor as ``torch.save`` does.
ARRAY_SUFFIXES = frozenset({".npy", ".pt", ".pth"})
#: Files that images and masks are read from.
READABLE = SUFFIXES | ARRAY_SUFFIXES

#: Pillow's method for an interpolation of a `Resize`.
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def read(path: str | os.PathLike[str], *, scale: float = 1.0, page: int | None = None) -> NDArray[np.uint8]:
    """Read an image file as ``(H, W, 3)`` or, if it is grey, ``(H, W, 1)``; uint8.

    EXIF rotation is applied, palettes are looked up, transparency is dropped, CMYK becomes RGB, and
    deeper images are scaled to 8 bits as `to_uint8` says. An array in a ``.npy``, ``.pt`` or
    ``.pth`` file is taken as `as_image` says.

    Args:
        path: the file.
        scale: what both sides are multiplied by, truncated; a JPEG is decoded at a half, a quarter or
            an eighth where that is enough, and what remains is done bicubically.
        page: which page of several, from 0; ``None`` reads the first, with a warning if there are more.

    Raises:
        ImageError: there is no such file, or it is empty, truncated or no image.
    """
    path = Path(path)
    if holds_array(path):
        array = as_image(read_array(path))
        return array if scale == 1 else from_pillow(_shrunk(Image.fromarray(array.squeeze()), scale))
    with opened(path, page) as image:
        return from_pillow(image if scale == 1 else _shrunk(image, scale))


def read_reduced(
    path: str | os.PathLike[str], resize: Resize | None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an image as `read` does, or smaller where a network sees it smaller anyway.

    A JPEG is decoded at a half, a quarter or an eighth where that is enough for ``resize``, each pixel then
    being the mean of those that it stands for.

    Returns:
        The array, and height and width of the whole image.

    Raises:
        ImageError: as `read`.
    """
    path = Path(path)
    if not averages(resize) or holds_array(path):
        pixels = read(path)
        return pixels, (pixels.shape[0], pixels.shape[1])
    with opened(path) as image:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) < 5
        height, width = (image.height, image.width) if upright else (image.width, image.height)
        place = placed(height, width, resize)[1]
        wanted = (place.width, place.height) if upright else (place.height, place.width)
        image.draft(image.mode, wanted)
        return from_pillow(image), (height, width)


@contextmanager
def opened(path: Path, page: int | None = None) -> Iterator[Image.Image]:
    """Open an image file at a page, and name the file in whatever goes wrong while it is used.

    Raises:
        ImageError: as `read` says; also if there is no such page.
    """
    try:
        with Image.open(path) as image:
            if page is not None:
                image.seek(page)
            elif (pages := getattr(image, "n_frames", 1)) > 1:
                warnings.warn(f"{path} holds {pages} pages; only the first is read", stacklevel=4)
            yield image
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {path}") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        reason = "the file is empty" if empty else "it holds no image in a format that Pillow knows"
        raise ImageError(f"{path} cannot be read: {reason}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large to decode at once: {error}") from error
    except EOFError as error:
        where = f"has no page {page}, or" if page else "is"
        raise ImageError(f"{path} {where} cut short") from error
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow raises SyntaxError for broken PNG chunks.
        raise ImageError(f"{path} is damaged or cut short: {error}") from error


def count_pages(path: Path) -> int:
    """Return how many pages an image file has; errors as `read`."""
    with opened(path, 0) as image:
        return getattr(image, "n_frames", 1)


def holds_array(path: Path) -> bool:
    """Whether a file's suffix says that `read_array` reads it."""
    return path.suffix.lower() in ARRAY_SUFFIXES


def read_array(path: Path) -> NDArray[Any]:
    """Read a ``.npy`` file, or a tensor in a ``.pt`` or ``.pth`` file: numbers only, never pickled objects.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        return np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else _read_tensor(path)
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {path}") from error
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path} is no array of numbers as numpy.save writes it: {error}") from error


def _read_tensor(path: Path) -> NDArray[Any]:
    import torch  # only what torch wrote waits for it

    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise ImageError(f"{path} holds no tensor that can be read without running code") from error
    if not isinstance(tensor, torch.Tensor):
        raise ImageError(f"{path} holds {type(tensor).__name__}, not one tensor (H, W) or (H, W, C)")
    return tensor.numpy()


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return width and height times ``scale``, truncated, and at least 1."""
    return max(int(width * scale), 1), max(int(height * scale), 1)


def _shrunk(image: Image.Image, scale: float) -> Image.Image:
    size = scaled_size(image.width, image.height, scale)
    image.draft(image.mode, size)
    if image.mode == "P":
        # Between palette indices there is nothing.
        image = image.convert("RGB")
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    """Return a Pillow image as ``(H, W, 3)`` or ``(H, W, 1)`` uint8, turned upright."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)  # which copies an upright image too
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return to_uint8(np.asarray(image))[..., None]
    grey = image.mode in ("1", "L", "LA", "La")
    mode = "L" if grey else "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels.reshape(image.height, image.width, -1)


def as_image(image: NDArray[Any] | Image.Image) -> NDArray[np.uint8]:
    """Return an array ``(H, W)``, ``(H, W, C)`` or a Pillow image as ``(H, W, C)`` uint8; alpha is dropped.

    Raises:
        ImageError: it has another shape, or no pixel.
    """
    if isinstance(image, Image.Image):
        return from_pillow(image)
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise ImageError(f"an image must be (H, W) or (H, W, C) with at least one pixel, got {array.shape}")
    if array.shape[2] in (2, 4):
        array = array[..., :-1]
    return to_uint8(array)


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values to 0 to 255.

    Integers are taken to use as many bits as their largest value needs, in steps of two from 8: files
    of 12-bit cameras are 16 bits wide but reach only 4095. Floats up to 1 are scaled by 255, larger
    ones are taken as they are. False is 0 and true 255.

    Raises:
        ImageError: values are negative, not finite, or floats above 255.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all() or low < 0:
        raise ImageError(f"pixel values must be finite and not negative, got {low} to {high}")
    if np.issubdtype(array.dtype, np.integer):
        bits = next(b for b in range(8, 66, 2) if high < 2**b)
        scale = 255 / (2**bits - 1)
    elif high > 255:
        raise ImageError(f"floating-point pixels must lie in 0 to 1 or 0 to 255, got up to {high}")
    else:
        scale = 255 if high <= 1 else 1
    return np.rint(array * scale).astype(np.uint8)


def to_channels(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return ``(H, W, C)`` with the channels, in the order, that the network was trained on.

    Raises:
        ImageError: the image's channels cannot become those.
    """
    count = image.shape[2]
    wanted = preprocessing.channels
    if wanted == "any":
        return image
    if count not in (1, 3):
        raise ImageError(f"an image with {count} channels cannot become {wanted}")
    if wanted == "grey":
        return image if count == 1 else np.asarray(Image.fromarray(image).convert("L"))[..., None]
    colour = image if count == 3 else np.repeat(image, 3, axis=2)
    return colour if wanted == "rgb" else colour[..., ::-1]


@dataclass(frozen=True)
class Placement:
    """Where the image lies inside what the network sees: rows ``top`` to ``top + height``, and so on."""

    top: int
    left: int
    height: int
    width: int


def placed(height: int, width: int, resize: Resize | None) -> tuple[tuple[int, int], Placement]:
    """Return height and width of what a network sees of an image, and where the image lies in that."""
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
