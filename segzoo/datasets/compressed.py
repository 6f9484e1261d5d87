"""What archives hold, decompressed: counted as it comes, and checked to the last byte.

A checksum follows the bytes that it vouches for. So whatever is opened here is read to its end, and what no
stream accounts for is damage. Pieces are small however much a few bytes expand to.
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

#: Bytes that are read, or decompressed, at a time.
PIECE = 1 << 18
#: Memory that a stream of xz may ask for; `xz -9` needs 65 MiB.
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
    """What an archive may unpack to.

    Attributes:
        files: entries of one archive, and folders that they make.
        bytes: all that is decompressed of one archive, headers included.
        ratio: decompressed bytes for each of the archive's; what is below ``free_bytes`` is let pass.
        free_bytes: what any archive may unpack to.
    """

    files: int = 500_000
    bytes: int = 500_000_000_000
    ratio: float = 200.0
    free_bytes: int = 200_000_000


@dataclass
class Evaluator:
    """Counts what one archive unpacks to, and refuses too much.

    Attributes:
        source: the archive.
        limits: what it may unpack to.
        files: how many files were written.
        names: the paths of the files, folded to one case.
        folders: the paths of the folders that they lie in.
    """

    source: Path
    limits: Limits
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
        """Count entries, or folders that entries make."""
        self._entries += count
        if self._entries > self.limits.files:
            raise FailureError(
                f"{self.source} holds more than {self.limits.files:,} files and folders: no data set does."
                " If it is to be trusted, unpack it by hand"
            )

    def decompressed(self, count: int) -> None:
        """Count bytes."""
        self._bytes += count
        self.check(self._bytes)

    def check(self, count: int) -> None:
        """Refuse so many bytes."""
        if count > self._most:
            raise FailureError(
                f"{self.source} unpacks to more than {told_bytes(self._most)}, far more than its size: it"
                " may be made to fill the disk. If it is to be trusted, unpack it by hand"
            )


def damaged(source: Path, what: str) -> FailureError:
    """Return the error for an archive that cannot be what was published."""
    return FailureError(f"{source} is damaged: {what}; fetch it again")


def foreign(head: bytes) -> str:
    """Return the name of a compression that is not read here, by a file's first bytes; "" of any other."""
    return next((name for start, name in _FOREIGN.items() if head.startswith(start)), "")


def is_compressed(head: bytes) -> bool:
    """Whether a file's first bytes are those of gzip, bzip2, xz or its forerunner."""
    return head.startswith((_GZIP, _BZIP2, _XZ, _LZMA))


def whole(read: Callable[[int], bytes], head: bytes, source: Path) -> Iterator[bytes]:
    """Yield a file decompressed, in pieces; as it is where it is not compressed.

    Several streams may follow each other, and zeros the last.

    Args:
        read: gives up to so many bytes of the file, from its first.
        head: its first bytes.
        source: the file, for errors.

    Raises:
        FailureError: a checksum differs, it is cut short, or something follows its end.
    """
    if is_compressed(head):
        return decompressed(read, lambda: _decompressor(head), source)
    return iter(lambda: read(PIECE), b"")


class Decompressor(Protocol):
    """What `bz2.BZ2Decompressor` and `lzma.LZMADecompressor` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream is complete and its checksum right."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take bytes, and give no more than ``max_length``; the rest is given next time."""
        ...


class Inflate:
    """zlib as a `Decompressor`.

    Args:
        bits: zlib's ``wbits``: 31 for gzip, with its header, checksum and length; -15 for bare deflate.
    """

    def __init__(self, bits: int) -> None:
        self._machine = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        """Whether the stream is complete and its checksum right."""
        return self._machine.eof

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the end of the stream."""
        return self._machine.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take bytes, and give no more than ``max_length``; the rest is given next time."""
        return self._machine.decompress(self._machine.unconsumed_tail + data, max_length)


def lzma_alone() -> lzma.LZMADecompressor:
    """Return what decompresses the forerunner of xz, which zips hold as well."""
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MOST_MEMORY)


def decompressed(
    read: Callable[[int], bytes], start: Callable[[], Decompressor], source: Path, *, one: str = ""
) -> Iterator[bytes]:
    """Yield what streams of compressed bytes hold, in pieces.

    Args:
        read: gives up to so many compressed bytes.
        start: makes what decompresses one stream.
        source: the file, for errors.
        one: what the only stream is called, where nothing may follow the first.

    Raises:
        FailureError: a checksum differs, or the bytes are too few or too many.
    """
    # Whatever a damaged stream makes these libraries raise is told as damage.
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
        if error.errno is None:  # bz2 has no error of its own
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
