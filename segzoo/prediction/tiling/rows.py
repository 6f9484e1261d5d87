"""Where the rows of a large image come from: arrays, and files that are decoded as far as they are needed."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segzoo.errors import ImageError
from segzoo.images import display_for, read
from segzoo.images.reading import upright_info, with_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.images import Display, NamedImage
    from segzoo.interfaces import ImageInfo

#: Rows that are read, or made from a file's bytes, at a time.
READ_ROWS = 64


class RowSource(Protocol):
    """An image ``(height, width, channels)`` of any type that is read from the top, some rows at a time."""

    @property
    def height(self) -> int:
        """Rows, at least 1."""
        ...

    @property
    def width(self) -> int:
        """Columns, at least 1."""
        ...

    @property
    def channels(self) -> int:
        """All bands, as `segzoo.images.read` returns them."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    @property
    def info(self) -> ImageInfo | None:
        """The metadata of the image's file, upright and without a palette."""
        ...

    @property
    def resident(self) -> int:
        """Bytes that it holds, or will hold once it is read, whatever number of rows is asked for."""
        ...

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``, ``(bottom - top, width, channels)``.

        Rows are asked for from the top downwards; going back may mean to decode from the start again.

        Raises:
            ImageError: the file is damaged or cut short.
        """
        ...


def in_parts(rows: RowSource) -> Iterator[NDArray[Any]]:
    """Yield all rows of an image from the top, `READ_ROWS` at a time."""
    for top in range(0, rows.height, READ_ROWS):
        yield rows.read(top, min(top + READ_ROWS, rows.height))


class Values:
    """Numbers ``(H, W, C)`` of any type as a `RowSource`.

    Raises:
        ImageError: they have another shape or no pixel.
    """

    resident = 0

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], info: ImageInfo | None = None) -> None:
        if len(shape) != 3 or 0 in shape:
            raise ImageError(f"an image must be (H, W) or (H, W, C) with at least one pixel, got {shape}")
        self.height, self.width, self.channels = shape
        self.dtype, self.info = dtype, info
        self.nbytes = math.prod(shape) * dtype.itemsize

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``, ``(bottom - top, width, channels)``."""
        raise NotImplementedError


class ArrayRows(Values):
    """An array ``(H, W)`` or ``(H, W, C)``; rows of a memory-mapped one are read when they are asked for."""

    def __init__(self, array: NDArray[Any], info: ImageInfo | None = None) -> None:
        self._array = array[..., None] if array.ndim == 2 else array
        super().__init__(self._array.shape, array.dtype, info)

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are."""
        return np.asarray(self._array[top:bottom])


class OpenedRows(Values):
    """An image file whose reader decodes rows as they are asked for; it is open until nobody has this.

    Args:
        image: open, and upright.
        page: which of several, from 0.
        resident: bytes that the reader holds.
        close: closes the file.
    """

    def __init__(self, image: NamedImage, page: int, resident: int, close: Callable[[], object]) -> None:
        self._told = image.describe(page)
        info = upright_info(self._told)
        super().__init__((info.height, info.width, len(info.bands)), np.dtype(info.dtype), info)
        self._image, self._page, self.resident = image, page, resident
        weakref.finalize(self, close)

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored, a palette looked up."""
        rows = self._image.rows(self._page, top, bottom)
        return with_colours(rows, self._told)[0]


class WholeRows(Values):
    """A file that is decoded at once, when its first row is asked for.

    Args:
        path: the file.
        info: its metadata.
        page: which of several, from 0; the first, with a warning if there are more, where not told.
    """

    def __init__(self, path: Path, info: ImageInfo, page: int | None = None) -> None:
        info = upright_info(info)
        height, width = info.height, info.width
        super().__init__((height, width, len(info.bands)), np.dtype(info.dtype), info)
        self._path, self._page = path, page
        self._array: NDArray[Any] | None = None
        # Pillow keeps colours in four bytes, hands them over as bytes, and copies once more to turn upright.
        each = 4 + 2 * self.channels if self.channels > 1 else 3
        if self.dtype.itemsize > 1:  # as they are decoded, in order, and on their way to other numbers
            each = 3 * self.channels * max(self.dtype.itemsize, 8)
        self.resident = height * width * each

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored; the first time, decode them all."""
        if self._array is None:
            self._array = read(self._path, page=self._page)
        return self._array[top:bottom]


class ShownRows:
    """The rows of an image as people can see it (`segzoo.images.display_for`), for outputs that draw on it.

    What is deeper than 8 bits is gone through once before the first row is given.

    Args:
        rows: the image.
        bands: which of its bands are shown, where some were chosen.
    """

    dtype, channels, info = np.dtype(np.uint8), 3, None

    def __init__(self, rows: RowSource, bands: Sequence[str] = ()) -> None:
        self._rows, self._bands = rows, bands
        self.height, self.width, self.resident = rows.height, rows.width, rows.resident
        self._display: Display | None = None

    def read(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows ``top`` to ``bottom``, ``(bottom - top, width, 3)``."""
        if self._display is None:
            self._display = display_for(in_parts(self._rows), self._rows.info, bands=self._bands)
        return self._display.apply(self._rows.read(top, bottom))
