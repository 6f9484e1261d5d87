"""Image files as sources of rows: ``.npy``, PNG, TIFF and Zarr a few rows at a time, others decoded whole."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ExifTags, Image

from segzoo.errors import ImageError
from segzoo.files import regular
from segzoo.images import holds_array, opened, read_array
from segzoo.images.reading import is_deep, map_array, naming
from segzoo.images.tiffs import TIFF_STARTS, load_tifffile
from segzoo.images.zarrs import ZarrImage, holds_zarr
from segzoo.prediction.tiling.png import SIGNATURE, PngRows, by_rows
from segzoo.prediction.tiling.rows import ArrayRows, FileRows, WholeRows, ZarrRows

if TYPE_CHECKING:
    import os

    from segzoo.prediction.tiling.rows import RowSource


def open_rows(
    path: str | os.PathLike[str], *, page: int | None = None, max_pixels: int | None = -1
) -> RowSource:
    """Open an image file by rows, with the values that `segzoo.images.read` gives.

    ``.npy`` files, PNG files that are not interlaced, TIFF files (with the extra ``tiff``) and Zarr folders
    (with the extra ``zarr``) are read as far as they are needed. All else, also what EXIF says to turn, is
    decoded whole when its first row is asked for, and holds `RowSource.resident` bytes.

    Args:
        path: the file.
        page: which of several, from 0; the first where not told.
        max_pixels: more than these are refused of compressed files; ``None``: any number. Twice Pillow's
            ``Image.MAX_IMAGE_PIXELS`` where not told, which is where Pillow refuses to decode, as it
            does whatever is told here with files that are decoded whole.

    Raises:
        ImageError: there is no such file, it is no image, or has too many pixels.
        MissingExtraError: it takes an extra that is not installed.
    """
    path = Path(path)
    with naming(path, page):
        rows = _opened(path, page)
    if max_pixels == -1:
        max_pixels = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else None
    if isinstance(rows, ArrayRows | FileRows):
        return rows  # as large as its file: nothing to be surprised by
    if max_pixels is not None and rows.height * rows.width > max_pixels:
        raise ImageError(
            f"{path} claims {rows.height}x{rows.width} pixels, above the limit of {max_pixels} that guards"
            " against files made to exhaust a machine: if you trust it, say --any-size, or raise max_pixels"
        )
    return rows


def _opened(path: Path, page: int | None) -> RowSource:
    if path.suffix.lower() == ".npy":
        return _npy_rows(path)
    if holds_zarr(path):
        return ZarrRows(ZarrImage(path))
    if holds_array(path):
        return ArrayRows(read_array(path))
    with regular(path).open("rb") as file:
        start = file.read(8)
    if start == SIGNATURE and by_rows(path):
        return PngRows(path)
    return (_tiff_rows(path, page) if start[:4] in TIFF_STARTS else None) or _whole_rows(path, page)


def _tiff_rows(path: Path, page: int | None) -> RowSource | None:
    """Return a TIFF by rows, or ``None`` where Pillow decodes it whole."""
    deep = is_deep(path)
    if deep:
        load_tifffile()  # or say how to install it
    if not find_spec("tifffile"):
        return None
    from segzoo.prediction.tiling.tiff import tiff_rows

    return tiff_rows(path, page or 0, deep=deep)


def _npy_rows(path: Path) -> RowSource:
    mapped = map_array(path)
    if not mapped.flags.c_contiguous:
        return ArrayRows(mapped)
    return FileRows(path, mapped.offset, mapped.shape, mapped.dtype)


def _whole_rows(path: Path, page: int | None) -> RowSource:
    with opened(path, page) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        grey = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")
        width, height = image.size[::-1] if turned else image.size
    return WholeRows(path, height, width, 1 if grey else 3, page)
