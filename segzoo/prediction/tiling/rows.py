"""Sources of rows of a large image: arrays, and files that are decoded only as far as needed."""

from __future__ import annotations

import math
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segzoo.errors import ImageError
from segzoo.images import display_for, open_image, read
from segzoo.images.reading import upright_info, with_colours
from segzoo.images.sizes import ANY_SIZE, most_pixels

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.images import Display, NamedImage
    from segzoo.interfaces import ImageInfo

#: Number of rows that are read, or decoded from a file's bytes, at a time.
READ_ROWS = 64


class RowSource(Protocol):
    """An image ``(height, width, channels)`` of any type that is read from the top, a few rows at a time."""

    @property
    def height(self) -> int:
        """Number of rows, at least 1."""
        ...

    @property
    def width(self) -> int:
        """Number of columns, at least 1."""
        ...

    @property
    def channels(self) -> int:
        """Number of bands, as `segzoo.images.read` returns them."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    @property
    def info(self) -> ImageInfo | None:
        """Metadata of the image's file, upright and without a palette."""
        ...

    @property
    def resident(self) -> int:
        """Bytes that it holds, or will hold once it is read, for any number of rows."""
        ...

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``, ``(bottom - top, width, channels)``.

        Rows are read from the top downwards; going back may mean decoding from the start again.

        Raises:
            ImageError: the file is damaged or truncated.
        """
        ...


def in_parts(rows: RowSource) -> Iterator[NDArray[Any]]:
    """Yield all rows of an image from the top, `READ_ROWS` at a time."""
    for top in range(0, rows.height, READ_ROWS):
        yield rows.read(top, min(top + READ_ROWS, rows.height))


class Values:
    """Numbers ``(H, W, C)`` of any type as a `RowSource`.

    Raises:
        ImageError: the array has another shape or no pixels.
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
    """An array ``(H, W)`` or ``(H, W, C)``; rows of a memory-mapped array are read when requested."""

    def __init__(self, array: NDArray[Any], info: ImageInfo | None = None) -> None:
        self._array = array[..., None] if array.ndim == 2 else array
        super().__init__(self._array.shape, array.dtype, info)

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows unchanged."""
        return np.asarray(self._array[top:bottom])


class OpenedRows(Values):
    """An image file whose reader decodes rows when requested; it stays open as long as this object exists.

    Args:
        image: open image, upright.
        page: page of a file with several, from 0.
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
        """Return rows as stored, with palette colours looked up."""
        rows = self._image.rows(self._page, top, bottom)
        return with_colours(rows, self._told)[0]


class WholeRows(Values):
    """A file that is decoded completely when its first row is requested.

    Args:
        path: image file.
        info: metadata of the file.
        page: page of a file with several, from 0; by default the first, with a warning if there are more.
    """

    def __init__(self, path: Path, info: ImageInfo, page: int | None = None) -> None:
        info = upright_info(info)
        height, width = info.height, info.width
        super().__init__((height, width, len(info.bands)), np.dtype(info.dtype), info)
        self._path, self._page = path, page
        self._array: NDArray[Any] | None = None
        # Pillow keeps colours in four bytes, returns them as bytes, and copies again to rotate.
        each = 4 + 2 * self.channels if self.channels > 1 else 3
        if self.dtype.itemsize > 1:  # as decoded, in native byte order, and during conversion
            each = 3 * self.channels * max(self.dtype.itemsize, 8)
        self.resident = height * width * each

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows as stored; the first call decodes all of them."""
        if self._array is None:
            self._array = read(self._path, page=self._page)
        return self._array[top:bottom]


class ShownRows:
    """The rows of an image as shown to people (`segzoo.images.display_for`), for outputs that draw on it.

    Images with more than 8 bits are read once before the first row is returned.

    Args:
        rows: the image.
        bands: bands to show, if some were chosen.
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


def open_rows(
    path: str | os.PathLike[str], *, page: int | None = None, max_pixels: int | None = -1
) -> RowSource:
    """Open an image file by rows, with the values that `segzoo.images.read` gives.

    If a file's reader has ``rows`` (`segzoo.interfaces.OpenedImage`), only the needed rows are read:
    ``.npy``, PNG without interlacing, TIFF and Zarr. Any other file, and any that EXIF rotates, is decoded
    completely when its first row is read, and then holds `RowSource.resident` bytes.

    Args:
        path: image file to open.
        page: page of a file with several, from 0; the first by default.
        max_pixels: largest number of pixels in a compressed file; ``None``: no limit. By default twice
            Pillow's ``Image.MAX_IMAGE_PIXELS``; Pillow itself enforces that limit for files that are decoded
            completely, whatever is set here.

    Raises:
        ImageError: there is no such file, it is not an image, or it has too many pixels.
        MissingExtraError: the format needs an extra that is not installed.
    """
    path = Path(path)
    with ExitStack() as stack:
        image = stack.enter_context(open_image(path))
        info = image.describe(page or 0)
        resident = image.resident(page or 0) if info.orientation == 1 else None
        if resident is None:
            rows = WholeRows(path, info, page)
        else:
            rows = OpenedRows(image, page or 0, resident, stack.pop_all().close)
    if max_pixels == -1:
        max_pixels = most_pixels()
    if path.stat().st_size >= rows.nbytes:
        return rows  # as large as its file, so it cannot be a decompression bomb
    if max_pixels is not None and rows.height * rows.width > max_pixels:
        raise ImageError(
            f"{path} claims {rows.height}x{rows.width} pixels, more than the limit of {max_pixels} that"
            f" protects against files made to exhaust memory; {ANY_SIZE}, or raise max_pixels"
        )
    return rows
