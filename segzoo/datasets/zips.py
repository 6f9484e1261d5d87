"""Reads zip archives: each entry by both of its headers, with its checksum.

Python's `zipfile` reads the table of entries. It does not compare that table with the headers in front of the
entries, and decompresses bzip2 and LZMA at once; so entries are opened here.
"""

from __future__ import annotations

import bz2
import stat
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from segzoo.datasets.compressed import (
    PIECE,
    Decompressor,
    Evaluator,
    Inflate,
    Limits,
    damaged,
    decompressed,
    lzma_alone,
)
from segzoo.datasets.entries import Entry, refusal
from segzoo.errors import FailureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_END, _END64, _LOCATOR64, _ENTRY, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
_ENCRYPTED, _ENDS_ITSELF, _LATER, _UTF8 = 1, 2, 8, 0x800
_UNKNOWN = 0xFFFFFFFF
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_FOREIGN = {9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd"}


class Zip:
    """A zip archive, from which files are read without unpacking it.

    Every read opens the archive again, so that processes may share this object.

    Args:
        source: the archive.

    Raises:
        FailureError: it is damaged, encrypted or compressed in an unsupported way, or has an entry that is
            not allowed.
    """

    def __init__(self, source: Path) -> None:
        self._table = _Table(source, None)

    def files(self) -> list[str]:
        """Return the names of its files."""
        return [name for name in self._table.infos if not name.endswith("/")]

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Args:
            name: one of `files`.

        Raises:
            FailureError: it is damaged, or too large for one of many files.
        """
        return self._table.read(name)


def entries(source: Path, tally: Evaluator) -> Iterator[Entry]:
    """Yield the entries of a zip archive; errors as in `Zip`, or if it unpacks to too much."""
    table = _Table(source, tally)
    for info in table.infos.values():
        yield Entry(info.filename, None if info.filename.endswith("/") else table.pieces(info))
        tally.on_read(info.compress_size)


class _Table:
    """The entries of an archive, each compared with the header in front of it.

    Args:
        source: the archive.
        tally: counts what it unpacks to; ``None`` counts only entries.
    """

    def __init__(self, source: Path, tally: Evaluator | None) -> None:
        self._source, self._tally = source, tally
        try:
            with source.open("rb") as file:
                self.infos, table = self._read_table(file)
                self._starts = self._local_headers(file, table)
        except OSError as error:
            raise FailureError(f"{source} cannot be read: {error.strerror or error}") from error

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        info = self.infos[name]
        if info.file_size > Limits().free_bytes:
            raise FailureError(refusal(self._source, name, f"unpacks to {info.file_size:,} bytes"))
        return b"".join(self.pieces(info))

    def _read_table(self, file: IO[bytes]) -> tuple[dict[str, zipfile.ZipInfo], int]:
        """Return the entries by name, and the position of their table."""
        table = _count(file, self._source, self._tally or Evaluator(self._source, Limits()))
        try:
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
        except UnicodeDecodeError as error:
            told = bytes(error.object)[:100]
            raise FailureError(refusal(self._source, repr(told), "has a name that is not UTF-8")) from error
        except Exception as error:  # a damaged table can fail in many ways
            raise damaged(self._source, str(error) or type(error).__name__) from error
        for info in infos:
            _check(self._source, info)
        if self._tally:
            self._tally.check(sum(info.file_size for info in infos))
        named = {info.filename: info for info in infos}
        if len(named) < len(infos):
            twice = next(info.filename for info in infos if named[info.filename] is not info)
            raise FailureError(refusal(self._source, twice, "exists twice"))
        return named, table

    def _local_headers(self, file: IO[bytes], table: int) -> dict[str, int]:
        """Return the position of each entry's bytes, after comparing each header with the table."""
        starts, end, before = {}, 0, ""
        for info in sorted(self.infos.values(), key=lambda info: info.header_offset):
            if info.header_offset < end:
                what = f"overlaps {before[:100]!r}"
                raise FailureError(refusal(self._source, info.filename, what))
            starts[info.filename] = start = self._header(file, info)
            end, before = start + info.compress_size, info.filename
        if end > table:
            raise damaged(self._source, f"{before[:100]!r} reaches into the table of entries")
        return starts

    def _header(self, file: IO[bytes], info: zipfile.ZipInfo) -> int:
        """Return the position of an entry's bytes."""
        if info.header_offset < 0:
            raise damaged(self._source, f"{info.filename[:100]!r} begins before the start of the file")
        file.seek(info.header_offset)
        fixed = file.read(30)
        if len(fixed) < 30 or not fixed.startswith(_LOCAL):
            raise damaged(self._source, f"{info.filename[:100]!r} is not where the table says")
        flags, method = struct.unpack_from("<2H", fixed, 6)
        crc, packed, size, name, extra = struct.unpack_from("<3I2H", fixed, 14)
        raw = file.read(name)
        same = [
            method == info.compress_type,
            raw == _raw_name(info),
            not (flags ^ info.flag_bits) & _ENCRYPTED,
        ]
        same.append(raw.isascii() or not (flags ^ info.flag_bits) & _UTF8)
        told = (crc, info.CRC), (packed, info.compress_size), (size, info.file_size)
        # Values that are unknown when a header is written follow the entry, or are in a 64-bit field.
        vague = (0, _UNKNOWN) if flags & _LATER else (_UNKNOWN,)
        same += [here == there or here in vague for here, there in told]
        if not all(same):
            raise damaged(self._source, f"{info.filename[:100]!r} has two headers that differ")
        return info.header_offset + 30 + name + extra

    def pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield the content of an entry, counted and compared with its checksum."""
        one, size, crc = repr(info.filename[:100]), 0, 0
        try:
            with self._source.open("rb") as file:
                file.seek(self._starts[info.filename])
                for piece in _contents(file, info, self._source):
                    size, crc = size + len(piece), zlib.crc32(piece, crc)
                    if self._tally:
                        self._tally.decompressed(len(piece))
                    if size > info.file_size:
                        break
                    yield piece
        except OSError as error:
            raise FailureError(f"{self._source} cannot be read: {error.strerror or error}") from error
        if size != info.file_size or crc != info.CRC:
            raise damaged(self._source, f"Bad CRC or size of {one}")


def _contents(file: IO[bytes], info: zipfile.ZipInfo, source: Path) -> Iterator[bytes]:
    """Return an entry's bytes, decompressed, from their position in a file."""
    one, left, ahead = repr(info.filename[:100]), info.compress_size, b""
    if info.compress_type == zipfile.ZIP_LZMA:
        head = file.read(min(9, left))
        left -= len(head)
        if len(head) < 9 or head[2:4] != b"\5\0":
            raise damaged(source, f"{one} is not compressed as the table says")
        # Outside of zips the properties are followed by the size, with all bits set if an end marker is used.
        length = (1 << 64) - 1 if info.flag_bits & _ENDS_ITSELF else info.file_size
        ahead = head[4:] + struct.pack("<Q", length)

    def read(count: int) -> bytes:
        nonlocal left, ahead
        first, ahead = ahead, b""
        piece = file.read(min(count, left))
        left -= len(piece)
        return first + piece

    start = _decompressor(info.compress_type)
    return decompressed(read, start, source, one=one) if start else iter(lambda: read(PIECE), b"")


def _decompressor(method: int) -> Callable[[], Decompressor] | None:
    if method == zipfile.ZIP_DEFLATED:
        return lambda: Inflate(-15)
    if method == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor
    return lzma_alone if method == zipfile.ZIP_LZMA else None


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _check(source: Path, info: zipfile.ZipInfo) -> None:
    """Raise an error if the table describes an entry that is not allowed."""
    name = info.orig_filename
    if not name:
        raise FailureError(refusal(source, name, "has no file name"))
    if "\0" in name:
        raise FailureError(refusal(source, name, "has control characters in its name"))
    if name.endswith("/") and info.file_size:
        raise FailureError(refusal(source, name, "is a folder with content"))
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise FailureError(refusal(source, name, "is a link or a device"))
    if info.flag_bits & (_ENCRYPTED | 0x40):
        raise FailureError(f"{source} is encrypted ({name[:100]!r}): unpack it yourself, with its password")
    if info.compress_type not in _METHODS:
        how = _FOREIGN.get(info.compress_type, f"method {info.compress_type}")
        raise FailureError(
            f"{source}: {name[:100]!r} is compressed with {how}, which is not supported: unpack it yourself"
        )


def _count(file: IO[bytes], source: Path, tally: Evaluator) -> int:
    """Count the entries of a table before all of it is read into memory; return its position."""
    size = file.seek(0, 2)
    first = max(size - (1 << 16) - 100, 0)
    file.seek(first)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise damaged(source, "it is cut short: the table of its entries is missing")
    stated, length = struct.unpack_from("<HI", tail, at + 10)
    large = at >= 76 and tail[at - 20 : at - 16] == _LOCATOR64 and tail[at - 76 : at - 72] == _END64
    if large:
        at -= 76
        stated, length = struct.unpack_from("<2Q", tail, at + 32)
    tally.entered(stated)
    start = first + at - length
    if start < 0:
        raise damaged(source, f"the table of its entries has {length:,} bytes, more than the file")
    file.seek(start)
    counted, here = 0, start
    while here < first + at:
        fixed = file.read(46)
        if len(fixed) < 46 or not fixed.startswith(_ENTRY):
            raise damaged(source, f"the table of its entries cannot be read after {counted:,}")
        more = sum(struct.unpack_from("<3H", fixed, 28))
        here = file.seek(more, 1)
        counted += 1
        if counted > stated:
            tally.entered()
    # Old programs write the last 16 bits of larger numbers.
    if here != first + at or (counted != stated and (large or counted & 0xFFFF != stated)):
        raise damaged(source, f"the table of its entries says {stated:,}, but there are {counted:,}")
    return start
