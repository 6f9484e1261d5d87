"""PNG by rows: a reader that holds a few of them at a time, where Pillow would hold the image.

Format: W3C, Portable Network Graphics (third edition). A band is inflated here; its filters are undone by
Pillow's decoder, which is handed the row before in front of it.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from segzoo.errors import ImageError
from segzoo.images.intensity import scaling_of_rows
from segzoo.prediction.tiling.rows import READ_ROWS
from segzoo.specs import Intensity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.images.intensity import Scaling

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Pillow's mode whose pixels have as many bytes, which is all that a filter sees.
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class PngRows:
    """A PNG file as a `RowSource`.

    Raises:
        ImageError: it is damaged, or of a kind that cannot be read by rows (`by_rows` says which).
    """

    resident = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            header, self._palette = _header(file, path)
        self.width, self.height, self._bits, self._colour = header[:4]
        self.channels = 1 if self._colour in (0, 4) else 3
        samples = _SAMPLES[self._colour]
        self._row_bytes = (self.width * samples * self._bits + 7) // 8
        self._mode = _MODES[max(1, samples * self._bits // 8)]
        self._scaling: Scaling | None = None
        self._start()

    def _start(self) -> None:
        self._position = 0
        self._above = bytes(self._row_bytes)
        self._inflated = _inflated(self._path)
        self._rest = bytearray()

    def read(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows ``top`` to ``bottom``; decodes from the start again if they lie above the last."""
        if self._bits == 16 and self._scaling is None:
            self._start()
            tops = range(0, self.height, READ_ROWS)
            parts = (self._sixteen(self._raw(min(READ_ROWS, self.height - top))) for top in tops)
            self._scaling = scaling_of_rows(Intensity(), parts, dtype=np.dtype(np.uint16))
            self._start()
        if top < self._position:
            self._start()
        while self._position < top:
            self._raw(min(READ_ROWS, top - self._position))
        return self._pixels(self._raw(bottom - top))

    def _raw(self, count: int) -> NDArray[np.uint8]:
        """Return the next rows as the bytes of the file with the filters undone, ``(count, bytes)``."""
        wanted = count * (self._row_bytes + 1)
        try:
            while len(self._rest) < wanted:
                self._rest += next(self._inflated)
        except StopIteration:
            raise ImageError(f"{self._path} is cut short: it ends within row {self._position}") from None
        except zlib.error as error:
            raise ImageError(f"{self._path} is damaged: {error}") from error
        filtered = bytes(self._rest[:wanted])
        del self._rest[:wanted]
        # Stored, not deflated: Pillow undoes filters only on the way out of zlib.
        stored = zlib.compress(b"\0" + self._above + filtered, 0)
        width = self._row_bytes // len(self._mode)
        try:
            image = Image.frombytes(self._mode, (width, count + 1), stored, "zip", self._mode, 0)
        except (ValueError, OSError) as error:
            raise ImageError(f"{self._path} is damaged near row {self._position}: {error}") from error
        rows = np.asarray(image).reshape(count + 1, self._row_bytes)
        self._above = rows[-1].tobytes()
        self._position += count
        return rows[1:]

    def _pixels(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._bits == 16:
            assert self._scaling is not None
            return self._scaling.apply(self._sixteen(raw)).astype(np.uint8, copy=False)
        if self._bits < 8:
            raw = _unpacked(raw, self._bits, self.width)
        pixels = raw.reshape(len(raw), self.width, -1)
        if self._palette is not None:
            return self._palette[pixels[..., 0]]
        if self._bits < 8:
            return pixels * np.uint8(255 // (2**self._bits - 1))
        return pixels[..., : self.channels]

    def _sixteen(self, raw: NDArray[np.uint8]) -> NDArray[np.uint16]:
        return raw.view(">u2").reshape(len(raw), self.width, -1)[..., :1]


def by_rows(path: Path) -> bool:
    """Whether `PngRows` reads a file: not interlaced, no EXIF that may turn it, no colours of 16 bits."""
    with path.open("rb") as file:
        (_, _, bits, colour, _, _, interlaced), _ = _header(file, path)
    with path.open("rb") as file:
        turned = any(kind == b"eXIf" for kind, _ in _chunks(file, path, until=b"IDAT"))
    return not interlaced and not turned and (bits < 16 or colour == 0)


def _unpacked(raw: NDArray[np.uint8], bits: int, width: int) -> NDArray[np.uint8]:
    """Return a byte for each sample of 1, 2 or 4 bits."""
    single = np.unpackbits(raw, axis=1).reshape(len(raw), -1, bits)
    places = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint8)
    return (single * places).sum(axis=2, dtype=np.uint8)[:, :width]


def _header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], NDArray[np.uint8] | None]:
    """Return the fields of IHDR, and the palette ``(256, 3)`` of an image that has one."""
    fields: tuple[int, ...] | None = None
    palette = None
    for kind, data in _chunks(file, path, until=b"IDAT"):
        if kind == b"IHDR" and len(data) == 13:
            fields = struct.unpack(">IIBBBBB", data)
        elif kind == b"PLTE":
            palette = np.zeros((256, 3), np.uint8)
            palette[: len(data) // 3] = np.frombuffer(data, np.uint8)[: len(data) // 3 * 3].reshape(-1, 3)
    if fields is None or fields[3] not in _SAMPLES or fields[2] not in (1, 2, 4, 8, 16):
        raise ImageError(f"{path} is damaged: it has no valid PNG header")
    if 0 in fields[:2]:
        raise ImageError(f"{path} is damaged: an image of {fields[1]}x{fields[0]} has no pixel")
    if fields[3] == 3 and palette is None:
        raise ImageError(f"{path} is damaged: it has no palette")
    return fields, palette if fields[3] == 3 else None


def _inflated(path: Path) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    with path.open("rb") as file:
        for kind, data in _chunks(file, path):
            rest = data if kind == b"IDAT" else b""
            while rest:
                # A few bytes may inflate to a thousand times as many: no more than this at once.
                yield inflate.decompress(rest, 1 << 20)
                rest = inflate.unconsumed_tail
    yield inflate.flush()


def _chunks(file: BinaryIO, path: Path, until: bytes = b"IEND") -> Iterator[tuple[bytes, bytes]]:
    if file.read(8) != SIGNATURE:
        raise ImageError(f"{path} is no PNG file")
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
