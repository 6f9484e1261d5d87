"""PNG with full bit depth, and by rows: Pillow narrows 16-bit colours to 8 bits and decodes the whole image.

Format: W3C, Portable Network Graphics (third edition). A band of rows is inflated here; its filters are
undone by Pillow's decoder, which gets the row before as its first row.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from segzoo.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Number of rows decoded at a time on the way to the requested rows.
_BAND = 64
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE = 3
#: Pillow's mode by bytes per pixel, the only thing that filters depend on.
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class PngRows:
    """The rows of a PNG file without interlacing, ``(rows, width, samples)``.

    Values equal Pillow's: bool for 1 bit, palette indices, else uint8 or uint16.

    Raises:
        ImageError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self.width, self.height, self._bits, self._colour = _header(file, path)[:4]
        self._position = self.height
        self._stream: _Stream | None = None

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``; decodes from the start again if they are above the last ones."""
        if self._stream is None or top < self._position:
            self._stream, self._position = _Stream(self._path, self.width, self._bits, self._colour), 0
        while self._position < top:
            self._next(min(_BAND, top - self._position))
        parts = [self._next(min(_BAND, bottom - first)) for first in range(top, bottom, _BAND)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _next(self, count: int) -> NDArray[Any]:
        assert self._stream is not None
        rows = _samples(self._stream.rows(count, self._position), self._bits, self._colour, self.width)
        self._position += count
        return rows


#: Adam7: first row, first column, and the steps between rows and columns, of each pass.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def read_interlaced(path: Path) -> NDArray[Any]:
    """Return the whole image of an interlaced PNG file, with values as in `PngRows`.

    Raises:
        ImageError: the file is damaged.
    """
    with path.open("rb") as file:
        width, height, bits, colour = _header(file, path)[:4]
    stream = _Stream(path, width, bits, colour)
    pixels: NDArray[Any] | None = None
    for top, left, down, across in _PASSES:
        rows, columns = -(-(height - top) // down), -(-(width - left) // across)
        if rows <= 0 or columns <= 0:
            continue
        stream.restart(columns)
        part = _samples(stream.rows(rows, top), bits, colour, columns)
        if pixels is None:
            pixels = np.zeros((height, width, part.shape[2]), part.dtype)
        pixels[top::down, left::across] = part
    assert pixels is not None
    return pixels


class _Stream:
    """The rows of a PNG file as bytes, with filters undone."""

    def __init__(self, path: Path, width: int, bits: int, colour: int) -> None:
        self._path = path
        self._sample_bits = _SAMPLES[colour] * bits
        # Filters work on bytes one pixel apart, regardless of samples: with 16 bits, the upper and the lower
        # bytes form two separate images, each in a mode that Pillow supports.
        self._lanes = 2 if bits == 16 else 1
        self._mode = _MODES[max(1, self._sample_bits // 8 // self._lanes)]
        self._inflated = _inflated(path)
        self._rest = bytearray()
        self.restart(width)

    def restart(self, width: int) -> None:
        """Begin an image of another width, such as the next pass of an interlaced image."""
        self._row_bytes = (width * self._sample_bits + 7) // 8
        self._above = np.zeros(self._row_bytes, np.uint8)

    def rows(self, count: int, first: int) -> NDArray[np.uint8]:
        """Return the next ``count`` rows ``(count, bytes)``; ``first`` is named in errors."""
        wanted = count * (self._row_bytes + 1)
        try:
            while len(self._rest) < wanted:
                self._rest += next(self._inflated)
        except StopIteration:
            raise ImageError(f"{self._path} is cut short: it ends within row {first}") from None
        except zlib.error as error:
            raise ImageError(f"{self._path} is damaged: {error}") from error
        filtered = np.frombuffer(self._rest[:wanted], np.uint8).reshape(count, -1)
        del self._rest[:wanted]
        rows = np.empty((count, self._row_bytes), np.uint8)
        for lane in range(self._lanes):
            lanes = slice(lane, None, self._lanes)
            try:
                rows[:, lanes] = self._unfiltered(
                    filtered[:, :1], filtered[:, 1:][:, lanes], self._above[lanes]
                )
            except (ValueError, OSError) as error:
                raise ImageError(f"{self._path} is damaged near row {first}: {error}") from error
        self._above = rows[-1]
        return rows

    def _unfiltered(
        self, kinds: NDArray[np.uint8], filtered: NDArray[np.uint8], above: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Return rows ``(count, bytes)`` with filters undone, given the row ``above`` them."""
        first = np.concatenate([np.zeros(1, np.uint8), above])
        given = np.vstack([first, np.concatenate([kinds, filtered], axis=1)])
        # Stored without compression: Pillow undoes filters only on zlib data.
        stored = zlib.compress(given.tobytes(), 0)
        size = (filtered.shape[1] // len(self._mode), len(given))
        image = Image.frombytes(self._mode, size, stored, "zip", self._mode, 0)
        return np.asarray(image).reshape(len(given), -1)[1:]


def _samples(raw: NDArray[np.uint8], bits: int, colour: int, width: int) -> NDArray[Any]:
    """Return rows of bytes as ``(rows, width, samples)``."""
    if bits == 16:
        return raw.view(">u2").reshape(len(raw), width, -1).astype(np.uint16)
    if bits == 8:
        return raw.reshape(len(raw), width, -1)
    values = _unpacked(raw, bits, width)[..., None]
    if colour == _PALETTE:
        return values
    return values.astype(np.bool_) if bits == 1 else values * np.uint8(255 // (2**bits - 1))


def _unpacked(raw: NDArray[np.uint8], bits: int, width: int) -> NDArray[np.uint8]:
    """Return one byte for each sample of 1, 2 or 4 bits."""
    single = np.unpackbits(raw, axis=1).reshape(len(raw), -1, bits)
    places = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint8)
    return (single * places).sum(axis=2, dtype=np.uint8)[:, :width]


def _header(file: BinaryIO, path: Path) -> tuple[int, ...]:
    """Return the fields of IHDR: width, height, bits, colour, compression, filter, interlace."""
    fields: tuple[int, ...] | None = None
    for kind, data in _chunks(file, path, until=b"IDAT"):
        if kind == b"IHDR" and len(data) == 13:
            fields = struct.unpack(">IIBBBBB", data)
    if fields is None or fields[3] not in _SAMPLES or fields[2] not in (1, 2, 4, 8, 16):
        raise ImageError(f"{path} is damaged: it has no valid PNG header")
    if 0 in fields[:2]:
        raise ImageError(f"{path} is damaged: an image of {fields[1]}x{fields[0]} has no pixels")
    return fields


def _inflated(path: Path) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    with path.open("rb") as file:
        for kind, data in _chunks(file, path):
            rest = data if kind == b"IDAT" else b""
            while rest:
                # A few bytes may inflate to a thousand times as many, so limit the output per step.
                yield inflate.decompress(rest, 1 << 20)
                rest = inflate.unconsumed_tail
    yield inflate.flush()


def _chunks(file: BinaryIO, path: Path, until: bytes = b"IEND") -> Iterator[tuple[bytes, bytes]]:
    if file.read(8) != SIGNATURE:
        raise ImageError(f"{path} is not a PNG file")
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == until:
            return
        data = file.read(length)
        check = file.read(4)
        if len(data) < length or len(check) < 4:
            raise ImageError(f"{path} is cut short")
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(check, "big"):
            raise ImageError(f"{path} is damaged: a checksum is wrong")
        yield kind, data
    raise ImageError(f"{path} is cut short")
