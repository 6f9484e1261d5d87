"""Image files as sources of rows: decoded a few rows at a time if their reader supports it, else whole."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.errors import ImageError
from segzoo.images import open_image
from segzoo.images.sizes import ANY_SIZE, most_pixels
from segzoo.prediction.tiling.rows import OpenedRows, WholeRows

if TYPE_CHECKING:
    import os

    from segzoo.prediction.tiling.rows import RowSource


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
