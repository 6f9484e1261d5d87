"""Where the rows of a large image come from: arrays, and files that are decoded as far as they are needed."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segzoo.errors import ImageError
from segzoo.images import read_with_info
from segzoo.images.intensity import scaling_of_rows
from segzoo.images.reading import with_colours, without_alpha
from segzoo.specs import Intensity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.images import NamedImage
    from segzoo.images.intensity import Scaling
    from segzoo.interfaces import ImageInfo

#: Rows that are read, or made from a file's bytes, at a time.
READ_ROWS = 64


class RowSource(Protocol):
    """An image ``(height, width, channels)`` uint8 that is read from the top, some rows at a time."""

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
        """As `segzoo.images.read` would return: alpha is dropped, palettes are looked up."""
        ...

    @property
    def resident(self) -> int:
        """Bytes that it holds, or will hold once it is read, whatever number of rows is asked for."""
        ...

    def read(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows ``top`` to ``bottom``, ``(bottom - top, width, channels)``.

        Rows are asked for from the top downwards; going back may mean to decode from the start again.

        Raises:
            ImageError: the file is damaged or cut short.
        """
        ...


class Values:
    """Numbers ``(H, W, C)`` of any type as a `RowSource`: the values of bytes are found as they are read.

    Values other than bytes are brought to 0 to 255 as `segzoo.images.to_uint8` does, by the least and the
    largest of the whole image, which is gone through before the first row is given.

    Raises:
        ImageError: they have another shape or no pixel, or are no picture's.
    """

    resident = 0

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if len(shape) != 3 or 0 in shape:
            raise ImageError(f"an image must be (H, W) or (H, W, C) with at least one pixel, got {shape}")
        self.height, self.width, self.channels = shape
        self._dtype = dtype
        self._scaling: Scaling | None = None
        self.nbytes = math.prod(shape) * dtype.itemsize

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored, ``(bottom - top, width, channels)``."""
        raise NotImplementedError

    def read(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows ``top`` to ``bottom``."""
        if self._scaling is None:
            parts = (
                self.values(top, min(top + READ_ROWS, self.height))
                for top in range(0, self.height, READ_ROWS)
            )
            self._scaling = scaling_of_rows(Intensity(), parts, dtype=self._dtype)
        return self._scaling.apply(self.values(top, bottom)).astype(np.uint8, copy=False)


class ArrayRows(Values):
    """An array ``(H, W)`` or ``(H, W, C)``; rows of a memory-mapped one are read when they are asked for."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array[..., None] if array.ndim == 2 else array
        super().__init__(self._array.shape, array.dtype)

    def values(self, top: int, bottom: int) -> NDArray[Any]:
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
        info = image.info
        super().__init__((info.height, info.width, _bands(info)), _dtype(info))
        self._image, self._page, self.resident = image, page, resident
        weakref.finalize(self, close)

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored, a palette looked up, without what the file declares to be alpha."""
        pixels, info = with_colours(self._image.rows(self._page, top, bottom), self._image.info)
        return without_alpha(pixels, info)


class WholeRows(Values):
    """A file that is decoded at once, when its first row is asked for.

    Args:
        path: the file.
        info: what it says of itself.
        page: which of several, from 0; the first, with a warning if there are more, where not told.
    """

    def __init__(self, path: Path, info: ImageInfo, page: int | None = None) -> None:
        height, width = (info.width, info.height) if info.orientation >= 5 else (info.height, info.width)
        super().__init__((height, width, _bands(info)), _dtype(info))
        self._path, self._page = path, page
        self._array: NDArray[Any] | None = None
        # Pillow keeps colours in four bytes, hands them over as bytes, and copies once more to turn upright.
        bands = len(info.bands)
        each = 4 + 2 * self.channels if self.channels > 1 else 3
        if self._dtype.itemsize > 1:  # as they are decoded, in order, and on their way to other numbers
            each = 3 * bands * max(self._dtype.itemsize, 8)
        self.resident = height * width * each

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored; the first time, decode them all."""
        if self._array is None:
            self._array = without_alpha(*read_with_info(self._path, page=self._page))
        return self._array[top:bottom]


def _bands(info: ImageInfo) -> int:
    return 3 if info.palette else len(info.bands) - (info.alpha is not None)


def _dtype(info: ImageInfo) -> np.dtype[Any]:
    return np.dtype(np.uint8 if info.palette else info.dtype)
