"""Decompresses archives, counts the bytes while they arrive, and checks them to the end.

A checksum comes after the bytes that it protects. So every stream is read to its end, and bytes that belong
to no stream count as damage. Pieces stay small even if a few bytes expand to many.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from segzoo.errors import FailureError
from segzoo.resources import told_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Bytes that are read or decompressed at a time.
PIECE = 1 << 18
#: Maximum memory for an xz stream; `xz -9` needs 65 MiB.
_MOST_MEMORY = 128 << 20

_GZIP, _BZIP2, _XZ, _LZMA = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0\x80"
_FOREIGN = {
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x1f\x9d": "compress (.Z)",
    b"LZIP": "lzip",
    b"\x04\x22\x4d\x18": "LZ4",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits for unpacking an archive.

    Attributes:
        files: entries in one archive, and folders that they create.
        bytes: all decompressed bytes of one archive, including headers.
        ratio: decompressed bytes for each byte of the archive; not applied below ``free_bytes``.
        free_bytes: size that any archive may unpack to.
    """

    files: int = 500_000
    bytes: int = 500_000_000_000
    ratio: float = 200.0
    free_bytes: int = 200_000_000


@dataclass
class Evaluator:
    """Counts what one archive unpacks to, and raises an error if it is too much.

    Attributes:
        source: the archive.
        limits: its limits.
        on_read: called with the number of bytes of the archive that were read since the last call.
        files: number of files written.
        names: paths of the files, in one letter case.
        folders: paths of the folders that contain them.
    """

    source: Path
    limits: Limits
    on_read: Callable[[int], object] = lambda _: None
    files: int = 0
    names: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    _entries: int = 0
    _bytes: int = 0
    _most: float = 0

    def __post_init__(self) -> None:
        most = max(self.limits.free_bytes, self.source.stat().st_size * self.limits.ratio)
        self._most = min(most, self.limits.bytes)

    def entered(self, count: int = 1) -> None:
        """Count entries, or folders that entries create."""
        self._entries += count
        if self._entries > self.limits.files:
            raise FailureError(
                f"{self.source} holds more than {self.limits.files:,} files and folders, more than any "
                "dataset. If you trust it, unpack it yourself"
            )

    def decompressed(self, count: int) -> None:
        """Count bytes."""
        self._bytes += count
        self.check(self._bytes)

    def check(self, count: int) -> None:
        """Raise an error if the archive has no room for ``count`` more bytes."""
        if count > self._most:
            raise FailureError(
                f"{self.source} unpacks to more than {told_bytes(self._most)}, far more than its size: it"
                " may be designed to fill the disk. If you trust it, unpack it yourself"
            )


def damaged(source: Path, what: str) -> FailureError:
    """Return the error for a damaged archive."""
    return FailureError(f"{source} is damaged: {what}; download it again")


def foreign(head: bytes) -> str:
    """Return the name of an unsupported compression from a file's first bytes; "" for any other file."""
    return next((name for start, name in _FOREIGN.items() if head.startswith(start)), "")


def is_compressed(head: bytes) -> bool:
    """Return whether a file's first bytes are those of gzip, bzip2, xz or lzma."""
    return head.startswith((_GZIP, _BZIP2, _XZ, _LZMA))


def whole(read: Callable[[int], bytes], head: bytes, source: Path) -> Iterator[bytes]:
    """Yield the decompressed file in pieces, or the file itself if it is not compressed.

    Several streams may follow each other, and zeros may follow the last one.

    Args:
        read: function that returns up to this many bytes of the file, from the beginning.
        head: its first bytes.
        source: the file, for error messages.

    Raises:
        FailureError: a checksum differs, the file is cut short, or something follows its end.
    """
    if is_compressed(head):
        return decompressed(read, lambda: _decompressor(head), source)
    return iter(lambda: read(PIECE), b"")


class Decompressor(Protocol):
    """The common interface of `bz2.BZ2Decompressor` and `lzma.LZMADecompressor`."""

    @property
    def eof(self) -> bool:
        """Whether the stream is complete and its checksum right."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Bytes beyond the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take bytes, and return at most ``max_length``; the rest follows in the next call."""
        ...


class Inflate:
    """zlib as a `Decompressor`.

    Args:
        bits: zlib's ``wbits``: 31 for gzip, with its header, checksum and length; -15 for plain deflate.
    """

    def __init__(self, bits: int) -> None:
        self._machine = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        """Whether the stream is complete and its checksum right."""
        return self._machine.eof

    @property
    def unused_data(self) -> bytes:
        """Bytes beyond the end of the stream."""
        return self._machine.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take bytes, and return at most ``max_length``; the rest follows in the next call."""
        return self._machine.decompress(self._machine.unconsumed_tail + data, max_length)


def lzma_alone() -> lzma.LZMADecompressor:
    """Return a decompressor for lzma, the older format of xz, which zip archives may hold too."""
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MOST_MEMORY)


def decompressed(
    read: Callable[[int], bytes], start: Callable[[], Decompressor], source: Path, *, one: str = ""
) -> Iterator[bytes]:
    """Yield the content of compressed streams, in pieces.

    Args:
        read: function that returns up to this many compressed bytes.
        start: creates a decompressor for one stream.
        source: the file, for error messages.
        one: name of the only stream, if nothing may follow the first.

    Raises:
        FailureError: a checksum differs, or the bytes are too few or too many.
    """
    # Any error that these libraries raise for a damaged stream is reported as damage.
    try:
        waiting = read(PIECE)
        while waiting:
            machine = start()
            while not machine.eof:
                piece = machine.decompress(waiting, PIECE)
                waiting = b""
                if piece:
                    yield piece
                elif not machine.eof and not (waiting := read(PIECE)):
                    raise damaged(source, f"{one or 'it'} is cut short")
            waiting = machine.unused_data or read(PIECE)
            if one and waiting:
                raise damaged(source, f"{one} holds more than its table says")
            while waiting and not waiting.strip(b"\0"):
                waiting = read(PIECE)
            waiting = waiting.lstrip(b"\0")
    except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise damaged(source, f"{one}: {error}" if one else str(error)) from error
    except OSError as error:
        if error.errno is None:  # bz2 has no exception class of its own
            raise damaged(source, f"{one}: {error}" if one else str(error)) from error
        raise FailureError(f"{source} cannot be read: {error.strerror}") from error


def _decompressor(head: bytes) -> Decompressor:
    if head.startswith(_GZIP):
        return Inflate(31)
    if head.startswith(_BZIP2):
        return bz2.BZ2Decompressor()
    if head.startswith(_XZ):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
    return lzma_alone()
