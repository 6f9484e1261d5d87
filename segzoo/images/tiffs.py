"""TIFF of any type, with the axes that ImageJ, OME and tifffile write: channels are bands, others are pages.

Format: Adobe, TIFF revision 6.0. tifffile (the extra ``tiff``) reads the structure of a file, and decodes
what Pillow would narrow to 8 bits, read without some bands, or not support. Pillow decodes the rest: it has
more codecs.
"""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segzoo.errors import ImageError, MissingExtraError, missing_extra
from segzoo.files import regular
from segzoo.images.arrays import native
from segzoo.images.bands import names_of_bands
from segzoo.images.georeference import PLACING, TAGS, described
from segzoo.images.pillow import PillowImage
from segzoo.images.reading import TURNED
from segzoo.images.sizes import check_pixels
from segzoo.images.stacks import pages_of
from segzoo.images.strips import BLACK_IS_ZERO, COLOURS, INKS, WHITE_IS_ZERO, check_tiles
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.images.arrays import RawRows
    from segzoo.images.strips import SegmentRows
    from segzoo.interfaces import OpenedImage

#: Extra samples that are alpha: premultiplied with the colours, or not.
_MULTIPLIED = 1
_OPACITY = (_MULTIPLIED, 2)
#: Compression of strips and tiles that tifffile decodes itself: none, Deflate, PackBits.
_PACKED = (1, 8, 32773, 32946)
#: Samples per pixel in Pillow's modes; other modes lose information of a TIFF.
_SAMPLES = {"1": 1, "L": 1, "P": 1, "F": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3}
#: Units of length as spelled by OME and ImageJ: the unit that is reported, and its factor.
_LENGTHS = {
    **dict.fromkeys(("µm", "\u03bcm", "um", "micron", "microns", "\\u00B5m"), ("um", 1.0)),
    **dict.fromkeys(("nm", "nanometer"), ("um", 1e-3)),
    **dict.fromkeys(("mm", "millimeter"), ("mm", 1.0)),
    **dict.fromkeys(("cm", "centimeter"), ("mm", 10.0)),
    **dict.fromkeys(("m", "meter"), ("m", 1.0)),
}


def load_tifffile() -> Any:
    """Return the module ``tifffile``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        found = import_module("tifffile")
    except ImportError as error:
        raise missing_extra("this TIFF needs tifffile", "tiff") from error
    # Without a handler, its log messages, such as about a bad tag, would be printed.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return found


@contextmanager
def open_tiff(path: Path) -> Iterator[OpenedImage]:
    """Open a TIFF; see `segzoo.interfaces.ImageReader`.

    Without tifffile, files that Pillow reads completely can still be opened.

    Raises:
        ImageError: it is damaged.
        MissingExtraError: tifffile is not installed, and Pillow is not enough.
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
        # Open only this file, even if OME's metadata name others next to it.
        file = stack.enter_context(tifffile.TiffFile(path, _multifile=False))
        if not file.pages:
            raise ImageError("it has no page")
        picture = None if all(map(_is_plain, file.pages)) else stack.enter_context(_pillows(path))
        yield TiffImage(path, file, picture)


@contextmanager
def _pillows(path: Path) -> Iterator[PillowImage | None]:
    """Open a TIFF with Pillow, if Pillow supports it."""
    try:
        picture = PillowImage(path, Image.open(path), counted=False)
    except (UnidentifiedImageError, Image.DecompressionBombError):
        yield None  # rows of an image that is too large can still be read
        return
    try:
        yield picture
    finally:
        picture.close()


def _is_plain(page: Any) -> bool:
    """Whether tifffile decodes a page by itself, so that Pillow is not needed."""
    bits = page.bitspersample
    stored = page.compression in _PACKED and isinstance(bits, int) and bits % 8 == 0
    return stored and page.photometric in (BLACK_IS_ZERO, COLOURS) and _MULTIPLIED not in page.extrasamples


def _is_enough(picture: PillowImage) -> bool:
    """Whether Pillow reads all of a TIFF: 8 bits, or one band of 16 bits or floats, and no axes but pages."""
    tags = picture.tags
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    told = str(tags.get(270, ""))
    axes = "channels=" in told or "<OME" in told or re.search(r'"axes": "[A-Z]*C', told)
    samples, joined = tags.get(277, 1), tags.get(284, 1) == 1
    single = samples == 1 and joined and (picture.mode.startswith("I;16") or picture.mode == "F")
    whole = picture.mode in _SAMPLES and max(bits) <= 8 and samples == _SAMPLES[picture.mode]
    return not axes and (single or whole) and (single or set(kinds) == {1})


class TiffImage:
    """A TIFF as an open image.

    Args:
        path: image file.
        file: tifffile's object.
        picture: Pillow's object, if Pillow supports the file.

    Raises:
        ImageError: it is damaged, or a page has axes other than rows, columns and bands.
    """

    def __init__(self, path: Path, file: Any, picture: PillowImage | None) -> None:
        self._path, self._file, self._picture = path, file, picture
        self._layout = pages_of(file)
        if not self._layout.pages:
            raise ImageError(f"{path} is damaged or cut short: it has no page")
        first = self._layout.pages[0].keyframe
        if picture is None or not self._layout.frames or not _exact(first, picture):
            self._picture = None
        self._exact_kind = _kind(first)
        self.info = self.describe()
        self._planes: dict[int, list[RawRows | SegmentRows] | None] = {}

    def describe(self, page: int = 0) -> ImageInfo:
        """Return the metadata of a page; pages of a TIFF may differ in size and kind."""
        key = self._layout.pages[page].keyframe
        if key.dtype is None:
            raise ImageError(
                f"{self._path} holds values of {key.bitspersample} bits, which are not supported"
            )
        bands, alpha = _bands(key, self._layout.pages[page].count, self._layout.names)
        dtype, palette = np.dtype(key.dtype).name, ()
        height, width, orientation = key.imagelength, key.imagewidth, orientation_of(key)
        inverted = key.photometric == WHITE_IS_ZERO
        if picture := self._picture_of(page):
            told = picture.info
            dtype, palette = told.dtype, told.palette
            if len(told.bands) != len(bands) or picture.mode not in ("LA", "RGBA"):
                bands, alpha = told.bands, told.alpha
            # Pillow inverts values of up to 8 bits, and rotates images upright.
            inverted = inverted and dtype not in ("bool", "uint8")
            height, width = (width, height) if orientation >= TURNED else (height, width)
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
        # If Pillow has rotated the image, the georeference tags are for the unrotated one.
        stays = orientation == orientation_of(key)
        codes = [code for code in TAGS if code in key.tags and (stays or code not in PLACING)]
        return described(info, {code: key.tags[code].value for code in codes})

    def _picture_of(self, page: int) -> PillowImage | None:
        """Return Pillow's image if it decodes a page without loss."""
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
        """Return the bytes that are held to read rows, or ``None`` if the page is decoded whole."""
        planes = self._by_rows(page)
        return None if planes is None else sum(plane.resident for plane in planes)

    def _by_rows(self, page: int) -> list[RawRows | SegmentRows] | None:
        found = self._layout.pages[page]
        changed = orientation_of(found.keyframe) != 1 or _MULTIPLIED in found.keyframe.extrasamples
        if changed and self._picture_of(page):  # changed by Pillow, while rows are as stored
            return None
        if page not in self._planes:
            self._planes = {page: found.planes(self._path)}
        return self._planes[page]


def _pixel_size(file: Any, page: Any) -> tuple[tuple[float, float] | None, str]:
    """Return height and width of a pixel and their unit from OME or ImageJ metadata, if there are any."""
    if file.is_ome:
        return _ome_size(file)
    unit = _LENGTHS.get(str((file.imagej_metadata or {}).get("unit", "")).strip())
    if unit is None:
        return None, ""
    # ImageJ stores pixels per unit where other programs store dots per inch.
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
    """Whether Pillow decodes all bits and bands of a page unchanged."""
    mode, samples, bits = picture.mode, page.samplesperpixel, page.bitspersample
    if page.photometric == INKS:
        return mode == "CMYK" and samples == 4
    if not isinstance(bits, int) or page.planarconfig != 1:  # even for one band, which confuses Pillow
        return False
    if mode.startswith("I;16") or mode == "F":
        return samples == 1 and page.dtype in (np.uint16, np.float32)
    return bits <= 8 and page.sampleformat == 1 and _SAMPLES.get(mode) == samples


def _kind(page: Any) -> tuple[Any, ...]:
    """Return the properties that decide whether Pillow decodes a page without loss."""
    stored = page.bitspersample, page.sampleformat, page.planarconfig
    return *stored, page.photometric, page.samplesperpixel, tuple(page.extrasamples or ())


def _bands(page: Any, parts: int, known: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
    """Return the names of bands that are stored in ``parts`` parts, and which of them is alpha."""
    samples = page.samplesperpixel
    if parts > 1:
        return known or names_of_bands(parts * samples, colours=False), None
    colours = ("red", "green", "blue") if page.photometric == COLOURS else ()
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


def orientation_of(page: Any) -> int:
    """Return the EXIF orientation of a tifffile page; 1 is upright."""
    tag = page.tags.get("Orientation")
    value = 1 if tag is None else int(tag.value)
    return value if value in range(1, 9) else 1
