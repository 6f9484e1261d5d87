"""Archives to folders, without trusting them.

An archive may name files outside its folder, hold links that lead there, or unpack to more than the
disk holds. So every entry is a regular file or a folder at a plain relative path, counted and measured
while it is written, in a folder that becomes the wanted one only when all is well.
"""

from __future__ import annotations

import re
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from lzma import LZMAError
from typing import IO, TYPE_CHECKING, Any, cast

from segzoo.errors import FailureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may unpack to.

    Attributes:
        files: entries of one archive.
        bytes: of all its files together.
        ratio: bytes of its files for each of the archive's; what is below ``free_bytes`` is let pass.
        free_bytes: what any archive may unpack to.
    """

    files: int = 500_000
    bytes: int = 500_000_000_000
    ratio: float = 200.0
    free_bytes: int = 200_000_000


@dataclass
class _Tally:
    """Counts what one archive has unpacked to, and refuses too much."""

    source: Path
    limits: Limits
    entries: int = 0
    files: int = 0
    bytes: int = 0
    paths: set[Path] = field(default_factory=set)

    def entered(self, count: int = 1) -> None:
        self.entries += count
        if self.entries > self.limits.files:
            raise FailureError(
                f"{self.source} holds more than {self.limits.files:,} files: no data set does. If it is to be"
                " trusted, unpack it by hand"
            )

    def written(self, count: int) -> None:
        self.bytes += count
        most = max(self.limits.free_bytes, self.source.stat().st_size * self.limits.ratio)
        if self.bytes > min(most, self.limits.bytes):
            raise FailureError(
                f"{self.source} unpacks to more than {min(most, self.limits.bytes) / 1e6:,.0f} MB, far more"
                " than its size: it may be made to fill the disk. If it is to be trusted, unpack it by hand"
            )


def unpack(sources: Sequence[Path], folder: Path, limits: Limits | None = None) -> int:
    """Unpack zip and tar archives, of any compression, into a new folder.

    Args:
        sources: the archives, unpacked one over the other.
        folder: where to; it must not exist, or be empty.
        limits: what each may unpack to.

    Returns:
        How many files there are.

    Raises:
        FailureError: an archive cannot be read, breaks a limit, or holds what it must not; nothing is left
            behind then.
    """
    with new_folder(folder) as part:
        return sum(unpack_into(source, part, limits or Limits()) for source in sources)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder, which becomes ``folder`` if the block succeeds and else is removed.

    Raises:
        FailureError: there is something at ``folder``, or the disk refuses.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FailureError(f"{folder} is there already and not empty: name another folder, or remove it")
    part = folder.absolute().with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        if isinstance(error, FailureError):
            raise
        raise FailureError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def unpack_into(source: Path, folder: Path, limits: Limits) -> int:
    """Unpack one archive into a folder; errors as `unpack`, but what is written stays."""
    tally = _Tally(source, limits)
    try:
        if not source.is_file():
            raise FailureError(f"there is no archive {source}")
        # Tar first: one that holds a zip may be taken for a zip.
        if tarfile.is_tarfile(source):
            _untar(source, folder, tally)
        elif zipfile.is_zipfile(source):
            _unzip(source, folder, tally)
        else:
            raise FailureError(
                f"{source} is neither a zip nor a tar archive, or is cut short: fetch it again"
            )
    except _DAMAGE as error:
        raise FailureError(f"{source} is damaged: {error or type(error).__name__}; fetch it again") from error
    return tally.files


def _unzip(source: Path, folder: Path, tally: _Tally) -> None:
    tally.entered(_count(source))
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        tally.entered(max(len(entries) - tally.entries, 0))
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise FailureError(_refusal(source, entry.filename, "is a link or a device"))
            if entry.flag_bits & 1:
                raise FailureError(f"{source} is encrypted: unpack it by hand, with its password")
            if entry.is_dir() or _junk(entry.filename):
                continue
            with archive.open(entry) as stream:
                _write(stream, _inside(source, folder, entry.filename), tally)


def _untar(source: Path, folder: Path, tally: _Tally) -> None:
    # Read from front to back, since what is compressed cannot be read otherwise.
    with tarfile.open(source, "r|*") as archive:
        for entry in archive:
            tally.entered()
            if not (entry.isreg() or entry.isdir()):
                raise FailureError(_refusal(source, entry.name, "is a link or a device"))
            stream = archive.extractfile(entry) if entry.isreg() and not _junk(entry.name) else None
            if stream is not None:
                with stream:
                    _write(stream, _inside(source, folder, entry.name), tally)
            # Of every entry tarfile keeps a record, and there may be millions.
            cast("Any", archive).members.clear()


def _write(stream: IO[bytes], path: Path, tally: _Tally) -> None:
    tally.files += 1
    if path in tally.paths:
        raise FailureError(_refusal(tally.source, path.name, "is there twice"))
    tally.paths.add(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while chunk := stream.read(_CHUNK):
                tally.written(len(chunk))
                file.write(chunk)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise FailureError(_refusal(tally.source, path.name, "is a file and a folder at once")) from error


def _inside(source: Path, folder: Path, name: str) -> Path:
    """Return where an entry goes, which is below ``folder`` whatever it is called."""
    steps = [step for step in name.replace("\\", "/").split("/") if step not in ("", ".")]
    rooted = name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name)
    if rooted or ".." in steps or not steps or any("\0" in step or len(step) > 255 for step in steps):
        raise FailureError(_refusal(source, name, "leads out of the folder or is no file name"))
    return folder.joinpath(*steps)


def _refusal(source: Path, name: str, what: str) -> str:
    return f"{source}: its entry {name[:100]!r} {what}. No data set needs that: do not use this archive"


def _junk(name: str) -> bool:
    """Whether an entry is what macOS adds to archives."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] in (".DS_Store", "._.DS_Store")


def _count(source: Path) -> int:
    """Return the number of entries that a zip file states, before its table of them is read into memory."""
    with source.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - (1 << 16) - 100, 0))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    count = int.from_bytes(tail[at + 10 : at + 12], "little") if at >= 0 else 0
    large = tail.rfind(b"PK\x06\x06")
    return (
        int.from_bytes(tail[large + 32 : large + 40], "little") if count == 0xFFFF and large >= 0 else count
    )
