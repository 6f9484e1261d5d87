"""Arrays written by numpy.save or torch.save, as images."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import pickles
from segzoo.errors import ImageError
from segzoo.files import check_zip_sums, regular
from segzoo.images.bands import names_of_bands
from segzoo.images.pixels import from_tensor
from segzoo.images.sizes import check_pixels
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: Maximum number of bands for arrays whose first axis may be the bands.
FEW = 16
#: Maximum size in bytes of the pickle that describes the tensor in a file; about 200 bytes are usual.
_MOST_PICKLE = 1 << 20


@contextmanager
def open_npy(path: Path) -> Iterator[ArrayImage]:
    """Open an array written by numpy.save; see `segzoo.interfaces.ImageReader`."""
    yield FileImage(path, map_array(path))


@contextmanager
def open_tensor(path: Path) -> Iterator[ArrayImage]:
    """Open a tensor written by torch.save; see `segzoo.interfaces.ImageReader`."""
    yield ArrayImage(path, check_numbers(_read_tensor(regular(path)), path), "torch")


class ArrayImage:
    """An array ``(H, W)``, ``(H, W, C)`` or, for up to 16 bands, ``(C, H, W)`` as an open image.

    Raises:
        ImageError: it has another shape or no pixels.
    """

    def __init__(self, path: Path, array: NDArray[Any], kind: str) -> None:
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise ImageError(
                f"{path}: an image must be (H, W), (H, W, C) or (C, H, W) with at least one pixel, got "
                f"{array.shape}"
            )
        array = array[..., None] if array.ndim == 2 else array
        # Bands first, as in torch: no image has so few rows and so many bands.
        self._array = array.transpose(1, 2, 0) if array.shape[0] <= FEW < array.shape[2] else array
        self.info = ImageInfo(
            height=self._array.shape[0],
            width=self._array.shape[1],
            dtype=array.dtype.newbyteorder("=").name,
            bands=names_of_bands(self._array.shape[2]),
            format=kind,
        )

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return the array."""
        del page, smallest
        return native(np.array(self._array))

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows of the array."""
        del page
        return native(np.asarray(self._array[top:bottom]))

    def resident(self, page: int) -> int:
        """Return the bytes of the array."""
        del page
        return self._array.nbytes


class RawRows:
    """Consecutive values in a file; they are read, not memory-mapped, because mapped pages count as memory.

    Args:
        path: the file.
        offset: position of the first value in bytes.
        shape: ``(H, W, C)``.
        dtype: type of the values, in the file's byte order.
    """

    resident = 0

    def __init__(self, path: Path, offset: int, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self._path, self._offset, self._shape, self._dtype = path, offset, shape, dtype

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``.

        Raises:
            ImageError: the file ends before them.
        """
        pixels = self._shape[1] * self._shape[2]
        start = self._offset + top * pixels * self._dtype.itemsize
        found = np.fromfile(self._path, self._dtype, (bottom - top) * pixels, offset=start)
        if len(found) < (bottom - top) * pixels:
            raise ImageError(f"{self._path} is cut short: it ends before row {bottom}")
        return found.reshape(bottom - top, *self._shape[1:])


class BlockRows:
    """Rows out of blocks, such as strips, tiles or chunks: one row of blocks is decoded at a time and cached.

    Args:
        height: height of the image.
        tall: height of a block in pixels.
    """

    def __init__(self, height: int, tall: int) -> None:
        self._height, self._tall = height, tall
        self._place, self._kept = (-1, -1), np.empty((0, 0, 0))

    def rows(
        self, top: int, bottom: int, decode: Callable[[int, int], NDArray[Any]], page: int = 0
    ) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``.

        Args:
            top: first row.
            bottom: row after the last.
            decode: decodes one row of blocks, given its first row and the row after its last.
            page: page of the rows.
        """
        found = []
        while top < bottom:
            first = top // self._tall * self._tall
            if self._place != (page, first):
                self._kept = decode(first, min(first + self._tall, self._height))
                self._place = page, first
            found.append(self._kept[top - first : bottom - first])
            top += len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate(found)


class FileImage(ArrayImage):
    """An array that is memory-mapped from its file."""

    def __init__(self, path: Path, array: np.memmap[Any, Any]) -> None:
        super().__init__(path, array, "numpy")
        self._joined = self._array.flags.c_contiguous
        self._raw = RawRows(path, array.offset, self._array.shape, self._array.dtype)

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows, which are read, not mapped, if they are contiguous."""
        return native(self._raw.rows(top, bottom)) if self._joined else super().rows(page, top, bottom)

    def resident(self, page: int) -> int:
        """Return 0 if rows are contiguous in the file; else the number of bytes that are mapped."""
        return 0 if self._joined else super().resident(page)


def native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the values in native byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def map_array(path: Path) -> np.memmap[Any, Any]:
    """Return the array of a ``.npy`` file without reading its values; it must hold numbers.

    Raises:
        ImageError: it does not, or is shorter than its header claims.
    """
    regular(path)
    try:
        # With mapping, a header that claims more than the file holds is refused without using memory.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # headers can also cause tokenize.TokenError and OverflowError
        if not path.stat().st_size:
            raise ImageError(f"{path} cannot be read: the file is empty") from error
        raise ImageError(
            f"{path} is not an array of numbers from numpy.save, or is cut short: {error}"
        ) from error
    if not isinstance(mapped, np.memmap):
        mapped.close()
        raise ImageError(f"{path} holds several arrays from numpy.savez: save each in its own file")
    check_numbers(mapped, path)
    return mapped


def check_numbers(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return an array unchanged if its values are real numbers or booleans.

    Raises:
        ImageError: they are text, dates, records, complex numbers or others.
    """
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"{path} holds values of type {array.dtype}: pixels must be integers, floats or booleans"
        )
    return array


def _read_tensor(path: Path) -> NDArray[Any]:
    import torch  # imported only for files that torch wrote

    _check_stored(path)
    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise ImageError(f"{path} holds no tensor that can be read without running code") from error
    if not isinstance(tensor, torch.Tensor):
        raise ImageError(f"{path} holds {type(tensor).__name__}, not one tensor (H, W) or (H, W, C)")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ImageError(
            f"{path} is not a tensor with a number for each pixel: it is {tensor.layout}, {tensor.dtype}, on "
            f"{tensor.device}"
        )
    if tensor.numel() * tensor.element_size() > path.stat().st_size:
        # A tensor that repeats one value takes no space in its file, so limit the size that it claims.
        check_pixels(path, *(*tensor.shape, 1, 1)[:2])
    return from_tensor(tensor)


def _check_stored(path: Path) -> None:
    """Refuse a file that unpacks to more than an image may have; torch.save does not compress.

    Raises:
        ImageError: it unpacks to too much.
        ValueError: a checksum is wrong.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if pickles.is_overlong(file):
                raise ImageError(f"{path} holds more than a tensor")
        return
    with zipfile.ZipFile(path) as packed:
        entries = packed.infolist()
    if any(entry.file_size > _MOST_PICKLE for entry in entries if entry.filename.endswith(".pkl")):
        raise ImageError(f"{path} holds more than a tensor")  # its parts would take far more memory
    size = sum(entry.file_size for entry in entries)
    if size > path.stat().st_size:
        check_pixels(path, size, 1)
    check_zip_sums(path)
