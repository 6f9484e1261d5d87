"""PNG files that are written some rows at a time: masks, values, and pictures that are drawn as rows come.

Format: W3C, Portable Network Graphics (third edition).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from segzoo.prediction.rendering.encoding import big_endian
from segzoo.prediction.rendering.painting import look_up
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.tiling.rows import READ_ROWS
from segzoo.prediction.tiling.sinks import FileSink

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import Image

    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.specs import Labels

#: Rows of a picture that are drawn at a time.
PAINT_ROWS = 32
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6


class PngSink(FileSink):
    """A PNG of rows as they come: a palette image of class indices, or what else rows are made into.

    Two classes take one bit a pixel, more take eight; more than 256 have no palette and are grey of 16 bits.

    Args:
        path: the file; its folder is made.
        height: of the mask.
        width: of the mask.
        labels: colours of the classes.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OptionError: the file is there already.
        FailureError: it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        labels: Labels,
        *,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, height, width, overwrite=overwrite)
        self.labels = labels
        self.bits, self.kind = 1 if len(labels.classes) <= 2 else 8, _PALETTE
        if len(labels.classes) > 256:
            self.bits, self.kind = 16, _GREY
        self.png_width = width

    def lines(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bytes of a few rows of the picture, ``(n, bytes)``."""
        if self.bits == 16:
            return big_endian(rows)
        return np.packbits(rows, axis=1) if self.bits == 1 else rows.astype(np.uint8, copy=False)

    def _begin(self, file: BinaryIO) -> None:
        # Runs of equal bytes are nearly all that a mask holds, and to look for those alone is faster.
        self._deflate = zlib.compressobj(6, strategy=zlib.Z_RLE)
        file.write(b"\x89PNG\r\n\x1a\n")
        head = struct.pack(">IIBBBBB", self.png_width, self.height, self.bits, self.kind, 0, 0, 0)
        _chunk(file, b"IHDR", head)
        if self.kind == _PALETTE:
            _chunk(file, b"PLTE", bytes(value for colour in self.labels.colours for value in colour))

    def _take(self, file: BinaryIO, rows: NDArray[Any]) -> None:
        for top in range(0, len(rows), READ_ROWS):
            self._put(file, self.lines(rows[top : top + READ_ROWS]))

    def _put(self, file: BinaryIO, lines: NDArray[np.uint8], filtered: int = 0) -> None:
        marked = np.empty((len(lines), lines.shape[1] + 1), np.uint8)
        marked[:, 0], marked[:, 1:] = filtered, lines
        if data := self._deflate.compress(marked.data):
            _chunk(file, b"IDAT", data)

    def _end(self, file: BinaryIO) -> None:
        _chunk(file, b"IDAT", self._deflate.flush())
        _chunk(file, b"IEND", b"")


class BinaryPng(PngSink):
    """White where any class but background is; arguments as those of `PngSink`."""

    def _begin(self, file: BinaryIO) -> None:
        self.bits, self.kind = 1, _GREY
        super()._begin(file)

    def lines(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bytes of a few rows."""
        return np.packbits(rows > 0, axis=1)


class ValuesPng(PngSink):
    """The values that stood for the classes in the masks of training; arguments as those of `PngSink`."""

    def _begin(self, file: BinaryIO) -> None:
        values = self.labels.values or tuple(range(len(self.labels.classes)))
        self.bits, self.kind = 8 if max(values) < 256 else 16, _GREY
        self._table = np.zeros(max(len(values), 256), np.uint8 if self.bits == 8 else np.uint16)
        self._table[: len(values)] = values
        super()._begin(file)

    def lines(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bytes of a few rows."""
        values = look_up(rows, self._table)
        return values if self.bits == 8 else big_endian(values)


class PicturePng(PngSink):
    """What a segmentation draws of itself, some rows at a time.

    Args:
        path: the file; its folder is made.
        image: the rows of the image, which are read once more.
        labels: names and colours of the classes.
        draw: draws a part of the image; each row of it looks at rows ``reach`` away at most.
        reach: in rows.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OptionError: the file is there already.
        FailureError: it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        image: RowSource,
        labels: Labels,
        draw: Callable[[Segmentation], Image.Image],
        *,
        reach: int = 0,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, image.height, image.width, labels, overwrite=overwrite)
        self._image, self._draw, self._reach = image, draw, reach

    def _begin(self, file: BinaryIO) -> None:
        one = np.zeros((1, self.width, self._image.channels), np.uint8)
        mask = np.zeros((1, self.width), self.labels.index_type)
        drawn = np.asarray(self._draw(Segmentation(mask, self.labels, one)))
        self.bits, self.kind, self.png_width = 8, _RGB if drawn.shape[2] == 3 else _RGBA, drawn.shape[1]
        self._mask, self._top, self._drawn = mask[:0], 0, 0
        self._above = np.zeros((1, drawn.shape[1] * drawn.shape[2]), np.uint8)
        super()._begin(file)

    def _take(self, file: BinaryIO, rows: NDArray[Any]) -> None:
        for top in range(0, len(rows), PAINT_ROWS):
            self._mask = np.concatenate([self._mask, rows[top : top + PAINT_ROWS]])
            self._paint(file, self._top + len(self._mask) - self._reach)

    def _end(self, file: BinaryIO) -> None:
        while self._drawn < self.height:
            self._paint(file, min(self._drawn + PAINT_ROWS, self.height))
        super()._end(file)

    def _paint(self, file: BinaryIO, bottom: int) -> None:
        if bottom <= self._drawn:
            return
        # The image of the rows around is not looked at.
        image = np.zeros((*self._mask.shape, self._image.channels), np.uint8)
        rows = slice(self._drawn - self._top, bottom - self._top)
        image[rows] = self._image.read(self._drawn, bottom)
        drawn = np.asarray(self._draw(Segmentation(self._mask, self.labels, image)))[rows]
        lines = drawn.reshape(len(drawn), -1)
        # As differences to the row above, which suits photographs.
        self._put(file, np.diff(lines, axis=0, prepend=self._above), filtered=2)
        self._above = lines[-1:].copy()
        self._drawn = bottom
        kept = max(bottom - self._reach, 0)
        self._mask, self._top = self._mask[kept - self._top :].copy(), kept


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
