"""Which directories of a TIFF form a page: one each, or by the axes that ImageJ, OME and tifffile write."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.images.arrays import RawRows
from segzoo.images.strips import SegmentRows, decoded, in_order, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Bits of the NewSubfileType tag.
_REDUCED, _MASK = 1, 4
#: Names of the axes of a stack.
_AXES = {"Z": "z", "T": "time", "P": "position", "R": "position"}


@dataclass(frozen=True)
class TiffPage:
    """Where a page's bands are stored: in one directory of the file, or in several.

    Attributes:
        keyframe: directory that describes how all of them are stored.
        parts: tifffile's pages, each with one or several bands; empty if values are stored contiguously at
            ``offsets``.
        offsets: position of the values of each part.
        dtype: type of the values at ``offsets``, in the file's byte order.
    """

    keyframe: Any
    parts: tuple[Any, ...] = ()
    offsets: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None

    @property
    def count(self) -> int:
        """Number of parts."""
        return len(self.parts) or len(self.offsets)

    def read(self, path: Path) -> NDArray[Any]:
        """Return all rows ``(H, W, C)``."""
        if self.offsets:
            found = [plane.rows(0, self.keyframe.imagelength) for plane in self.planes(path) or ()]
        else:
            found = [in_order(decoded(part, path), self.keyframe.axes, path) for part in self.parts]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=2)

    def planes(self, path: Path) -> list[RawRows | SegmentRows] | None:
        """Return what reads rows, or ``None`` if tifffile or Pillow decodes the page at once."""
        key = self.keyframe
        shape = (key.imagelength, key.imagewidth, key.samplesperpixel)
        if self.offsets:
            assert self.dtype is not None
            return [RawRows(path, offset, shape, self.dtype) for offset in self.offsets]
        planes: list[RawRows | SegmentRows] = []
        for part in self.parts:
            found = rows_of(part, path)
            if found is None:
                return None
            planes += found
        return planes


@dataclass(frozen=True)
class TiffPages:
    """The pages of a file.

    Attributes:
        pages: pages with their bands.
        axis: meaning of the pages.
        names: names of the bands, if they are stored in separate parts.
        frames: number of Pillow's frame for each page, if a page is one directory.
    """

    pages: list[TiffPage]
    axis: str = ""
    names: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()


def pages_of(file: Any) -> TiffPages:
    """Return the pages of a file that tifffile has opened."""
    return _stacked(file) or _directories(file)


def _directories(file: Any) -> TiffPages:
    """Return a page for each directory of the file, except overviews and masks of others."""
    # Count first: iterating would never end if a directory links back to itself.
    found = [(number, file.pages[number]) for number in range(len(file.pages))]
    kept = [(number, page) for number, page in found if not _is_side(page)] or found
    return TiffPages(
        [TiffPage(getattr(page, "keyframe", page), (page,)) for _, page in kept],
        frames=tuple(number for number, _ in kept),
    )


def _is_side(page: Any) -> bool:
    """Whether a page is a smaller copy or a mask of another page."""
    kind = int(getattr(page, "subfiletype", 0) or 0)
    return bool(kind & _REDUCED or kind & _MASK)


def _stacked(file: Any) -> TiffPages | None:
    """Return the pages of a file that names its axes; ``None`` if each directory is a separate page."""
    if not (file.is_imagej or file.is_ome or file.is_shaped or file.is_lsm) or _is_alone(file):
        return None
    pages: list[TiffPage] = []
    axes = ""
    bands: set[int] = set()
    for series in file.series:
        if _is_side(series.keyframe):
            continue
        found = _series_pages(series)
        if found is None:
            return None
        pages += found[0]
        axes = axes or found[1]
        bands |= {page.count for page in found[0]}
    if len(bands) != 1 or (bands == {1} and len(pages) == len(file.pages) and not axes):
        return None
    named = [_AXES[axis] for axis in axes if axis in _AXES]
    single = bands == {1} and all(page.parts for page in pages)
    numbers = {id(page): number for number, page in enumerate(file.pages)} if single else {}
    frames = tuple(numbers.get(id(page.parts[0]), -1) for page in pages) if single else ()
    return TiffPages(
        pages,
        axis=" and ".join(dict.fromkeys(named)),
        names=_channel_names(file, bands.pop()),
        frames=frames if -1 not in frames else (),
    )


def _is_alone(file: Any) -> bool:
    """Whether a file that tifffile wrote is a single page whose description gives its shape."""
    if len(file.pages) != 1 or file.is_imagej or file.is_ome or not file.is_shaped:
        return False
    told = re.match(r'\{"shape": \[([\d, ]+)\]', str(file.pages.first.description))
    sizes = [int(size) for size in told[1].split(",")] if told else []
    return bool(sizes) and math.prod(sizes) == math.prod(file.pages.first.shape)


def _series_pages(series: Any) -> tuple[list[TiffPage], str] | None:
    """Return the pages of a series, and the axes that number them; ``None`` if it is no stack of planes."""
    key = series.keyframe
    axes = list(zip(series.get_axes(squeeze=False), series.get_shape(squeeze=False), strict=True))
    plane = [axis for axis in axes if axis[0] in key.axes]
    # The axes that number the directories come before the axes of one directory.
    outer = [axis for axis in axes if axis not in plane]
    if len(plane) != len(key.axes) or not {"Y", "X"} <= set(key.axes):
        return None
    count = math.prod(size for _, size in outer)
    numbers = np.arange(count).reshape([size for _, size in outer])
    bands = [place for place, (axis, _) in enumerate(outer) if axis == "C"]
    grouped = np.moveaxis(numbers, bands, range(-len(bands), 0))
    grouped = grouped.reshape(-1, math.prod(numbers.shape[place] for place in bands))
    paged = "".join(axis for axis, size in outer if axis != "C" and size > 1)
    dtype = np.dtype(series.dtype).newbyteorder(key.parent.byteorder)
    packed = key.planarconfig == 1 and key.bitspersample == 8 * dtype.itemsize
    if series.dataoffset is not None and packed:
        size = math.prod(key.shape) * dtype.itemsize
        return [
            TiffPage(key, offsets=tuple(series.dataoffset + int(n) * size for n in group), dtype=dtype)
            for group in grouped
        ], paged
    planes = list(series.pages)
    if len(planes) != count:
        return None
    pages = [TiffPage(key, tuple(planes[n] for n in group if planes[n] is not None)) for group in grouped]
    return [page for page in pages if page.parts], paged


def _channel_names(file: Any, count: int) -> tuple[str, ...]:
    """Return OME's names of channels, exactly ``count`` of them, or none."""
    if not file.is_ome or count < 2:
        return ()
    try:
        told = import_module("tifffile").xml2dict(file.ome_metadata)
        image = told["OME"]["Image"]
        image = image[0] if isinstance(image, list) else image
        channels = image["Pixels"]["Channel"]
        channels = channels if isinstance(channels, list) else [channels]
        names = tuple(str(one.get("Name", "")) for one in channels)
    except (KeyError, TypeError, AttributeError, ValueError):
        return ()
    return names if len(names) == count and all(names) else ()
