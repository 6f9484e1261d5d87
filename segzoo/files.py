"""Files that can be read, files that are there whole or not at all, and folders that can be written."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from segzoo.errors import FailureError

#: What is no file, though it has a name in a folder: reading it may wait for ever, or never end.
_KINDS = {
    stat.S_IFDIR: (errno.EISDIR, "it is a folder"),
    stat.S_IFIFO: (errno.EINVAL, "it is a pipe, not a file"),
    stat.S_IFSOCK: (errno.EINVAL, "it is a socket, not a file"),
    stat.S_IFCHR: (errno.EINVAL, "it is a device, not a file"),
    stat.S_IFBLK: (errno.EINVAL, "it is a device, not a file"),
}


def regular(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file, or of a link to one, that can be opened and read to an end.

    Call it before a file that others named is opened: opening a pipe waits for who writes into it, and a
    device such as ``/dev/zero`` has no end.

    Raises:
        OSError: there is no such file, or it is a folder, a pipe, a socket or a device; ``strerror`` says so.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a zero byte, or half a character, in its name
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    number, told = _KINDS.get(stat.S_IFMT(mode), (0, ""))
    if told:
        raise OSError(number, told, str(path))
    return path


def check_zip_sums(path: Path) -> None:
    """Hold a zip, such as `torch.save` writes, to its checksums, which torch does not look at.

    Raises:
        OSError: it cannot be read.
        ValueError: a checksum differs, or the zip is damaged in another way; the text says how.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if not any(member.CRC for member in members):
                return  # written without, by torch.serialization.set_crc32_options(False)
            for member in members:
                with archive.open(member) as stream:
                    while stream.read(1 << 20):
                        pass
    except Exception as error:  # a damaged zip fails in many ways; bzip2 has no error of its own
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(str(error) or type(error).__name__) from error


def read_words(path: str | os.PathLike[str]) -> str:
    """Return the text of a list that names files, such as ``ls`` or a spreadsheet writes it.

    Names need not be UTF-8: what is not is kept as Python keeps it in the names of files.

    Raises:
        OSError: it cannot be read; see `regular`.
    """
    return as_words(regular(path).read_bytes())


def as_words(data: bytes) -> str:
    """Return bytes as `read_words` does."""
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def name_bytes(name: str) -> bytes:
    """Return the bytes of a name, for a hash: those of UTF-8, whatever half characters it holds."""
    return name.encode("utf-8", "backslashreplace")


def lines_of(text: str) -> list[str]:
    r"""Return the lines of a text, which end at ``\n`` or ``\r\n``: names may hold U+2028 and the like."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def writable(folder: str | os.PathLike[str]) -> Path:
    """Make a folder.

    Raises:
        FailureError: nothing can be written into it; better said before an hour of work than after.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailureError(f"cannot write to {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise FailureError(f"cannot write to {folder}: permission denied")
    return folder


def refuse_existing(path: Path) -> None:
    """Raise `FailureError` if there is something at a path that nobody allowed to replace, or cannot be."""
    try:
        there = path.exists()
    except OSError as error:  # its name is too long
        raise FailureError(f"cannot write {path}: {error.strerror or error}") from error
    if there:
        raise FailureError(f"{path} exists: choose another folder, or replace it with --overwrite")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a passing name in its folder, which is made, and give it its name when it is whole.

    Whatever ends the writing, a full disk or Ctrl-C, leaves what was under the name before, or nothing.

    Raises:
        FailureError: it cannot be written.
    """
    # A dot hides it from who lists the folder; the token keeps writers apart, and short what may be long.
    part = path.with_name(f".{token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(data)
        os.replace(part, path)
    except OSError as error:
        raise FailureError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()
