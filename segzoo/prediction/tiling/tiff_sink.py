"""Masks as TIFF, a strip at a time (TIFF 6.0, section 5; deflated as in its supplement 2)."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from segzoo.errors import FailureError
from segzoo.prediction.tiling.sinks import FileSink

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from segzoo.specs import Labels

#: Rows of a strip.
_STRIP = 64


class TiffSink(FileSink):
    """A palette TIFF of eight bits by strips; grey of 16 bits where there are more than 256 classes.

    Args:
        path: the file; its folder is made.
        height: of the mask.
        width: of the mask.
        labels: colours of the classes.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OptionError: the file is there already.
        FailureError: it cannot be written, or would exceed 4 GB.
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
        self._kind = np.dtype("<u2" if len(labels.classes) > 256 else "|u1")

    def _begin(self, file: BinaryIO) -> None:
        file.write(b"II*\0\0\0\0\0")
        self._strips: list[tuple[int, int]] = []
        self._rest = np.empty((0, self.width), self._kind)

    def _take(self, file: BinaryIO, rows: NDArray[Any]) -> None:
        rows = np.concatenate([self._rest, rows.astype(self._kind, copy=False)])
        whole = len(rows) // _STRIP * _STRIP
        for top in range(0, whole, _STRIP):
            self._strip(file, rows[top : top + _STRIP])
        self._rest = rows[whole:].copy()

    def _strip(self, file: BinaryIO, rows: NDArray[np.uint8]) -> None:
        data = zlib.compress(np.ascontiguousarray(rows).data, 1)
        if file.tell() + len(data) > 2**32 - 2**24:
            raise FailureError(
                f"{self.path} would exceed 4 GB, which a TIFF file cannot: write a .png or .npy"
            )
        self._strips.append((file.tell(), len(data)))
        file.write(data)

    def _end(self, file: BinaryIO) -> None:
        if len(self._rest):
            self._strip(file, self._rest)
        file.write(b"\0" * (file.tell() % 2))
        offsets, counts = zip(*self._strips, strict=True)
        # Tag, and values as four bytes (4) or as two (3).
        fields: list[tuple[int, int, tuple[int, ...]]] = [
            (256, 4, (self.width,)),
            (257, 4, (self.height,)),
            (258, 3, (8 * self._kind.itemsize,)),
            (259, 3, (8,)),
            (262, 3, (3 if self._kind.itemsize == 1 else 1,)),
            (273, 4, offsets),
            (277, 3, (1,)),
            (278, 4, (_STRIP,)),
            (279, 4, counts),
        ]
        if self._kind.itemsize == 1:
            colours = np.zeros((256, 3), np.uint16)
            colours[: len(self.labels.colours)] = np.array(self.labels.colours, np.uint16) * 257
            fields.append((320, 3, tuple(colours.T.ravel().tolist())))
        _directory(file, fields)


def _directory(file: BinaryIO, fields: list[tuple[int, int, tuple[int, ...]]]) -> None:
    """Write the directory of a little-endian TIFF at the file's end, and its place into the header."""
    entries = b""
    for tag, kind, values in fields:
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            place = file.tell()
            file.write(packed + b"\0" * (len(packed) % 2))
            packed = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    place = file.tell()
    file.write(struct.pack("<H", len(fields)) + entries + b"\0\0\0\0")
    file.seek(4)
    file.write(struct.pack("<I", place))
