"""Files that Pillow decodes, with the values that they hold."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image

from segzoo.images.arrays import native
from segzoo.images.png import PngRows, read_interlaced
from segzoo.images.sizes import check_pixels
from segzoo.interfaces import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.interfaces import OpenedImage

_COLOURS = ("red", "green", "blue")
#: Bands of the modes whose pixels are taken as they are, and which of them is opacity.
_BANDS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "1": (("grey",), None),
    "L": (("grey",), None),
    "I": (("grey",), None),
    "F": (("grey",), None),
    "LA": (("grey", "alpha"), 1),
    "P": (("index",), None),
    "RGB": (_COLOURS, None),
    "RGBA": ((*_COLOURS, "alpha"), 3),
    "LAB": (("lightness", "a", "b"), None),
}
#: Other modes, and the one that they become: the same colours, coded in another way.
_BECOMES = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}


@contextmanager
def open_pillow(path: Path) -> Iterator[OpenedImage]:
    """Open what Pillow knows; a PNG that it would narrow to 8 bits is decoded here.

    See `segzoo.interfaces.ImageReader`.
    """
    with Image.open(path) as image:
        opened = PngImage(path, image) if image.format == "PNG" else PillowImage(path, image)
        try:
            yield opened
        finally:
            opened.close()


class PillowImage:
    """An image of Pillow as an open image.

    Args:
        path: its file.
        image: open, at its first page.

    Attributes:
        info: what the file says.
        mode: of Pillow, at the first page.
    """

    def __init__(self, path: Path, image: Image.Image) -> None:
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
            orientation=orientation_of(image),
            palette=palette_of(image) if taken == "P" else (),
            pages=getattr(image, "n_frames", 1),
            page_axis="time" if image.format in ("GIF", "WEBP", "PNG") else "",
            extra={"coding": image.mode} if taken == "RGB" != image.mode else {},
        )

    @property
    def tags(self) -> Mapping[int, Any]:
        """The tags of a TIFF."""
        return getattr(self._image, "tag_v2", {})

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page; a JPEG is decoded smaller where that is enough."""
        if self._reduced:  # of a file that was decoded smaller, the rest is gone
            self.close()
            self._image, self._reduced = Image.open(self._path), False
        image = self._image
        if self.info.pages > 1:
            image.seek(page)
        if smallest is not None:
            self._reduced = image.draft(image.mode, smallest[::-1]) is not None
        return pixels_of(image)


class PngImage(PillowImage):
    """A PNG, whose rows are read some at a time, and whose colours of 16 bits Pillow would narrow to 8."""

    def __init__(self, path: Path, image: Image.Image) -> None:
        super().__init__(path, image)
        self._interlaced = bool(image.info.get("interlace"))
        self._rows: PngRows | None = None
        # Pillow reads 16 bits a colour, and keeps the upper 8.
        self._narrowed = image.mode in ("LA", "RGB", "RGBA") and str(image.tile[0][3]).endswith(";16B")
        if self._narrowed:
            self.info = replace(self.info, dtype="uint16", pages=1)

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return a page."""
        if not self._narrowed:
            known = "exif" in self._image.info
            pixels = super().read(page, smallest=smallest)
            if not known and "exif" in self._image.info:  # it may come after the pixels
                self.info = replace(self.info, orientation=orientation_of(self._image))
            return pixels
        check_pixels(self._path, self.info.height, self.info.width)
        if self._interlaced:
            return read_interlaced(self._path)
        return PngRows(self._path).read(0, self.info.height)

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows; decodes from the start again if they lie above the last ones."""
        del page
        self._rows = self._rows or PngRows(self._path)
        return self._rows.read(top, bottom)

    def resident(self, page: int) -> int | None:
        """Return 0, or nothing where rows do not follow each other in the file."""
        return None if self._interlaced or page else 0


def mode_of(image: Image.Image) -> str:
    """Return the mode whose bands an image has: its own, or one that it is turned into without loss."""
    if image.mode.startswith("I;16"):
        return "I"
    if image.mode in _BANDS:
        return image.mode
    return _BECOMES.get(image.mode, "RGB")


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """Return an image of Pillow as ``(H, W, C)`` of its own type, not turned, palettes not looked up."""
    mode = mode_of(image)
    if mode != image.mode and mode != "I":
        image = image.convert(mode)
    pixels = np.asarray(image)
    return native(pixels.reshape(image.height, image.width, -1))


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if it is none."""
    # That of PNG would decode the pixels, to find what comes after them.
    turn = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    return turn if turn in range(1, 9) else 1


def palette_of(image: Image.Image) -> tuple[tuple[int, int, int], ...]:
    """Return red, green and blue of each index of a palette."""
    flat = image.getpalette("RGB") or []
    return tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=False))


def _dtype(mode: str, image: Image.Image) -> str:
    if mode == "I":
        return "uint16" if image.mode.startswith("I;16") else "int32"
    return {"1": "bool", "F": "float32"}.get(mode, "uint8")
