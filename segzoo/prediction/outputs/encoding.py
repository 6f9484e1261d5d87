"""Encode arrays as files, a band of rows at a time; a whole image is one band.

PNG: W3C Recommendation, third edition. Class indices are packed into as few bits as possible. Rows are
compressed with zlib's run-length strategy: for masks, and for row differences of photographs, files are about
as small as with zlib's full search, in a fraction of the time. TIFF: 6.0, section 5; deflate as in its
supplement 2.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from PIL import Image

from segzoo.errors import FailureError, OptionError
from segzoo.images.georeference import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Colours = Sequence[tuple[int, int, int]]

_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6
_PLAIN, _UP = 0, 2
#: Formats that are encoded all at once.
WHOLE = (".jpg", ".jpeg", ".webp")
#: Formats whose files can have several pages, ``(K, H, W)``.
PAGES = (".tif", ".tiff")
#: Rows per strip of a TIFF.
_STRIP = 64
#: Types of TIFF tag values, as `struct` codes: text, 16-bit, 32-bit, float64.
_KINDS = {2: "B", 3: "H", 4: "I", 12: "d"}
#: TIFF's SampleFormat for types other than unsigned integers.
_SAMPLES = {"int32": 2, "float32": 3}


class Encoder(Protocol):
    """Encodes rows from the top; it is created when the first band is known."""

    def write(self, pixels: NDArray[Any]) -> None:
        """Encode the next rows."""
        ...

    def finish(self) -> None:
        """Write what follows the last row."""
        ...


class PngEncoder:
    """A PNG: grey for bool, uint8 or uint16 ``(H, W)``; a palette for uint8 with colours; or a picture.

    Args:
        file: file to write into.
        first: the first rows.
        height: height of the image.
        colours: colours of class indices.
        whole: whether the first rows are the whole image; then it is compressed better, in one step.
    """

    def __init__(
        self, file: BinaryIO, first: NDArray[Any], height: int, colours: Colours = (), *, whole: bool = True
    ) -> None:
        self._file, self._whole, self._held = file, whole, b""
        # For a mask in bands, only runs of equal bytes are searched for anyway.
        self._deflate = (
            zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
            if whole
            else zlib.compressobj(6, strategy=zlib.Z_RLE)
        )
        self._above: NDArray[np.uint8] | None = None
        self._bits, kind = 8 * first.itemsize, _GREY
        if first.ndim == 3:
            kind = _RGB if first.shape[2] == 3 else _RGBA
            self._above = np.zeros(first.shape[1] * first.shape[2], np.uint8)
        elif first.dtype == np.bool_:
            self._bits = 1
        elif colours and self._bits == 8:
            self._bits = next(
                bits for bits in ((1, 2, 4, 8) if whole else (1, 8)) if len(colours) <= 1 << bits
            )
            kind = _PALETTE
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", first.shape[1], height, self._bits, kind, 0, 0, 0))
        if kind == _PALETTE:
            self._chunk(b"PLTE", b"".join(map(bytes, colours)))

    def write(self, pixels: NDArray[Any]) -> None:
        """Encode the next rows."""
        lines = pixels.reshape(len(pixels), -1) if pixels.ndim == 3 else _packed(pixels, self._bits)
        filtered = np.empty((len(lines), lines.shape[1] + 1), np.uint8)
        if self._above is None:
            filtered[:, 0], filtered[:, 1:] = _PLAIN, lines
        else:  # as differences from the row above, which suits photographs
            filtered[:, 0] = _UP
            np.subtract(lines[0], self._above, out=filtered[0, 1:])
            np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
            self._above = lines[-1].copy()
        data = self._deflate.compress(filtered.data)
        if self._whole:
            self._held = data
        elif data:
            self._chunk(b"IDAT", data)

    def finish(self) -> None:
        """Write what follows the last row."""
        self._chunk(b"IDAT", self._held + self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


class TiffEncoder:
    """A TIFF of bool (0 and 255), uint8, uint16, int32 or float32, in strips; 8 bits may have a palette.

    ``(H, W)`` is one page, ``(K, H, W)`` gives ``K`` pages, each with black and the colour of its class.

    Args:
        file: file to write into.
        first: the first rows.
        height: height of the image.
        colours: colours of class indices.
        placing: georeference tags, from `segzoo.images.georeference.placing_tags`.
    """

    def __init__(
        self,
        file: BinaryIO,
        first: NDArray[Any],
        height: int,
        colours: Colours = (),
        placing: Mapping[int, Any] | None = None,
    ) -> None:
        first = _bytes(first)
        self._file, self._size, self._placing = file, (first.shape[-1], height), placing or {}
        pages = 1 if first.ndim == 2 else len(first)
        palettes = [colours] if first.ndim == 2 else [((0, 0, 0), colour) for colour in colours]
        self._palettes: Sequence[Colours] = palettes if colours and first.itemsize == 1 else [()] * pages
        file.write(b"II*\0\0\0\0\0")
        #: Position at which the offset of the next page is written.
        self._link = 4
        self._strips: list[list[tuple[int, int]]] = [[] for _ in range(pages)]
        self._rest = first[..., :0, :]

    def write(self, pixels: NDArray[Any]) -> None:
        """Encode the next rows; raises the errors of `finish`."""
        rows = np.concatenate([self._rest, _bytes(pixels)], axis=-2)
        whole = rows.shape[-2] // _STRIP * _STRIP
        for top in range(0, whole, _STRIP):
            self._strip(rows[..., top : top + _STRIP, :])
        self._rest = rows[..., whole:, :].copy()

    def _strip(self, rows: NDArray[Any]) -> None:
        for strips, page in zip(self._strips, rows.reshape(-1, *rows.shape[-2:]), strict=True):
            strips.append(self._stored(page))

    def _stored(self, rows: NDArray[Any]) -> tuple[int, int]:
        """Write the strip of a page; return its offset and length."""
        data = zlib.compress(rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes(), 1)
        if self._file.tell() + len(data) > 2**32 - 2**24:
            raise FailureError("a TIFF file cannot exceed 4 GB: write .png or .npy instead")
        place = self._file.tell()
        self._file.write(data)
        return place, len(data)

    def finish(self) -> None:
        """Write what follows the last row.

        Raises:
            FailureError: the file would exceed 4 GB.
        """
        if self._rest.shape[-2]:
            self._strip(self._rest)
        self._file.write(b"\0" * (self._file.tell() % 2))
        for strips, colours in zip(self._strips, self._palettes, strict=True):
            self._page(strips, colours)

    def _page(self, strips: list[tuple[int, int]], palette: Colours) -> None:
        offsets, counts = zip(*strips, strict=True)
        # Each field: tag, type of its values, and the values.
        fields: list[tuple[int, int, tuple[Any, ...]]] = [
            (256, 4, self._size[:1]),
            (257, 4, self._size[1:]),
            (258, 3, (8 * self._rest.itemsize,)),
            (259, 3, (8,)),
            (262, 3, (3 if palette else 1,)),
            (273, 4, offsets),
            (277, 3, (1,)),
            (278, 4, (_STRIP,)),
            (279, 4, counts),
        ]
        if self._rest.dtype.name in _SAMPLES:
            fields.append((339, 3, (_SAMPLES[self._rest.dtype.name],)))
        if palette:
            colours = np.zeros((256, 3), np.uint16)
            colours[: len(palette)] = np.array(palette, np.uint16) * 257
            fields.append((320, 3, tuple(colours.T.ravel().tolist())))
        for tag, value in sorted(self._placing.items()):
            if isinstance(value, str):
                fields.append((tag, 2, tuple(f"{value}\0".encode("ascii", "replace"))))
            else:
                fields.append((tag, 3 if tag == KEYS else 12, tuple(value)))
        self._directory(fields)

    def _directory(self, fields: list[tuple[int, int, tuple[Any, ...]]]) -> None:
        """Write the directory at the end of the file; link it from the header or the previous directory."""
        entries = b""
        for tag, kind, values in fields:
            packed = struct.pack(f"<{len(values)}{_KINDS[kind]}", *values)
            if len(packed) > 4:
                place = self._file.tell()
                self._file.write(packed + b"\0" * (len(packed) % 2))
                packed = struct.pack("<I", place)
            entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
        place = self._file.tell()
        self._file.write(struct.pack("<H", len(fields)) + entries + b"\0\0\0\0")
        end = self._file.tell()
        self._file.seek(self._link)
        self._file.write(struct.pack("<I", place))
        self._file.seek(end)
        self._link = end - 4


class NpyEncoder:
    """Numbers ``(..., H, W)`` in ``numpy.save`` format: rows are written at their position in each plane.

    Written rather than memory-mapped, because mapped pages that wait for the disk would count as memory.
    """

    def __init__(self, file: BinaryIO, first: NDArray[Any], height: int) -> None:
        self._file, self._kind, self._done = file, first.dtype.newbyteorder("<"), 0
        self._plane = height * first.shape[-1] * first.itemsize
        shape = (*first.shape[:-2], height, first.shape[-1])
        head = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        self._start = file.tell()

    def write(self, pixels: NDArray[Any]) -> None:
        """Write the next rows."""
        for place, plane in enumerate(pixels.reshape(-1, *pixels.shape[-2:])):
            self._file.seek(self._start + place * self._plane + self._done)
            self._file.write(np.ascontiguousarray(plane, self._kind).data)
        self._done += pixels.shape[-2] * pixels.shape[-1] * pixels.itemsize

    def finish(self) -> None:
        """Do nothing: the file is complete."""


class PillowEncoder:
    """A JPEG or WebP of a whole picture."""

    def __init__(self, file: BinaryIO, kind: str, quality: int) -> None:
        self._file, self._kind, self._quality = file, kind, quality

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Encode all rows.

        Raises:
            OSError: the format does not support a picture of that size.
        """
        try:
            Image.fromarray(pixels).save(self._file, self._kind, quality=self._quality)
        except ValueError as error:
            raise OSError(str(error)) from error

    def finish(self) -> None:
        """Do nothing: the file is complete."""


def open_encoder(
    suffix: str,
    file: BinaryIO,
    first: NDArray[Any],
    height: int,
    colours: Colours,
    *,
    whole: bool,
    quality: int,
    placing: Mapping[int, Any] | None = None,
) -> Encoder:
    """Return an encoder for a file format.

    Args:
        suffix: suffix of the file, in lower case.
        file: file to write into.
        first: the first rows.
        height: height of the image.
        colours: colours of class indices.
        whole: whether the first rows are the whole image.
        quality: quality of JPEG and WebP, 1 to 100.
        placing: georeference tags of a TIFF.

    Raises:
        OptionError: the format does not exist for arrays, or does not support this array.
    """
    flat, picture = first.ndim == 2, first.ndim == 3 and first.shape[2] in (3, 4) and first.dtype == np.uint8
    kinds = ("bool", "uint8", "uint16", *(("int32", "float32") if suffix in PAGES else ()))
    pages = first.ndim in (2, 3)
    fits = {".png": picture or flat, ".tif": pages, ".tiff": pages, ".npy": True}.get(suffix, picture)
    if not fits or ((flat or suffix in PAGES) and suffix != ".npy" and first.dtype.name not in kinds):
        raise OptionError(f"an array {first.shape} of {first.dtype} cannot be written as {suffix}")
    if suffix == ".png":
        return PngEncoder(file, first, height, colours, whole=whole)
    if suffix in (".tif", ".tiff"):
        return TiffEncoder(file, first, height, colours, placing)
    if suffix == ".npy":
        return NpyEncoder(file, first, height)
    if suffix in WHOLE:
        return PillowEncoder(file, "WEBP" if suffix == ".webp" else "JPEG", quality)
    raise OptionError(f"arrays cannot be written as {suffix}: an output for that format must draw bytes")


def _bytes(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels


def _packed(rows: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return the bytes of rows ``(n, W)``."""
    if bits == 16:
        return np.ascontiguousarray(rows.astype(">u2")).view(np.uint8)
    if bits == 8:
        return rows
    if bits == 1:
        return np.packbits(rows.astype(np.bool_, copy=False), axis=1)
    each = 8 // bits
    height, width = rows.shape
    padded = np.zeros((height, -(-width // each) * each), np.uint8)
    padded[:, :width] = rows
    packed = np.zeros((height, padded.shape[1] // each), np.uint8)
    for place in range(each):
        packed |= np.left_shift(padded[:, place::each], np.uint8(8 - bits * (place + 1)))
    return packed


def encode_png(pixels: NDArray[Any], colours: Colours = ()) -> bytes:
    """Return a PNG of ``(H, W)`` bool, uint8 or uint16, or of ``(H, W, 3)`` or ``(H, W, 4)`` uint8.

    Args:
        pixels: class indices if there are colours; readers get them back as 8-bit values, or as 16-bit grey
            if there are more than 256 colours.
        colours: colours of the classes, for a palette.
    """
    if colours:
        pixels = pixels.astype(np.uint8 if len(colours) <= 256 else np.uint16, copy=False)
    file = BytesIO()
    encoder = PngEncoder(file, pixels, len(pixels), colours)
    encoder.write(pixels)
    encoder.finish()
    return file.getvalue()
