"""Where the rows of a mask go: an array, or a file that gets its name when the last row is in it."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

import numpy as np

from segzoo.errors import FailureError, OptionError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from segzoo.specs import Labels


class RowSink(Protocol):
    """Takes the rows of a mask from the top."""

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows, ``(n, width)``: class indices.

        Raises:
            FailureError: they cannot be written.
        """
        ...


class ArraySink:
    """A mask in memory."""

    def __init__(self, height: int, width: int) -> None:
        self.mask = np.zeros((height, width), np.uint8)
        self._filled = 0

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows, ``(n, width)``."""
        self.mask[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)


class FileSink:
    """A file that is written under another name beside its place, and renamed once it is whole.

    Use it as a context: whatever ends it early, Ctrl-C or a full disk, leaves nothing behind, and a file
    that was there before as it was.

    Args:
        path: the file; its folder exists.
        height: of the mask.
        width: of the mask.
        labels: names and colours of the classes.
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
        self.path = Path(path)
        self.height, self.width, self.labels = height, width, labels
        if self.path.exists() and not overwrite:
            raise OptionError(f"{self.path} is there already: name another, or allow it to be overwritten")
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._written = 0

    def __enter__(self) -> Self:
        with self._failures():
            self._file = self._part.open("wb")
            try:
                self._begin(self._file)
            except BaseException:
                self._drop()
                raise
        return self

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows, ``(n, width)``: class indices.

        Raises:
            FailureError: the disk is full, for example.
        """
        if rows.shape[1:] != (self.width,) or self._written + len(rows) > self.height:
            raise OptionError(
                f"rows {rows.shape} after {self._written} do not fit {self.height}x{self.width}"
            )
        with self._failures():
            self._take(self._file, rows)
        self._written += len(rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._written < self.height:
                    raise FailureError(f"{self.path} got {self._written} of {self.height} rows")
                with self._failures():
                    self._end(self._file)
                    self._file.close()
                    os.replace(self._part, self.path)
        finally:
            self._drop()

    def _drop(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink()

    def _failures(self) -> _Failures:
        return _Failures(self.path)

    def _begin(self, file: BinaryIO) -> None:
        raise NotImplementedError

    def _take(self, file: BinaryIO, rows: NDArray[np.uint8]) -> None:
        raise NotImplementedError

    def _end(self, file: BinaryIO) -> None:
        raise NotImplementedError


class _Failures:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise FailureError(f"cannot write {self._path}: {error.strerror or error}") from error


class NpySink(FileSink):
    """A mask as ``numpy.save`` writes one, ``(H, W)`` uint8."""

    def _begin(self, file: BinaryIO) -> None:
        shape = {"descr": "|u1", "fortran_order": False, "shape": (self.height, self.width)}
        np.lib.format.write_array_header_1_0(file, shape)

    def _take(self, file: BinaryIO, rows: NDArray[np.uint8]) -> None:
        file.write(np.ascontiguousarray(rows).data)

    def _end(self, file: BinaryIO) -> None:
        pass


class PngSink(FileSink):
    """A palette image: values are class indices, of one bit for two classes and of eight for more."""

    def _begin(self, file: BinaryIO) -> None:
        self._bits = 1 if len(self.labels.classes) <= 2 else 8
        # Runs of equal bytes are nearly all that a mask holds, and to look for those alone is faster.
        self._deflate = zlib.compressobj(6, strategy=zlib.Z_RLE)
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, self._bits, 3, 0, 0, 0))
        _chunk(file, b"PLTE", bytes(value for colour in self.labels.colours for value in colour))

    def _take(self, file: BinaryIO, rows: NDArray[np.uint8]) -> None:
        for top in range(0, len(rows), 64):
            band = rows[top : top + 64]
            band = np.packbits(band, axis=1) if self._bits == 1 else band
            lines = np.zeros((len(band), band.shape[1] + 1), np.uint8)
            lines[:, 1:] = band
            if data := self._deflate.compress(lines.data):
                _chunk(file, b"IDAT", data)

    def _end(self, file: BinaryIO) -> None:
        _chunk(file, b"IDAT", self._deflate.flush())
        _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


class TiffSink(FileSink):
    """A palette TIFF of eight bits by strips (TIFF 6.0, section 5; deflated as in its supplement 2)."""

    def _begin(self, file: BinaryIO) -> None:
        file.write(b"II*\0\0\0\0\0")
        self._strips: list[tuple[int, int]] = []
        self._rest = np.empty((0, self.width), np.uint8)

    def _take(self, file: BinaryIO, rows: NDArray[np.uint8]) -> None:
        rows = np.concatenate([self._rest, rows])
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
        colours = np.zeros((256, 3), np.uint16)
        colours[: len(self.labels.colours)] = np.array(self.labels.colours, np.uint16) * 257
        offsets, counts = zip(*self._strips, strict=True)
        # Tag, and values as four bytes (4) or as two (3).
        fields: list[tuple[int, int, tuple[int, ...]]] = [
            (256, 4, (self.width,)),
            (257, 4, (self.height,)),
            (258, 3, (8,)),
            (259, 3, (8,)),
            (262, 3, (3,)),
            (273, 4, offsets),
            (277, 3, (1,)),
            (278, 4, (_STRIP,)),
            (279, 4, counts),
            (320, 3, tuple(colours.T.ravel().tolist())),
        ]
        _directory(file, fields)


_STRIP = 64


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


#: The sink for a file's suffix.
SINKS: dict[str, type[FileSink]] = {".png": PngSink, ".npy": NpySink, ".tif": TiffSink, ".tiff": TiffSink}


def open_sink(
    path: str | os.PathLike[str], height: int, width: int, labels: Labels, *, overwrite: bool = False
) -> FileSink:
    """Return the sink that a file's suffix asks for: ``.png``, ``.tif``, ``.tiff`` or ``.npy``.

    Raises:
        OptionError: a mask cannot be written by rows in that format, or the file is there already.
    """
    kind = SINKS.get(Path(path).suffix.lower())
    if kind is None:
        raise OptionError(f"{path}: a large mask is written by rows as {', '.join(sorted(SINKS))}")
    return kind(path, height, width, labels, overwrite=overwrite)
