"""Read bands of a TIFF's directories with tifffile: at once, or one row of strips or tiles at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, MissingExtraError
from segzoo.images.arrays import BlockRows, RawRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: Values of the photometric interpretation.
WHITE_IS_ZERO, BLACK_IS_ZERO, COLOURS, INKS = 0, 1, 2, 5
#: A tile with more pixels than this may have at most four times the pixels of the image.
_LARGEST_TILE = 2**24


def in_order(pixels: NDArray[Any], axes: str, path: Path) -> NDArray[Any]:
    """Return a decoded page as ``(H, W, C)``."""
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"]):
        raise ImageError(f"{path} has the axes {axes}: a page must have rows, columns and optionally colours")
    pixels = pixels.transpose([axes.index(axis) for axis in "YXS" if axis in axes])
    return pixels if "S" in axes else pixels[..., None]


def decoded(page: Any, path: Path) -> NDArray[Any]:
    """Return all values of a directory, with axes as stored.

    Raises:
        ImageError: it is damaged.
        MissingExtraError: its compression needs imagecodecs, which is not installed.
    """
    try:
        return page.asarray()
    except Exception as error:
        raise told_error(error, page, path) from error


def told_error(error: Exception, page: Any, path: Path) -> Exception:
    """Return the error if tifffile cannot decode: a codec is missing, or the file is damaged."""
    if isinstance(error, MemoryError | ImageError):
        return error
    if "imagecodecs" in str(error):
        name = getattr(page.compression, "name", page.compression)
        return MissingExtraError(
            f"{path} is compressed with {name}, which needs imagecodecs: pip install imagecodecs"
        )
    return ImageError(f"{path} is damaged or cut short: {str(error).strip() or type(error).__name__}")


def check_tiles(page: Any) -> None:
    """Raise `ValueError` if the tiles of a tifffile page are far larger than its image."""
    tile = page.tilelength * page.tilewidth if page.is_tiled else 0
    if tile > max(_LARGEST_TILE, 4 * page.imagelength * page.imagewidth):
        raise ValueError(f"its tiles are {page.tilelength}x{page.tilewidth}, far larger than the image")


def rows_of(page: Any, path: Path) -> Sequence[RawRows | SegmentRows] | None:
    """Return what reads the rows of a directory; ``None`` if it must be decoded whole."""
    key = page.keyframe  # in a stack, only the first page describes how all are stored
    grey = key.photometric == BLACK_IS_ZERO
    colours = key.photometric == COLOURS
    deep = key.photometric == WHITE_IS_ZERO and key.bitspersample != 8
    whole_bytes = isinstance(key.bitspersample, int) and key.bitspersample in (8, 16, 32, 64)
    if not whole_bytes or key.imagedepth != 1 or not (grey or colours or deep):
        return None
    check_tiles(key)
    separate = key.planarconfig != 1 and key.samplesperpixel > 1
    height, width, samples = key.imagelength, key.imagewidth, key.samplesperpixel
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    if page.is_contiguous:
        start, size = page.dataoffsets[0], height * width * dtype.itemsize
        if separate:
            return [RawRows(path, start + s * size, (height, width, 1), dtype) for s in range(samples)]
        return [RawRows(path, start, (height, width, samples), dtype)]
    if separate:
        planes = [SegmentRows(path, page, 1, first=s) for s in range(samples)]
    else:
        planes = [SegmentRows(path, page, samples)]
    try:
        planes[0].rows(0, 1)
    except MissingExtraError:
        return None  # Pillow may decode it; otherwise decoding will report the problem
    return planes


class SegmentRows:
    """The strips or tiles of a page, decoded one row of them at a time.

    Args:
        path: image file.
        page: tifffile's page.
        bands: number of bands in each strip or tile.
        first: plane of the strips or tiles, if planes are stored separately.
    """

    def __init__(self, path: Path, page: Any, bands: int, first: int = 0) -> None:
        self._path, self._page = path, page
        key = page.keyframe
        height, width = key.imagelength, key.imagewidth
        self._width, self._bands = width, bands
        self._tall = key.tilelength if key.is_tiled else min(key.rowsperstrip, height)
        self._wide = key.tilewidth if key.is_tiled else width
        self._across = -(-width // self._wide)
        self._first = first * self._across * -(-height // self._tall)
        self._dtype = np.dtype(page.dtype)
        self._blocks = BlockRows(height, self._tall)

    @property
    def resident(self) -> int:
        """Bytes of a row of strips: cached, while decoded, and in the file."""
        return 3 * self._tall * self._across * self._wide * self._bands * self._dtype.itemsize

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``."""
        return self._blocks.rows(top, bottom, self._decode)

    def _decode(self, top: int, bottom: int) -> NDArray[Any]:
        rows = np.zeros((bottom - top, self._width, self._bands), self._dtype)
        with self._path.open("rb") as file:
            for column in range(self._across):
                index = self._first + top // self._tall * self._across + column
                file.seek(self._page.dataoffsets[index])
                data = file.read(self._page.databytecounts[index])
                left = column * self._wide
                part = rows[:, left : left + self._wide]
                part[:] = self._segment(data, index)[: len(rows), : part.shape[1]]
        return rows

    def _segment(self, data: bytes, index: int) -> NDArray[Any]:
        if not data:
            # A strip that is left out consists of zeros.
            return np.zeros((self._tall, self._wide, self._bands), self._dtype)
        try:
            segment = self._page.decode(data, index, jpegtables=self._page.jpegtables)[0]
        except Exception as error:  # each codec raises its own errors
            raise told_error(error, self._page, self._path) from error
        if segment is None:
            raise ImageError(f"{self._path} is damaged: part {index} is empty")
        return segment[0]
