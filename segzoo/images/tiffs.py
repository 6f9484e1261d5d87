"""TIFF files that Pillow does not read: floats with colours, 16 bits a colour, planes, rare compressions.

They are decoded by tifffile, an extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError, missing_extra
from segzoo.files import regular
from segzoo.images.sizes import check_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: The first bytes of TIFF and BigTIFF files, of either byte order.
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: Pixels of a tile that may be more than the whole image has.
_LARGEST_TILE = 2**24
#: The axes that an orientation of EXIF flips; from `TURNED` on, rows and columns change places before.
_FLIPS = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
TURNED = 5


def load_tifffile() -> Any:
    """Return the module ``tifffile``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("tifffile")
    except ImportError as error:
        raise missing_extra("this TIFF needs tifffile", "tiff") from error


def read_tiff(path: Path, page: int | None = None) -> NDArray[Any]:
    """Decode a page of a TIFF, the first unless told, as ``(H, W)`` or ``(H, W, C)`` of the file's own type.

    It is turned upright.

    Raises:
        ImageError: it is no TIFF, has no such page, is too large to decode at once, or is compressed in a
            way that is not understood.
        MissingExtraError: tifffile is not installed.
    """
    tifffile = load_tifffile()
    try:
        with tifffile.TiffFile(regular(path)) as file:
            found = file.pages[page or 0]
            check_pixels(path, found.imagelength, found.imagewidth)
            check_tiles(found)
            pixels, axes, orientation = found.asarray(), found.axes, orientation_of(found)
    except (ImageError, MemoryError):
        raise
    except IndexError as error:
        where = f"has no page {page}, or" if page else "is damaged or"
        raise ImageError(f"{path} {where} is cut short") from error
    # A TIFF can be wrong in as many ways as there are tags.
    except Exception as error:
        raise ImageError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from error
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"]):
        raise ImageError(f"{path} has the axes {axes}: a page must be rows, columns and perhaps colours")
    rows, columns = ("X", "Y") if orientation >= TURNED else ("Y", "X")
    order = [axes.index(axis) for axis in (rows, columns, "S") if axis in axes]
    return np.flip(np.transpose(pixels, order), _FLIPS.get(orientation, ()))


def orientation_of(page: Any) -> int:
    """Return how a page of tifffile lies, as EXIF counts it: 1 is upright."""
    tag = page.tags.get("Orientation")
    return 1 if tag is None else int(tag.value)


def check_tiles(page: Any) -> None:
    """Raise `ValueError` if the tiles of a page of tifffile are far larger than its image."""
    tile = page.tilelength * page.tilewidth if page.is_tiled else 0
    if tile > max(_LARGEST_TILE, 4 * page.imagelength * page.imagewidth):
        raise ValueError(f"its tiles are {page.tilelength}x{page.tilewidth}, far larger than the image")


def count_tiff_pages(path: Path) -> int:
    """Return how many pages a TIFF has; errors as `read_tiff`."""
    tifffile = load_tifffile()
    try:
        with tifffile.TiffFile(regular(path)) as file:
            return len(file.pages)
    except Exception as error:
        raise ImageError(f"{path} cannot be read: {error}") from error
