"""Image files as sources of rows: decoded a few rows at a time where their reader can, else whole."""

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

    Files whose reader has ``rows`` (`segzoo.interfaces.OpenedImage`) are read as far as they are needed:
    ``.npy``, PNG that is not interlaced, TIFF and Zarr. All else, also what EXIF says to turn, is decoded
    whole when its first row is asked for, and holds `RowSource.resident` bytes.

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
        return rows  # as large as its file: nothing to be surprised by
    if max_pixels is not None and rows.height * rows.width > max_pixels:
        raise ImageError(
            f"{path} claims {rows.height}x{rows.width} pixels, above the limit of {max_pixels} that guards"
            f" against files made to exhaust a machine; {ANY_SIZE}, or raise max_pixels"
        )
    return rows
