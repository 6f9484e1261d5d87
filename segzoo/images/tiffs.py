"""TIFF of any type, with the axes that ImageJ, OME and tifffile write: channels are bands, others are pages.

Format: Adobe, TIFF revision 6.0. tifffile (the extra ``tiff``) says what a file holds, and decodes what
Pillow would narrow to 8 bits, drop bands of, or not know. All else is Pillow's, which has more codecs.
"""

from __future__ import annotations

import logging
import math
import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segzoo.errors import ImageError, MissingExtraError, missing_extra
from segzoo.files import regular
from segzoo.images.arrays import names_of_bands, native
from segzoo.images.georeference import PLACING, TAGS, described
from segzoo.images.pillow import PillowImage
from segzoo.images.sizes import check_pixels
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.interfaces import OpenedImage

#: Pixels of a tile that may be more than the whole image has.
_LARGEST_TILE = 2**24
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _COLOURS, _INKS = 0, 1, 2, 5
#: Extra samples that are opacity: associated with the colours, or not.
_MULTIPLIED = 1
_OPACITY = (_MULTIPLIED, 2)
#: How strips and tiles are packed that tifffile unpacks by itself: not at all, by Deflate, PackBits.
_PACKED = (1, 8, 32773, 32946)
#: From this orientation on, rows and columns change places.
_TURNED = 5
#: What Pillow's modes hold of each pixel; others lose something of a TIFF.
_SAMPLES = {"1": 1, "L": 1, "P": 1, "F": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3}
#: Units of lengths as OME and ImageJ spell them: the one that is told, and how many of it one is.
_LENGTHS = {
    **dict.fromkeys(("µm", "\u03bcm", "um", "micron", "microns", "\\u00B5m"), ("um", 1.0)),
    **dict.fromkeys(("nm", "nanometer"), ("um", 1e-3)),
    **dict.fromkeys(("mm", "millimeter"), ("mm", 1.0)),
    **dict.fromkeys(("cm", "centimeter"), ("mm", 10.0)),
    **dict.fromkeys(("m", "meter"), ("m", 1.0)),
}
#: What an axis of a stack is called.
_AXES = {"Z": "z", "T": "time", "P": "position", "R": "position"}


def load_tifffile() -> Any:
    """Return the module ``tifffile``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        found = import_module("tifffile")
    except ImportError as error:
        raise missing_extra("this TIFF needs tifffile", "tiff") from error
    # What it logs, such as of a tag that it cannot parse, would else be printed: errors are told here.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return found


@contextmanager
def open_tiff(path: Path) -> Iterator[OpenedImage]:
    """Open a TIFF; see `segzoo.interfaces.ImageReader`.

    Without tifffile, files that Pillow reads with all that they hold are opened all the same.

    Raises:
        ImageError: it is damaged.
        MissingExtraError: tifffile is not installed, and Pillow does not do.
    """
    regular(path)
    try:
        tifffile = load_tifffile()
    except MissingExtraError:
        with _pillows(path) as picture:
            if picture is None or not _is_enough(picture):
                raise
            picture.count_pages()
            picture.info = described(picture.info, picture.tags)
            yield picture
        return
    with ExitStack() as stack:
        file = stack.enter_context(_opened(tifffile, path))
        if not file.pages:
            raise ImageError("it has no page")
        picture = None if _is_plain(file.pages.first) else stack.enter_context(_pillows(path))
        yield TiffImage(path, file, picture)


@contextmanager
def _pillows(path: Path) -> Iterator[PillowImage | None]:
    """Open a TIFF with Pillow, if that knows it."""
    try:
        picture = PillowImage(path, Image.open(path), counted=False)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        yield None  # rows of what is too large at once can be had all the same
        return
    try:
        yield picture
    finally:
        picture.close()


def _is_plain(page: Any) -> bool:
    """Whether tifffile decodes a page alone, so that nobody need ask Pillow."""
    bits = page.bitspersample
    stored = page.compression in _PACKED and isinstance(bits, int) and bits % 8 == 0
    return stored and page.photometric in (_BLACK_IS_ZERO, _COLOURS) and _MULTIPLIED not in page.extrasamples


@contextmanager
def _opened(tifffile: Any, path: Path) -> Iterator[Any]:
    """Open a file with tifffile: each file for itself, where OME's metadata name others beside it."""
    with tifffile.TiffFile(path, _multifile=False) as file:
        yield file


def _is_enough(picture: PillowImage) -> bool:
    """Whether Pillow gives all of a TIFF: 8 bits, or one band of 16 or of floats, and no axes but pages."""
    tags = picture.tags
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    told = str(tags.get(270, ""))
    axes = "channels=" in told or "<OME" in told or re.search(r'"axes": "[A-Z]*C', told)
    single = picture.mode.startswith("I;16") or picture.mode == "F"
    whole = picture.mode in _SAMPLES and max(bits) <= 8 and tags.get(277, 1) == _SAMPLES[picture.mode]
    return not axes and (single or whole) and (single or set(kinds) == {1})


class TiffImage:
    """A TIFF as an open image.

    Args:
        path: the file.
        file: tifffile's.
        picture: Pillow's, if it knows the file.

    Raises:
        ImageError: it is damaged, or a page is neither rows and columns nor bands.
    """

    def __init__(self, path: Path, file: Any, picture: PillowImage | None) -> None:
        self._path, self._file, self._picture = path, file, picture
        self._layout = _stack(file) or _directories(file)
        if not self._layout.pages:
            raise ImageError(f"{path} is damaged or cut short: it has no page")
        first = self._layout.pages[0].keyframe
        if picture is None or not self._layout.frames or not _exact(first, picture):
            self._picture = None
        self._exact_kind = _kind(first)
        self.info = self.describe()
        self._planes: dict[int, list[_Raw | _Segments] | None] = {}

    def describe(self, page: int = 0) -> ImageInfo:
        """Return what is said of a page; those of a TIFF may differ in size and kind."""
        key = self._layout.pages[page].keyframe
        if key.dtype is None:
            raise ImageError(f"{self._path} holds values of {key.bitspersample} bits that are not read")
        bands, alpha = _bands(key, self._layout.pages[page].count, self._layout.names)
        dtype, palette = np.dtype(key.dtype).name, ()
        height, width, orientation = key.imagelength, key.imagewidth, orientation_of(key)
        inverted = key.photometric == _WHITE_IS_ZERO
        if picture := self._picture_of(page):
            told = picture.info
            dtype, palette = told.dtype, told.palette
            if len(told.bands) != len(bands) or picture.mode not in ("LA", "RGBA"):
                bands, alpha = told.bands, told.alpha
            # Pillow turns values of up to 8 bits round, and images upright.
            inverted = inverted and dtype not in ("bool", "uint8")
            height, width = (width, height) if orientation >= _TURNED else (height, width)
            orientation = 1
        size, unit = _pixel_size(self._file, key)
        info = ImageInfo(
            height=height,
            width=width,
            dtype=dtype,
            bands=bands,
            alpha=alpha,
            format="TIFF",
            orientation=orientation,
            palette=palette,
            pages=len(self._layout.pages),
            page_axis=self._layout.axis,
            pixel_size=size,
            unit=unit,
            inverted=inverted,
        )
        # Of what Pillow has turned upright, the tags say where it would lie unturned.
        stays = orientation == orientation_of(key)
        codes = [code for code in TAGS if code in key.tags and (stays or code not in PLACING)]
        return described(info, {code: key.tags[code].value for code in codes})

    def _picture_of(self, page: int) -> PillowImage | None:
        """Return Pillow's image if it decodes a page with all that it holds."""
        return self._picture if _kind(self._layout.pages[page].keyframe) == self._exact_kind else None

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Decode a page; see `segzoo.interfaces.OpenedImage`."""
        del smallest
        if picture := self._picture_of(page):
            return picture.read(self._layout.frames[page])
        found = self._layout.pages[page]
        check_pixels(self._path, found.keyframe.imagelength, found.keyframe.imagewidth)
        check_tiles(found.keyframe)
        return native(found.read(self._path))

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows of a page."""
        planes = self._by_rows(page) or ()
        parts = [plane.rows(top, bottom) for plane in planes]
        return native(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2))

    def resident(self, page: int) -> int | None:
        """Return the bytes that are held to read rows, or ``None`` where the page is decoded whole."""
        planes = self._by_rows(page)
        return None if planes is None else sum(plane.resident for plane in planes)

    def _by_rows(self, page: int) -> list[_Raw | _Segments] | None:
        found = self._layout.pages[page]
        changed = orientation_of(found.keyframe) != 1 or _MULTIPLIED in found.keyframe.extrasamples
        if changed and self._picture_of(page):  # by Pillow, and rows are as they are stored
            return None
        if page not in self._planes:
            self._planes = {page: found.planes(self._path)}
        return self._planes[page]


@dataclass(frozen=True)
class _Page:
    """Where a page's bands lie: in one directory of the file, or in one for each.

    Attributes:
        keyframe: the directory that says how all of them are stored.
        parts: tifffile's pages, each with one band or several; empty where values follow each other at
            ``offsets``.
        offsets: where the values of each part begin.
        dtype: of values at offsets, with the file's order of bytes.
    """

    keyframe: Any
    parts: tuple[Any, ...] = ()
    offsets: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None

    @property
    def count(self) -> int:
        """Of parts."""
        return len(self.parts) or len(self.offsets)

    def read(self, path: Path) -> NDArray[Any]:
        """Return all rows ``(H, W, C)``."""
        if self.offsets:
            found = [plane.rows(0, self.keyframe.imagelength) for plane in self.planes(path) or ()]
        else:
            found = [_in_order(_decoded(part, path), self.keyframe.axes, path) for part in self.parts]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=2)

    def planes(self, path: Path) -> list[_Raw | _Segments] | None:
        """Return what reads rows, or ``None`` where tifffile or Pillow decode the page at once."""
        key = self.keyframe
        shape = (key.imagelength, key.imagewidth, key.samplesperpixel)
        if self.offsets:
            assert self.dtype is not None
            return [_Raw(path, offset, shape, self.dtype) for offset in self.offsets]
        planes: list[_Raw | _Segments] = []
        for part in self.parts:
            found = _planes_of(part, path)
            if found is None:
                return None
            planes += found
        return planes


@dataclass(frozen=True)
class _Layout:
    """The pages of a file.

    Attributes:
        pages: each with its bands.
        axis: what pages are.
        names: of the bands that lie in parts of their own.
        frames: the number of Pillow's frame for each page, where a page is one directory.
    """

    pages: list[_Page]
    axis: str = ""
    names: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()


def _directories(file: Any) -> _Layout:
    """Return a page for each directory of the file, but for overviews and masks of others."""
    found = [(number, page) for number, page in enumerate(file.pages)]
    kept = [(number, page) for number, page in found if not _is_side(page)] or found
    return _Layout(
        [_Page(getattr(page, "keyframe", page), (page,)) for _, page in kept],
        frames=tuple(number for number, _ in kept),
    )


def _is_side(page: Any) -> bool:
    """Whether a page is a smaller copy or a mask of another."""
    kind = int(getattr(page, "subfiletype", 0) or 0)
    return bool(kind & 0b101)


def _stack(file: Any) -> _Layout | None:
    """Return the pages of a file that names its axes; ``None`` where each directory is a page of its own."""
    if not (file.is_imagej or file.is_ome or file.is_shaped or file.is_lsm) or _is_alone(file):
        return None
    pages: list[_Page] = []
    axes = ""
    bands: set[int] = set()
    for series in file.series:
        if _is_side(series.keyframe):
            continue
        found = _pages_of(series)
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
    return _Layout(
        pages,
        axis=" and ".join(dict.fromkeys(named)),
        names=_channel_names(file, bands.pop()),
        frames=frames if -1 not in frames else (),
    )


def _is_alone(file: Any) -> bool:
    """Whether a file that tifffile wrote is one page, which its description calls as large as it is."""
    if len(file.pages) != 1 or file.is_imagej or file.is_ome or not file.is_shaped:
        return False
    told = re.match(r'\{"shape": \[([\d, ]+)\]', str(file.pages.first.description))
    sizes = [int(size) for size in told[1].split(",")] if told else []
    return bool(sizes) and math.prod(sizes) == math.prod(file.pages.first.shape)


def _pages_of(series: Any) -> tuple[list[_Page], str] | None:
    """Return the pages of a series, and the axes that number them; ``None`` if it is no stack of planes."""
    key = series.keyframe
    axes = list(zip(series.get_axes(squeeze=False), series.get_shape(squeeze=False), strict=True))
    plane = [axis for axis in axes if axis[0] in key.axes]
    # What numbers the directories, before the axes of one directory.
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
            _Page(key, offsets=tuple(series.dataoffset + int(n) * size for n in group), dtype=dtype)
            for group in grouped
        ], paged
    planes = list(series.pages)
    if len(planes) != count:
        return None
    pages = [_Page(key, tuple(planes[n] for n in group if planes[n] is not None)) for group in grouped]
    return [page for page in pages if page.parts], paged


def _channel_names(file: Any, count: int) -> tuple[str, ...]:
    """Return the names that OME gives to channels, one for each of ``count``, or none."""
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


def _pixel_size(file: Any, page: Any) -> tuple[tuple[float, float] | None, str]:
    """Return height and width of a pixel and their unit, as OME or ImageJ say them; else nothing."""
    if file.is_ome:
        return _ome_size(file)
    unit = _LENGTHS.get(str((file.imagej_metadata or {}).get("unit", "")).strip())
    if unit is None:
        return None, ""
    # ImageJ keeps pixels in a unit where others keep dots in an inch.
    try:
        sizes = [page.tags[name].value for name in ("YResolution", "XResolution")]
        height, width = (unit[1] * below / above for above, below in sizes)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None, ""
    return ((height, width), unit[0]) if min(height, width) > 0 else (None, "")


def _ome_size(file: Any) -> tuple[tuple[float, float] | None, str]:
    found = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", file.ome_metadata or "")
    told = dict(re.findall(r'(PhysicalSize[XY](?:Unit)?)="([^"]*)"', found[0] if found else ""))
    sizes: list[float] = []
    for axis in "YX":
        _, factor = _LENGTHS.get(told.get(f"PhysicalSize{axis}Unit", "µm"), ("", 0.0))
        try:
            sizes.append(float(told.get(f"PhysicalSize{axis}", 0)) * factor)
        except ValueError:
            return None, ""
    units = {_LENGTHS.get(told.get(f"PhysicalSize{axis}Unit", "µm"), ("", 0.0))[0] for axis in "YX"}
    return ((sizes[0], sizes[1]), units.pop()) if len(units) == 1 and min(sizes) > 0 else (None, "")


def _exact(page: Any, picture: PillowImage) -> bool:
    """Whether Pillow gives all bits and bands of a page as they are."""
    mode, samples, bits = picture.mode, page.samplesperpixel, page.bitspersample
    if page.photometric == _INKS:
        return mode == "CMYK" and samples == 4
    if not isinstance(bits, int) or page.planarconfig != 1:  # of one band too, where Pillow stumbles over it
        return False
    if mode.startswith("I;16") or mode == "F":
        return samples == 1 and page.dtype in (np.uint16, np.float32)
    return bits <= 8 and page.sampleformat == 1 and _SAMPLES.get(mode) == samples


def _kind(page: Any) -> tuple[Any, ...]:
    """Return all that decides whether Pillow decodes a page with all that it holds."""
    stored = page.bitspersample, page.sampleformat, page.planarconfig
    return *stored, page.photometric, page.samplesperpixel, tuple(page.extrasamples or ())


def _bands(page: Any, parts: int, known: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
    """Return the names of bands that lie in so many parts, and which is opacity."""
    samples = page.samplesperpixel
    if parts > 1:
        return known or names_of_bands(parts * samples, colours=False), None
    colours = ("red", "green", "blue") if page.photometric == _COLOURS else ()
    if samples == 1:
        colours = ("grey",)
    names = list(colours[:samples])
    names += [f"band {number}" for number in range(len(names) + 1, samples + 1)]
    extra = tuple(int(one) for one in page.extrasamples or ())[:samples]
    alpha = None
    for number, kind in enumerate(extra, samples - len(extra)):
        if kind in _OPACITY and alpha is None:
            alpha, names[number] = number, "alpha"
    return tuple(names), alpha


def _in_order(pixels: NDArray[Any], axes: str, path: Path) -> NDArray[Any]:
    """Return a decoded page as ``(H, W, C)``."""
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"]):
        raise ImageError(f"{path} has the axes {axes}: a page must be rows, columns and perhaps colours")
    pixels = pixels.transpose([axes.index(axis) for axis in "YXS" if axis in axes])
    return pixels if "S" in axes else pixels[..., None]


def _decoded(page: Any, path: Path) -> NDArray[Any]:
    try:
        return page.asarray()
    except Exception as error:
        raise _told(error, page, path) from error


def _told(error: Exception, page: Any, path: Path) -> Exception:
    """Return what to say where tifffile cannot decode: a codec is missing, or the file is damaged."""
    if isinstance(error, MemoryError | ImageError):
        return error
    if "imagecodecs" in str(error):
        name = getattr(page.compression, "name", page.compression)
        return missing_extra(f"{path} is packed with {name}, which needs imagecodecs", "tiff")
    return ImageError(f"{path} is damaged or cut short: {str(error).strip() or type(error).__name__}")


def orientation_of(page: Any) -> int:
    """Return how a page of tifffile lies, as EXIF counts it: 1 is upright."""
    tag = page.tags.get("Orientation")
    value = 1 if tag is None else int(tag.value)
    return value if value in range(1, 9) else 1


def check_tiles(page: Any) -> None:
    """Raise `ValueError` if the tiles of a page of tifffile are far larger than its image."""
    tile = page.tilelength * page.tilewidth if page.is_tiled else 0
    if tile > max(_LARGEST_TILE, 4 * page.imagelength * page.imagewidth):
        raise ValueError(f"its tiles are {page.tilelength}x{page.tilewidth}, far larger than the image")


def _planes_of(page: Any, path: Path) -> Sequence[_Raw | _Segments] | None:
    """Return what reads the rows of a directory; ``None`` where it must be decoded whole."""
    grey = page.photometric == _BLACK_IS_ZERO
    colours = page.photometric == _COLOURS
    deep = page.photometric == _WHITE_IS_ZERO and page.bitspersample != 8
    whole_bytes = isinstance(page.bitspersample, int) and page.bitspersample in (8, 16, 32, 64)
    if not whole_bytes or page.imagedepth != 1 or not (grey or colours or deep):
        return None
    check_tiles(page)
    separate = page.planarconfig != 1 and page.samplesperpixel > 1
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    if page.is_contiguous:
        start, size = page.dataoffsets[0], height * width * dtype.itemsize
        if separate:
            return [_Raw(path, start + s * size, (height, width, 1), dtype) for s in range(samples)]
        return [_Raw(path, start, (height, width, samples), dtype)]
    if separate:
        planes = [_Segments(path, page, 1, first=s) for s in range(samples)]
    else:
        planes = [_Segments(path, page, samples)]
    try:
        planes[0].rows(0, 1)
    except MissingExtraError:
        return None  # Pillow may decode it, or it will be said when it is decoded
    return planes


class _Raw:
    """Values one after another in a file, read rather than mapped: mapped pages count as memory."""

    resident = 0

    def __init__(self, path: Path, offset: int, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self._path, self._offset, self._shape, self._dtype = path, offset, shape, dtype

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        pixels = self._shape[1] * self._shape[2]
        start = self._offset + top * pixels * self._dtype.itemsize
        found = np.fromfile(self._path, self._dtype, (bottom - top) * pixels, offset=start)
        if len(found) < (bottom - top) * pixels:
            raise ImageError(f"{self._path} is cut short: it ends before row {bottom}")
        return found.reshape(bottom - top, *self._shape[1:])


class _Segments:
    """The strips or tiles of a page, decoded a row of them at a time.

    Args:
        path: the file.
        page: tifffile's.
        bands: that each strip or tile holds.
        first: the plane that they are of, where planes are separate.
    """

    def __init__(self, path: Path, page: Any, bands: int, first: int = 0) -> None:
        self._path, self._page = path, page
        height, width = page.imagelength, page.imagewidth
        self._height, self._width, self._bands = height, width, bands
        self._tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, height)
        self._wide = page.tilewidth if page.is_tiled else width
        self._across = -(-width // self._wide)
        self._first = first * self._across * -(-height // self._tall)
        self._dtype = np.dtype(page.dtype)
        self._row, self._kept = -1, np.empty((0, width, bands), self._dtype)

    @property
    def resident(self) -> int:
        """Bytes of a row of strips as it is kept, as it is decoded, and as the file holds it."""
        return 3 * self._tall * self._across * self._wide * self._bands * self._dtype.itemsize

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        found = []
        while top < bottom:
            row = top // self._tall
            if row != self._row:
                self._kept, self._row = self._decode(row), row
            first = top - row * self._tall
            found.append(self._kept[first : first + bottom - top])
            top += len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _decode(self, row: int) -> NDArray[Any]:
        height = min(self._tall, self._height - row * self._tall)
        rows = np.zeros((height, self._width, self._bands), self._dtype)
        with self._path.open("rb") as file:
            for column in range(self._across):
                index = self._first + row * self._across + column
                file.seek(self._page.dataoffsets[index])
                data = file.read(self._page.databytecounts[index])
                left = column * self._wide
                part = rows[:, left : left + self._wide]
                part[:] = self._segment(data, index)[:height, : part.shape[1]]
        return rows

    def _segment(self, data: bytes, index: int) -> NDArray[Any]:
        if not data:
            # A strip that is left out holds zeros.
            return np.zeros((self._tall, self._wide, self._bands), self._dtype)
        try:
            segment = self._page.decode(data, index, jpegtables=self._page.jpegtables)[0]
        except Exception as error:  # whatever codec it is, it raises its own
            raise _told(error, self._page, self._path) from error
        if segment is None:
            raise ImageError(f"{self._path} is damaged: part {index} is empty")
        return segment[0]
