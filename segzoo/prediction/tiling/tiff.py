"""TIFF by strips or tiles, with tifffile (BSD-3-Clause, the extra ``tiff``).

Format: Adobe, TIFF revision 6.0. Only what follows each other in the file, or is cut into strips or tiles
that tifffile decodes by itself, is read here; `tiff_rows` says so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from segzoo.errors import ImageError
from segzoo.images.tiffs import TURNED, check_tiles, orientation_of
from segzoo.prediction.tiling.rows import FileRows, Values, WholeRows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.prediction.tiling.rows import RowSource

_BLACK_IS_ZERO, _COLOURS = 1, 2


def tiff_rows(path: Path, number: int = 0, *, deep: bool = False) -> RowSource | None:
    """Return a page by rows, or ``None`` where it must be decoded whole: palettes, single bits.

    Args:
        path: the file.
        number: of the page.
        deep: whether `segzoo.images.read` leaves it to tifffile, which takes its numbers as they are.

    Raises:
        ImageError: the file is damaged, or has no such page.
    """
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[number]
            shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
            dtype = np.dtype(page.dtype).newbyteorder(file.byteorder)
            check_tiles(page)
            if not (_joined(page) if deep else _plain(page)):
                return _whole(path, shape, dtype, number, orientation_of(page)) if deep else None
            if page.is_contiguous:
                return FileRows(path, page.dataoffsets[0], shape, dtype)
            rows = TiffRows(path, file, page, shape)
            rows.values(0, 1)
    except ImageError:
        if deep:
            raise
        # What tifffile cannot decode, Pillow may.
        return None
    except Exception as error:  # a TIFF can be wrong in as many ways as there are tags
        raise ImageError(f"{path} is damaged or cut short: {error}") from error
    return rows


def _whole(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], number: int, orientation: int
) -> WholeRows:
    height, width = shape[:2] if orientation < TURNED else shape[1::-1]
    rows = WholeRows(path, height, width, shape[2] - (shape[2] in (2, 4)), number)
    # As it is decoded, in order, and on its way to bytes.
    rows.resident = 3 * math.prod(shape) * max(dtype.itemsize, 8)
    return rows


def _joined(page: Any) -> bool:
    """Whether the samples of a pixel lie together, each of whole bytes, and rows are in order."""
    return (
        isinstance(page.bitspersample, int)
        and page.bitspersample in (8, 16, 32)
        and (page.planarconfig == 1 or page.samplesperpixel == 1)
        and page.imagedepth == 1
        and orientation_of(page) == 1
    )


def _plain(page: Any) -> bool:
    grey = page.photometric == _BLACK_IS_ZERO and page.samplesperpixel <= 2
    colours = page.photometric == _COLOURS and page.bitspersample == 8 and page.samplesperpixel <= 4
    return (grey or colours) and _joined(page)


class TiffRows(Values):
    """The strips or tiles of a page, decoded a row of them at a time."""

    def __init__(self, path: Path, file: Any, page: Any, shape: tuple[int, ...]) -> None:
        super().__init__(shape, np.dtype(page.dtype))
        self._path, self._page = path, page
        self._tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, shape[0])
        self._wide = page.tilewidth if page.is_tiled else shape[1]
        self._across = -(-shape[1] // self._wide)
        self._shape = shape
        self._row, self._decoded = -1, np.empty((0, *shape[1:]), self._dtype)
        # A row of strips as it is kept, as it is decoded, and as the file holds it.
        self.resident = 3 * self._tall * self._across * self._wide * shape[2] * self._dtype.itemsize

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored."""
        found = []
        while top < bottom:
            row = top // self._tall
            if row != self._row:
                self._decoded, self._row = self._decode(row), row
            first = top - row * self._tall
            found.append(self._decoded[first : first + bottom - top])
            top += len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _decode(self, row: int) -> NDArray[Any]:
        height = min(self._tall, self._shape[0] - row * self._tall)
        rows = np.zeros((height, *self._shape[1:]), self._dtype)
        with self._path.open("rb") as file:
            for column in range(self._across):
                index = row * self._across + column
                file.seek(self._page.dataoffsets[index])
                data = file.read(self._page.databytecounts[index])
                left = column * self._wide
                part = rows[:, left : left + self._wide]
                part[:] = self._segment(data, index)[:height, : part.shape[1]]
        return rows

    def _segment(self, data: bytes, index: int) -> NDArray[Any]:
        if not data:
            # A strip that is left out holds zeros.
            return np.zeros((self._tall, self._wide, self._shape[2]), self._dtype)
        try:
            segment = self._page.decode(data, index, jpegtables=self._page.jpegtables)[0]
        except Exception as error:  # whatever codec it is, it raises its own
            raise ImageError(f"{self._path} is damaged or cut short at part {index}: {error}") from error
        if segment is None:
            raise ImageError(f"{self._path} is damaged: part {index} is empty")
        return segment[0]
