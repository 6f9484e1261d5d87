"""Reads tar archives from front to back.

Python's `tarfile` reads single headers. This module decides which headers may follow each other, because
`tarfile` takes a damaged header for the end of an archive, and reads extended headers of any length.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from segzoo.datasets.compressed import damaged, foreign, is_compressed, whole
from segzoo.datasets.entries import Entry, refusal
from segzoo.errors import FailureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from segzoo.datasets.compressed import Evaluator

_BLOCK = tarfile.BLOCKSIZE
#: Extended headers hold names and times; longer ones are designed to fill memory.
_MOST_HEADER = 1 << 20
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


def is_tar(head: bytes) -> bool:
    """Return whether a file's first 512 bytes are those of a tar archive, or of a compressed file."""
    if is_compressed(head) or head[257:262] == b"ustar" or head == bytes(_BLOCK):
        return True
    # The bytes of about one in some hundreds of zip files add up to the checksum of an old tar file.
    if head.startswith(b"PK\x03\x04"):
        return False
    try:
        return bool(tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape"))
    except (tarfile.HeaderError, ValueError):
        return False


def entries(source: Path, tally: Evaluator) -> Iterator[Entry]:
    """Yield the entries of a tar archive of any compression, and check all of it.

    Raises:
        FailureError: it is damaged or cut short, has an entry that is not allowed, or unpacks to too much.
    """
    with source.open("rb") as file:
        head = file.read(_BLOCK)
        file.seek(0)

        def read(count: int) -> bytes:
            data = file.read(count)
            tally.on_read(len(data))
            return data

        stream = _Stream(whole(read, head, source), tally)
        yield from _entries(stream, tally, compressed=is_compressed(head))


def _entries(stream: _Stream, tally: Evaluator, *, compressed: bool) -> Iterator[Entry]:
    source, last, extended = tally.source, "", {}
    while any(block := stream.take(_BLOCK, "its end is missing")):
        tally.entered()
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            if compressed and not last and not extended and block[257:262] != b"ustar":
                what = foreign(block) or ("zip" if block.startswith(b"PK") else "")
                raise FailureError(
                    f"{source} is compressed, but holds {f'a {what}' if what else 'no tar'} archive"
                ) from error
            what = f"the header after {last[:100]!r}" if last else "its first header"
            raise damaged(source, f"{what} is wrong ({error})") from error
        size = _size(header.size, source)
        if header.type in _EXTENDED:
            extended |= _records(stream.header(size), source, everywhere=header.type == tarfile.XGLTYPE)
            continue
        if header.type == tarfile.GNUTYPE_LONGNAME:
            extended["path"] = stream.header(size).split(b"\0")[0].decode("utf-8", "surrogateescape")
            continue
        if header.type == tarfile.GNUTYPE_LONGLINK:
            stream.header(size)
            continue
        last = extended.get("path", header.name)
        if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended):
            raise FailureError(refusal(source, last, "is stored as a sparse file"))
        if header.type in _FILES:
            size = _size(extended.get("size", size), source)
            yield Entry(last, stream.pieces(size, f"it ends within {last[:100]!r}"))
            stream.take(-size % _BLOCK, f"it ends within {last[:100]!r}")
        elif header.type == tarfile.DIRTYPE:
            yield Entry(last, None)
        else:
            raise FailureError(refusal(source, last, "is a link or a device"))
        extended = {}
    if extended:
        raise damaged(source, "its last header belongs to no entry")
    for piece in stream.rest():
        if any(piece):
            raise damaged(source, "something follows its end")


def _size(size: int | str, source: Path) -> int:
    if isinstance(size, str) and not (size.isascii() and size.isdecimal() and len(size) < 20):
        raise damaged(source, f"a header states the size {size[:20]!r}")
    if int(size) < 0:
        raise damaged(source, f"a header states the size {size}")
    return int(size)


def _records(data: bytes, source: Path, *, everywhere: bool) -> dict[str, str]:
    """Return the records of an extended header with an entry's name and size.

    Args:
        data: lines ``length key=value``.
        source: the archive, for error messages.
        everywhere: whether they apply to all following entries.
    """
    found, rest = {}, data
    while rest:
        digits, space, _ = rest[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        line = rest[len(digits) + 1 : length]
        key, equals, value = line[:-1].partition(b"=")
        if not (space and key and equals and length <= len(rest) and line.endswith(b"\n")):
            raise damaged(source, "an extended header cannot be read")
        name = key.decode("utf-8", "replace")
        if name in ("path", "size") or name.startswith("GNU.sparse."):
            found[name] = value.decode("utf-8", "surrogateescape")
        rest = rest[length:]
    if everywhere and found:
        raise damaged(source, f"one {' and '.join(sorted(found))} is given to all its entries")
    return found


class _Stream:
    """Bytes that arrive in pieces, returned in other pieces."""

    def __init__(self, pieces: Iterator[bytes], tally: Evaluator) -> None:
        self._pieces, self._tally = pieces, tally
        self._waiting = memoryview(b"")

    def pieces(self, count: int, missing: str) -> Iterator[bytes]:
        """Yield exactly ``count`` bytes; ``missing`` is the error message if there are fewer."""
        while count:
            if not self._waiting and not self._filled():
                raise damaged(self._tally.source, missing)
            piece, self._waiting = self._waiting[:count], self._waiting[count:]
            count -= len(piece)
            yield bytes(piece)

    def take(self, count: int, missing: str) -> bytes:
        """Return exactly ``count`` bytes."""
        return b"".join(self.pieces(count, missing))

    def header(self, size: int) -> bytes:
        """Return the content of an extended header."""
        if size > _MOST_HEADER:
            raise FailureError(
                f"{self._tally.source} holds a header of {size:,} bytes: it is damaged, or designed to fill"
                " memory"
            )
        return self.take(size + -size % _BLOCK, "it ends within a header")[:size]

    def rest(self) -> Iterator[bytes]:
        """Yield all remaining bytes."""
        while self._waiting or self._filled():
            piece, self._waiting = self._waiting, memoryview(b"")
            yield bytes(piece)

    def _filled(self) -> bool:
        piece = next(self._pieces, b"")
        self._tally.decompressed(len(piece))
        self._waiting = memoryview(piece)
        return bool(piece)
