"""Where the rows of a large image come from: arrays, and files that are decoded as far as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segzoo.errors import ImageError
from segzoo.images.intensity import scaling_of_rows
from segzoo.specs import Intensity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.images.intensity import Scaling
    from segzoo.images.zarrs import ZarrImage

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
        self.height, self.width, self.channels = shape[0], shape[1], shape[2] - (shape[2] in (2, 4))
        self._dtype = dtype
        self._scaling: Scaling | None = None

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored, ``(bottom - top, width, channels)``."""
        raise NotImplementedError

    def read(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows ``top`` to ``bottom``."""
        if self._scaling is None:
            parts = (
                self._kept(top, min(top + READ_ROWS, self.height)) for top in range(0, self.height, READ_ROWS)
            )
            self._scaling = scaling_of_rows(Intensity(), parts, dtype=self._dtype)
        return self._scaling.apply(self._kept(top, bottom)).astype(np.uint8, copy=False)

    def _kept(self, top: int, bottom: int) -> NDArray[Any]:
        return self.values(top, bottom)[..., : self.channels]


class ArrayRows(Values):
    """An array ``(H, W)`` or ``(H, W, C)``; rows of a memory-mapped one are read when they are asked for."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array[..., None] if array.ndim == 2 else array
        super().__init__(self._array.shape, array.dtype)

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are."""
        return np.asarray(self._array[top:bottom])


class FileRows(Values):
    """Numbers one after another in a file, read rather than mapped: mapped pages count as memory."""

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape = (*shape, 1) if len(shape) == 2 else shape
        super().__init__(self._shape, dtype)
        self._path, self._offset = path, offset

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored."""
        pixels = self._shape[1] * self._shape[2]
        start = self._offset + top * pixels * self._dtype.itemsize
        count = (bottom - top) * pixels
        try:
            found = np.fromfile(self._path, self._dtype, count, offset=start)
        except OSError as error:
            raise ImageError(f"{self._path} cannot be read: {error.strerror or error}") from error
        if len(found) < count:
            raise ImageError(f"{self._path} is cut short: it ends before row {bottom}")
        return found.reshape(bottom - top, *self._shape[1:])


class ZarrRows(Values):
    """A Zarr image; a row of chunks is decoded at a time, and kept while its rows are asked for."""

    def __init__(self, image: ZarrImage) -> None:
        super().__init__(image.shape, image.dtype)
        self._image, self._first = image, -1
        self._rows = np.empty((0, *image.shape[1:]), image.dtype)
        # A row of chunks as it is kept, as it is put together, and as its chunks are decoded.
        self.resident = 3 * min(image.tall, self.height) * self.width * image.shape[2] * image.dtype.itemsize

    def values(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as they are stored."""
        found, tall = [], self._image.tall
        while top < bottom:
            first = top // tall * tall
            if first != self._first:
                self._rows, self._first = np.empty((0, *self._rows.shape[1:]), self._dtype), -1
                self._rows = self._image.rows(first, min(first + tall, self.height))
                self._first = first
            found.append(self._rows[top - first : bottom - first])
            top += len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate(found)


class WholeRows:
    """A file in a format that is decoded at once, when its first row is asked for."""

    def __init__(self, path: Path, height: int, width: int, channels: int, page: int | None = None) -> None:
        self._path, self._page = path, page
        self._array: NDArray[np.uint8] | None = None
        self.height, self.width, self.channels = height, width, channels
        # Pillow keeps colours in four bytes, hands them over as bytes, and copies once more to turn upright.
        self.resident = height * width * (4 + 2 * channels if channels > 1 else 3)

    def read(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows ``top`` to ``bottom``; the first time, decode them all."""
        if self._array is None:
            from segzoo.images import read

            self._array = read(self._path, page=self._page)
        return self._array[top:bottom]
