"""Files that Pillow decodes, with their exact values."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from segzoo.images.arrays import native
from segzoo.images.bands import COLOURS, GREY
from segzoo.images.png import SIGNATURE, PngRows, read_interlaced
from segzoo.images.pnm import PnmRows
from segzoo.images.sizes import check_pixels
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.interfaces import OpenedImage

#: Bands of the modes whose pixels are used unchanged, and which of them is alpha.
_BANDS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "1": ((GREY,), None),
    "L": ((GREY,), None),
    "I": ((GREY,), None),
    "F": ((GREY,), None),
    "LA": ((GREY, "alpha"), 1),
    "P": (("index",), None),
    "RGB": (COLOURS, None),
    "RGBA": ((*COLOURS, "alpha"), 3),
    "LAB": (("lightness", "a", "b"), None),
}
#: Raw modes of 16-bit PNGs, and the 8-bit modes that Pillow narrows them to.
_NARROWED = {"LA;16B": "LA", "RGB;16B": "RGB", "RGBA;16B": "RGBA"}
#: Number of bytes at the start of a JPEG 2000 file in which its bit depth is searched.
_HEAD = 4096
#: Other modes, and the mode that they are converted to: the same colours in another encoding.
_BECOMES = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}


@contextmanager
def open_pillow(path: Path) -> Iterator[OpenedImage]:
    """Open a file that Pillow supports; PNGs that Pillow would narrow to 8 bits are decoded here.

    See `segzoo.interfaces.ImageReader`.
    """
    with _open(path) as image:
        opened = _OPENS.get(image.format or "", PillowImage)(path, image)
        try:
            yield opened
        finally:
            opened.close()


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        # Rows of a large PNG can still be read; decoding all of it at once is refused later.
        with path.open("rb") as file:
            if file.read(8) != SIGNATURE:
                raise
        return PngImagePlugin.PngImageFile(path)


class PillowImage:
    """A Pillow image as an open image.

    Args:
        path: file of the image.
        image: open image, at its first page.
        counted: whether pages are counted, which reads the header of each page of a TIFF.

    Attributes:
        info: metadata of the file.
        mode: Pillow's mode of the first page.
    """

    def __init__(self, path: Path, image: Image.Image, *, counted: bool = True) -> None:
        self._path, self._image, self._reduced = path, image, False
        self.mode = image.mode
        taken = mode_of(image)
        bands, alpha = _BANDS[taken]
        self.info = ImageInfo(
            height=image.height,
            width=image.width,
            dtype=_dtype(taken, image),
            bands=bands,
            alpha=alpha,
            format=image.format or "",
            orientation=1 if image.format == "TIFF" else orientation_of(image),
            palette=palette_of(image) if taken == "P" else (),
            page_axis="time" if image.format in ("GIF", "WEBP", "PNG") else "",
            extra={"coding": image.mode} if taken == "RGB" != image.mode else {},
        )
        if image.format == "JPEG2000" and self.info.dtype == "uint8" and (bits := jp2_bits(path)) > 8:
            warnings.warn(f"{path} holds {bits} bits per band, of which Pillow decodes 8", stacklevel=2)
        if image.format == "TIFF" and orientation_of(image) != 1:
            # Pillow rotates these itself; if it memory-maps the file, it confuses rows and columns.
            image.filename = ""  # pyright: ignore[reportAttributeAccessIssue]
        if counted:
            self.count_pages()

    def count_pages(self) -> None:
        """Count the pages."""
        if (pages := getattr(self._image, "n_frames", 1)) != 1:
            self.info = replace(self.info, pages=pages)

    @property
    def tags(self) -> Mapping[int, Any]:
        """Tags of a TIFF."""
        return getattr(self._image, "tag_v2", {})

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page; a JPEG is decoded at a smaller size if that is enough."""
        if self._reduced:  # after decoding at a smaller size, Pillow cannot decode the file again
            self.close()
            self._image, self._reduced = Image.open(self._path), False
        image = self._image
        if image.tell() != page:
            image.seek(page)
        if smallest is not None:
            self._reduced = image.draft(image.mode, (smallest[1], smallest[0])) is not None
        return pixels_of(image)


class PngImage(PillowImage):
    """A PNG whose rows can be read in parts, and whose 16-bit colours Pillow would narrow to 8 bits."""

    def __init__(self, path: Path, image: Image.Image) -> None:
        super().__init__(path, image)
        self._interlaced = bool(image.info.get("interlace"))
        self._rows: PngRows | None = None
        # Pillow reads 16-bit colours but keeps only the upper 8 bits.
        tile = getattr(image, "tile", None)
        rawmode = str(tile[0][3]) if tile else ""
        self._narrowed = rawmode in _NARROWED
        if self._narrowed:
            bands, alpha = _BANDS[_NARROWED[rawmode]]
            self.info = replace(self.info, dtype="uint16", bands=bands, alpha=alpha, pages=1)

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page."""
        check_pixels(self._path, self.info.height, self.info.width)
        if not self._narrowed:
            known = "exif" in self._image.info
            pixels = super().read(page, smallest=smallest)
            if not known and "exif" in self._image.info:  # EXIF may come after the pixels
                self.info = replace(self.info, orientation=orientation_of(self._image))
            return pixels
        if self._interlaced:
            return read_interlaced(self._path)
        return PngRows(self._path).read(0, self.info.height)

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows; decodes from the start again if they are above the last ones."""
        del page
        self._rows = self._rows or PngRows(self._path)
        return self._rows.read(top, bottom)

    def resident(self, page: int) -> int | None:
        """Return 0, or ``None`` if rows are not consecutive in the file."""
        return None if self._interlaced or page else 0


class PnmImage(PillowImage):
    """A PNM with values of more than 8 bits, which Pillow would narrow or stretch."""

    def __init__(self, path: Path, image: Image.Image) -> None:
        super().__init__(path, image)
        self._rows = PnmRows(path)
        if self._rows.deep:
            self.info = replace(self.info, dtype="uint16")

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return all rows."""
        if not self._rows.deep:
            return super().read(page, smallest=smallest)
        check_pixels(self._path, self.info.height, self.info.width)
        return self._rows.read(0, self.info.height)


_OPENS = {"PNG": PngImage, "PPM": PnmImage}


def mode_of(image: Image.Image) -> str:
    """Return the mode whose bands an image has: its own, or one that it converts to without loss."""
    if image.mode.startswith("I;16"):
        return "I"
    if image.mode in _BANDS:
        return image.mode
    return _BECOMES.get(image.mode, "RGB")


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """Return a Pillow image as ``(H, W, C)`` in its own type, not rotated, and with palette indices."""
    mode = mode_of(image)
    if mode != image.mode and mode != "I":
        image = image.convert(mode)
    pixels = np.asarray(image)
    return native(pixels.reshape(image.height, image.width, -1))


def jp2_bits(path: Path) -> int:
    """Return the bits of the first band of a JPEG 2000 file; 0 if its header is not found."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if (place := head.find(b"ihdr")) >= 0:
        return (head[place + 14] & 127) + 1
    place = head.find(b"\xff\x51")  # the SIZ marker of a raw codestream
    return (head[place + 40] & 127) + 1 if 0 <= place < _HEAD - 40 else 0


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) if it is invalid."""
    # PNG's own method would decode the pixels, to find what comes after them.
    turn = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    return turn if turn in range(1, 9) else 1


def palette_of(image: Image.Image) -> tuple[tuple[int, int, int], ...]:
    """Return red, green and blue of each palette index."""
    flat = image.getpalette("RGB") or []
    return tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=False))


def _dtype(mode: str, image: Image.Image) -> str:
    if mode == "I":
        return "uint16" if image.mode.startswith("I;16") else "int32"
    return {"1": "bool", "F": "float32"}.get(mode, "uint8")
