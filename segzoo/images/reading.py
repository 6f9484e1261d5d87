"""Read image files as upright arrays in their own type, with all their bands."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import ImageError
from segzoo.images.bands import COLOURS
from segzoo.images.opening import open_image, readable_suffixes
from segzoo.images.sizes import averages, placed, scaled_size

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from segzoo.images.opening import NamedImage
    from segzoo.interfaces import GeoReference, ImageInfo
    from segzoo.specs import Resize

#: Axes that an EXIF orientation flips.
_FLIPS = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
#: From this orientation on, rows and columns are swapped before flipping.
TURNED = 5


def read(path: str | os.PathLike[str], *, scale: float = 1.0, page: int | None = None) -> NDArray[Any]:
    """Read an image file as ``(H, W, C)`` in its own type, with all its bands.

    The image is rotated upright according to its orientation, and palette colours are looked up. Colours in
    other encodings, such as YCbCr and CMYK, become red, green and blue.

    Args:
        path: file in any format that a reader supports (``segzoo list readers``), or a folder that is an
            image.
        scale: factor for height and width, which are truncated. A JPEG is decoded at a half, a quarter or an
            eighth of its size if that is enough, and the rest is resized bicubically.
        page: page of a file with several, from 0; ``None`` reads the first, with a warning if there are more.

    Raises:
        ImageError: there is no such file, or it is empty, truncated or not an image.
        MissingExtraError: the format needs an extra that is not installed.
    """
    return read_with_info(path, scale=scale, page=page)[0]


def read_with_info(
    path: str | os.PathLike[str], *, scale: float = 1.0, page: int | None = None
) -> tuple[NDArray[Any], ImageInfo]:
    """Read an image file and its metadata; raises the errors of `read`.

    Args:
        path: image file; see `read`.
        scale: factor for height and width; see `read`.
        page: page of a file with several; see `read`.

    Returns:
        ``(H, W, C)``, and the metadata of the image as read: upright, without a palette.
    """
    return _read(path, scale, page, str(path))


def _read(
    path: str | os.PathLike[str], scale: float, page: int | None, name: str
) -> tuple[NDArray[Any], ImageInfo]:
    with open_image(path) as image:
        if scale == 1:
            return upright_colours(*read_stored(image, page, name))
        info = image.describe(page or 0)
        columns, rows = scaled_size(info.width, info.height, scale)
        pixels, info = with_colours(*read_stored(image, page, name, smallest=(rows, columns)))
    return turned(_resized(pixels, rows, columns, info.alpha), _smaller(info, rows, columns))


def read_stored(
    image: NamedImage, page: int | None, name: object, *, smallest: tuple[int, int] | None = None
) -> tuple[NDArray[Any], ImageInfo]:
    """Return a page as stored, without rotation and palette lookup, and its metadata.

    Args:
        image: open image.
        page: page from 0; ``None`` is the first, with a warning if there are more.
        name: name of the image, for the warning.
        smallest: smallest useful size; see `segzoo.interfaces.OpenedImage.read`.
    """
    if page is None and image.info.pages > 1:
        warnings.warn(f"{name} holds {image.info.pages} pages; only the first is read", stacklevel=5)
    pixels = image.read(page or 0, smallest=smallest)
    return pixels, image.describe(page or 0)  # after reading: in a PNG, EXIF may come after the pixels


def without_alpha(pixels: NDArray[Any], info: ImageInfo) -> NDArray[Any]:
    """Return an image without the band that its file declares as alpha."""
    return pixels if info.alpha is None else np.delete(pixels, info.alpha, axis=2)


def read_bytes(content: bytes, name: str) -> tuple[NDArray[Any], ImageInfo]:
    """Read an image file that is in memory, and its metadata.

    Args:
        content: content of the file.
        name: name in error messages; its suffix is used if the first bytes do not identify the format.

    Returns:
        The image and its metadata; see `read_with_info`.

    Raises:
        ImageError: it is not an image, or damaged.
        MissingExtraError: the format needs an extra that is not installed.
    """
    if not content:
        raise ImageError(f"{name} cannot be read: it is empty")
    suffix = next((one for one in readable_suffixes() if name.lower().endswith(one)), "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"image{suffix}")
        path.write_bytes(content)
        try:
            return _read(path, 1.0, None, name)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), name)) from error


def read_reduced(path: str | os.PathLike[str], resize: Resize | None) -> tuple[NDArray[Any], ImageInfo]:
    """Read an image like `read`, but at a smaller size if the network's resolution is lower anyway.

    A JPEG is decoded at a half, a quarter or an eighth of its size if that is enough for ``resize``; each
    pixel is then the mean of the pixels that it replaces.

    Returns:
        The array, and the metadata of the full image, upright.

    Raises:
        ImageError: the file cannot be read; see `read`.
    """
    with open_image(path) as image:
        info = image.info
        lying = info.orientation >= TURNED
        size = (info.width, info.height) if lying else (info.height, info.width)
        smallest = None
        if averages(resize):
            place = placed(*size, resize)[1]
            smallest = (place.width, place.height) if lying else (place.height, place.width)
        return upright_colours(*read_stored(image, None, path, smallest=smallest))


def upright_colours(pixels: NDArray[Any], info: ImageInfo) -> tuple[NDArray[Any], ImageInfo]:
    """Return a reader's pixels upright, with palette colours looked up, and their metadata.

    Args:
        pixels: pixels from `OpenedImage.read`.
        info: metadata of the file.
    """
    return turned(*with_colours(pixels, info))


def with_colours(pixels: NDArray[Any], info: ImageInfo) -> tuple[NDArray[Any], ImageInfo]:
    """Return an image with colours in place of palette indices, if it has a palette."""
    if not info.palette:
        return pixels, info
    table = np.zeros((256, 3), np.uint8)
    table[: len(info.palette)] = info.palette
    return table[pixels[..., 0]], _with_colour_bands(info)


def upright_info(info: ImageInfo) -> ImageInfo:
    """Return the metadata of an image after `upright_colours`, from the file's metadata only."""
    info = _with_colour_bands(info) if info.palette else info
    return info if info.orientation == 1 else _turned_info(info)


def turned(pixels: NDArray[Any], info: ImageInfo) -> tuple[NDArray[Any], ImageInfo]:
    """Return an image upright, according to its orientation; ``pixels`` are ``(H, W)`` or ``(H, W, C)``."""
    orientation = info.orientation
    if orientation == 1:
        return pixels, info
    return upright(pixels, orientation), _turned_info(info)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an image or mask ``(H, W, ...)`` rotated according to an EXIF orientation of 1 to 8."""
    lying = pixels.swapaxes(0, 1) if orientation >= TURNED else pixels
    return np.ascontiguousarray(np.flip(lying, _FLIPS.get(orientation, ())))


def _with_colour_bands(info: ImageInfo) -> ImageInfo:
    return replace(info, palette=(), bands=COLOURS, dtype="uint8")


def _turned_info(info: ImageInfo) -> ImageInfo:
    lying, flips = info.orientation >= TURNED, _FLIPS.get(info.orientation, ())
    height, width = (info.width, info.height) if lying else (info.height, info.width)
    # Column and row in the stored image, as functions of x and y in the upright image.
    column = (-1.0, 0.0, float(width)) if 1 in flips else (1.0, 0.0, 0.0)
    row = (0.0, -1.0, float(height)) if 0 in flips else (0.0, 1.0, 0.0)
    column, row = (row, column) if lying else (column, row)
    size = info.pixel_size[::-1] if lying and info.pixel_size else info.pixel_size
    return replace(
        info,
        orientation=1,
        height=height,
        width=width,
        pixel_size=size,
        geo=info.geo and _moved(info.geo, column, row),
        extra={},
    )


def _smaller(info: ImageInfo, height: int, width: int) -> ImageInfo:
    """Return the metadata of an image that was resized."""
    down, across = info.height / height, info.width / width
    return replace(
        info,
        height=height,
        width=width,
        pixel_size=info.pixel_size and (info.pixel_size[0] * down, info.pixel_size[1] * across),
        geo=info.geo and _moved(info.geo, (across, 0.0, 0.0), (0.0, down, 0.0)),
        extra={},
    )


def _moved(
    geo: GeoReference, column: tuple[float, float, float], row: tuple[float, float, float]
) -> GeoReference:
    """Return the moved georeference: old column = ``column[0] * x + column[1] * y + column[2]``."""
    a, b, c, d, e, f = geo.transform
    xs = [a * column[i] + b * row[i] for i in range(3)]
    ys = [d * column[i] + e * row[i] for i in range(3)]
    return replace(geo, transform=(xs[0], xs[1], xs[2] + c, ys[0], ys[1], ys[2] + f))


def count_pages(path: str | os.PathLike[str]) -> int:
    """Return the number of pages of an image file; raises the errors of `read`."""
    with open_image(path) as image:
        return image.info.pages


def _resized(pixels: NDArray[Any], height: int, width: int, alpha: int | None) -> NDArray[Any]:
    """Return ``(height, width, C)`` of the same type, resized bicubically; booleans by nearest neighbour."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.bool_:
        return _plane(pixels[..., 0], height, width)[..., None]
    joined = pixels.shape[2] in (1, 3) or (alpha is not None and alpha + 1 == pixels.shape[2] in (2, 4))
    if pixels.dtype == np.uint8 and joined:
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        small = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
        return small.reshape(height, width, -1)
    return np.stack([_plane(pixels[..., band], height, width) for band in range(pixels.shape[2])], axis=2)


def _plane(plane: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    dtype = plane.dtype
    if dtype not in (np.bool_, np.uint8):
        plane = plane.astype(np.int32 if dtype.kind in "iu" and dtype.itemsize <= 2 else np.float32)
    small = np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
    if dtype.kind in "iu" and dtype != np.uint8:
        limits = np.iinfo(dtype)
        small = np.clip(np.rint(small.astype(np.float64)), limits.min, limits.max)
    return small.astype(dtype)
