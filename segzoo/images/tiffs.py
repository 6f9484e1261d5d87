"""TIFF files that Pillow does not read: floats with colours, 16 bits a colour, planes, rare compressions.

They are decoded by tifffile, an extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Suffixes of TIFF files.
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})


def load_tifffile() -> Any:
    """Return the module ``tifffile``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("tifffile")
    except ImportError as error:
        raise MissingExtraError("this TIFF needs tifffile: pip install 'segzoo[tiff]'") from error


def read_tiff(path: Path, page: int | None = None) -> NDArray[Any]:
    """Decode a page of a TIFF, the first unless told, as ``(H, W)`` or ``(H, W, C)`` of the file's own type.

    Raises:
        ImageError: it is no TIFF, has no such page, or is compressed in a way that is not understood.
        MissingExtraError: tifffile is not installed.
    """
    tifffile = load_tifffile()
    try:
        with tifffile.TiffFile(path) as file:
            found = file.pages[page or 0]
            pixels, axes = found.asarray(), found.axes
    except IndexError as error:
        raise ImageError(f"{path} has no page {page}, or is cut short") from error
    # A TIFF can be wrong in as many ways as there are tags.
    except Exception as error:
        raise ImageError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from error
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"]):
        raise ImageError(f"{path} has the axes {axes}: a page must be rows, columns and perhaps colours")
    order = [axes.index(axis) for axis in "YXS" if axis in axes]
    return np.transpose(pixels, order)


def count_tiff_pages(path: Path) -> int:
    """Return how many pages a TIFF has; errors as `read_tiff`."""
    tifffile = load_tifffile()
    try:
        with tifffile.TiffFile(path) as file:
            return len(file.pages)
    except Exception as error:
        raise ImageError(f"{path} cannot be read: {error}") from error
