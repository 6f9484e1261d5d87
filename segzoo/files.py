"""Files that can be read, files and folders that are there whole or not at all, and what may be replaced.

**Whole.** What is written lies under a hidden name beside its place, ``.segzoo-0123456789abcdef.part``, and
gets its name when it is whole. Whatever ends the writing, a full disk, Ctrl-C or SIGTERM, removes the part.
Downloads alone are written to ``NAME.part`` in the cache, since they are to be found and resumed.

**Stale.** A killed process cannot remove its parts. Each part is locked by whoever writes it, and the system
gives the lock back when that process ends, so a part whose lock can be taken has no living writer. The next
run that writes into the folder removes those.

**Replaced.** A file that exists is replaced only where the caller says ``overwrite``, or where a record says
that an earlier run wrote this very file. A file that is read is never replaced. `refuse_taken` asks before
the work begins, `whole_files` when a file gets its name.

**Remote.** What goes to a `segzoo.storage.RemotePath` is written to a part in the folder for temporary files,
which becomes an object when it is whole. `segzoo.copies` is the way back.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from segzoo.errors import FailureError, is_address
from segzoo.storage import RemotePath, listed, look, upload

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

#: What is no file, though it has a name in a folder: reading it may wait for ever, or never end.
_KINDS = {
    stat.S_IFDIR: (errno.EISDIR, "it is a folder"),
    stat.S_IFIFO: (errno.EINVAL, "it is a pipe, not a file"),
    stat.S_IFSOCK: (errno.EINVAL, "it is a socket, not a file"),
    stat.S_IFCHR: (errno.EINVAL, "it is a device, not a file"),
    stat.S_IFBLK: (errno.EINVAL, "it is a device, not a file"),
}
#: What a part is called. It is short, as the name that it gets may be as long as the file system takes.
_PART = re.compile(r"\.segzoo-[0-9a-f]{16}\.part")
#: In the folder of a folder's part: what is locked, and what becomes the folder.
_LOCK, _WHOLE = "lock", "whole"
#: On Windows the locked byte cannot be read, so it is beyond the end of all files here.
_FAR_BYTE = 2**31 - 2
#: How many of the files in the way are listed.
_LISTED = 3
#: Up to so many files are looked up one by one; of more, their folders are listed.
_FEW, _FEW_REMOTE = 1000, 10
#: Objects of one image that are written to a store at once.
_UPLOADS = 4
#: Folders from which this process has removed stale parts.
_swept: set[str] = set()

NAME_ANOTHER = "choose another folder, or replace it with --overwrite"


@dataclass(frozen=True)
class Keeping:
    """What a run knows of its files.

    Attributes:
        owns: whether a file that exists was written by an earlier run and has not changed since, so that
            it may be replaced.
        naming: called with the temporary file of each path before the first is renamed, so that a record can
            be written that is valid even if the process ends in between. For objects in a store, it is called
            after the last one is written; until then, their mark states which run wrote them.
        mark: returns the mark for objects that are written; see `segzoo.storage.upload`.
    """

    owns: Callable[[Path], bool]
    naming: Callable[[Mapping[Path, Path]], None]
    mark: Callable[[], str] = str


def resolved(path: Path) -> Path:
    """Return a path without links; that of an object in a store is one already."""
    return path if isinstance(path, RemotePath) else Path(os.path.realpath(path))


def regular(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is a regular file, or a link to one.

    Call this before you open a file that the user named: opening a pipe waits for its writer, and a device
    such as ``/dev/zero`` has no end.

    Raises:
        OSError: there is no such file, or it is a folder, a pipe, a socket or a device; ``strerror`` states
            which.
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


def read_sha256(path: Path) -> str:
    """Return the sha256 of what a file holds now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_zip_sums(path: Path) -> None:
    """Hold a zip, such as `torch.save` writes, to its checksums, which torch does not look at.

    Raises:
        OSError: it cannot be read.
        ValueError: a checksum differs, or the zip is damaged in another way; the message says how.
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
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as PowerShell writes what is redirected
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def name_bytes(name: str) -> bytes:
    """Return the bytes of a name, for a hash: those of UTF-8, whatever half characters it holds."""
    return name.encode("utf-8", "backslashreplace")


def lines_of(text: str) -> list[str]:
    r"""Return the lines of a text, which end at ``\n`` or ``\r\n``: names may hold U+2028 and the like."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def writable(folder: str | os.PathLike[str]) -> Path:
    """Make a folder, and remove stale parts from it.

    Raises:
        FailureError: it is an address, or nothing can be written into it; better said before an hour of work
            than after.
    """
    if isinstance(folder, RemotePath):  # the record of the run, which comes first, will say whether it can be
        return folder
    folder = Path(folder)
    refuse_address(folder)
    with writing(folder, what="cannot write to"):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise FailureError(f"cannot write to {folder}: permission denied")
    sweep(folder)
    return folder


def refuse_fetching(word: str | os.PathLike[str]) -> None:
    """Raise `FailureError` where a file is named by its address: a path would lose one of its slashes."""
    if isinstance(word, str) and is_address(word) and not os.path.lexists(word):
        raise FailureError(f"{word} is an address, which is not fetched here: download the file, and name it")


def refuse_address(path: Path) -> None:
    """Raise `FailureError` if files would be written to an address, or to what nothing can be called.

    Otherwise ``s3://bucket/run`` would become a local folder with this name, where no user would look for it.
    """
    if isinstance(path, RemotePath):
        raise FailureError(
            f"{path} is an address: this goes to a folder of this machine alone. Name one, and copy it there"
        )
    if is_address(str(path)) and not os.path.lexists(path.parts[0]):
        raise FailureError(f"{path} is an address: what is written goes to a folder of this machine alone")
    if "\0" in str(path):
        raise FailureError(f"cannot write to {path}: no file can have this name")


@contextmanager
def writing(path: Path, advice: Callable[[], str] = str, *, what: str = "cannot write") -> Iterator[None]:
    """Turn what the disk refuses into a `FailureError` that names the path.

    Args:
        path: path that is being written.
        advice: returns what the user should do; called if writing fails.
        what: beginning of the message.
    """
    try:
        yield
    except OSError as error:
        raise FailureError(f"{what} {path}: {error.strerror or error}{advice()}") from error


def refuse_taken(
    paths: Iterable[Path],
    *,
    overwrite: bool = False,
    owns: Callable[[Path], bool] | None = None,
    inputs: Iterable[Path] = (),
    advice: str = NAME_ANOTHER,
) -> None:
    """Raise `FailureError` if writing files would replace what must stay.

    Args:
        paths: paths of the files that will be written.
        overwrite: whether existing files may be replaced.
        owns: returns whether an existing file may be replaced even without ``overwrite``; see `Keeping`.
        inputs: files that are read. They are never replaced, not even through another name, such as a link.
        advice: what the user should do about existing files.

    Raises:
        FailureError: a file exists, is read, is read-only, or is a folder; or two files have one path.
    """
    paths = list(paths)
    known: set[Path] = set()
    for path in paths:
        if path in known:
            raise FailureError(f"{path} would be written twice: rename one of the images that it is made of")
        known.add(path)
    taken = _existing(paths)
    if not taken:
        return
    # A run that was killed right after its files got their names left parts that no later run would see.
    for folder in {path.parent for path in taken}:
        sweep(folder)
    read = {_identity(path) for path in inputs} - {None}
    reasons: dict[str, list[Path]] = {}
    for path in taken:
        if read and _identity(path) in read:
            raise FailureError(
                f"{path} is read, so it cannot be written too: choose another name for the output"
            )
        reason = _in_the_way(path, overwrite=overwrite, owns=owns)
        if reason:
            reasons.setdefault(reason, []).append(path)
    for reason, found in reasons.items():
        raise FailureError(_refusal(found, reason, advice))


def keep_apart(folder: Path, inputs: Iterable[Path], *, below: bool = True, inside: bool = False) -> None:
    """Raise `FailureError` if files that are read lie in the folder that is written to.

    The next run would take what this one wrote for what it reads.

    Args:
        folder: folder that is written to.
        inputs: files that are read.
        below: whether they must not lie in the folders below it either.
        inside: whether it must not lie below one of their folders either, such as ``images`` and ``masks`` of
            a dataset, which are read with all that is in them; below the folder that holds them all it may.
    """
    parents = {path.parent: path for path in inputs}
    shared = common_folder(map(resolved, parents)) if inside else None
    for parent, path in parents.items():
        if shared is not None and _identity(parent) != _identity(shared) and lies_in(folder, parent):
            raise FailureError(
                f"{folder} lies in {parent}, whose files are read, such as {path.name}: what is written "
                "there would be taken for one of them by the next run. Choose another folder"
            )
        if lies_in(parent, folder) if below else _identity(parent) == _identity(folder) is not None:
            raise FailureError(
                f"{folder} holds files that are read, such as {path}: what is written there would be taken "
                "for one of them by the next run. Choose another folder"
            )


def common_folder(folders: Iterable[Path]) -> Path | None:
    """Return the innermost folder that all of these lie in, or are; ``None`` on several drives."""
    chains = [{folder, *folder.parents} for folder in set(folders)]
    shared = set.intersection(*chains) if chains else set[Path]()
    return max(shared, key=lambda folder: len(folder.parts), default=None)


def lies_in(place: Path, folder: Path) -> bool:
    """Whether a folder is another or lies in it, under whatever names; neither need exist."""
    if isinstance(place, RemotePath) or isinstance(folder, RemotePath):
        return folder in (place, *place.parents)
    wanted = _identity(folder)
    real = Path(os.path.realpath(place))
    return wanted is not None and any(_identity(one) == wanted for one in (real, *real.parents))


@contextmanager
def whole_file(
    path: Path,
    *,
    overwrite: bool = False,
    keeping: Keeping | None = None,
    advice: Callable[[], str] = str,
) -> Iterator[Path]:
    """Give the path of an empty file to write into, which becomes ``path`` if the block succeeds.

    Arguments and errors are the same as for `whole_files`.
    """
    with whole_files([path], overwrite=overwrite, keeping=keeping, advice=advice) as (part,):
        yield part


@contextmanager
def whole_files(
    paths: Sequence[Path],
    *,
    overwrite: bool = False,
    keeping: Keeping | None = None,
    advice: Callable[[], str] = str,
) -> Iterator[tuple[Path, ...]]:
    """Give an empty temporary file to write into for each path, in its folder, which is created if needed.

    If the block succeeds, the files are renamed to their paths, one right after the other. Otherwise they are
    deleted, and files that had these names before are unchanged. A symbolic link is replaced, not its target.

    Args:
        paths: paths of the files.
        overwrite: whether existing files may be replaced.
        keeping: decides which existing files may be replaced even without ``overwrite``; it is also called
            before the files get their names.
        advice: returns what the user should do; see `writing`.

    Raises:
        FailureError: a file cannot be written or renamed, or a file exists and may not be replaced. Errors
            that the block itself raises are not changed; see `writing`.
    """
    with ExitStack() as stack:
        parts: list[_FilePart] = []
        for path in paths:
            with writing(path, advice):
                here = Path(tempfile.gettempdir()) if isinstance(path, RemotePath) else path.parent
                parts.append(stack.enter_context(_file_part(here)))
        yield tuple(part.path for part in parts)
        owns = None if keeping is None else keeping.owns
        for path in paths:
            _refuse(path, _in_the_way(path, overwrite=overwrite, owns=owns))
        made = {path: part.path for path, part in zip(paths, parts, strict=True)}
        remote = {path: part for path, part in made.items() if isinstance(path, RemotePath)}
        if remote:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(len(remote), _UPLOADS)) as threads:
                mark = "" if keeping is None else keeping.mark()
                list(threads.map(lambda one: upload(one[1], one[0], mark), remote.items()))
        if keeping is not None:
            keeping.naming(made)
        for path, part in zip(paths, parts, strict=True):
            if path not in remote:
                with writing(path, advice):
                    part.name(path, overwrite=overwrite, owns=owns)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write into, which becomes ``folder`` if the block succeeds.

    Raises:
        FailureError: there is something at ``folder`` other than an empty folder.
        OSError: the disk refuses; see `writing`.
    """
    refuse_address(folder)
    refuse_used(folder)
    place = Path(os.path.realpath(folder))
    with part_folder(place.parent) as part:
        yield part
        if place.exists():
            place.rmdir()
        part.rename(place)


def refuse_used(folder: Path) -> None:
    """Raise `FailureError` if there is something at a path other than an empty folder."""
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise FailureError(f"{folder} is there already and not empty: name another folder, or remove it")


@contextmanager
def part_folder(folder: Path) -> Iterator[Path]:
    """Give an empty hidden folder in ``folder``, which is made; what is left in it at the end is removed.

    Raises:
        OSError: the disk refuses; see `writing`.
    """
    with made(folder):
        part, handle = _new_folder_part(folder)
        try:
            whole = part / _WHOLE
            whole.mkdir()
            yield whole
        finally:
            shutil.rmtree(part / _WHOLE, ignore_errors=True)
            os.close(handle)
            shutil.rmtree(part, ignore_errors=True)


def give_name(part: Path, path: Path) -> None:
    """Rename a file in a `part_folder`, and replace a file with that name; see `whole_files` for errors."""
    with writing(path):
        _refuse(path, _in_the_way(path, overwrite=True))
        os.replace(part, path)


def write_whole(path: Path, data: bytes, *, overwrite: bool = True, keeping: Keeping | None = None) -> None:
    """Write a file under a passing name in its folder, which is made, and give it its name when it is whole.

    Whatever ends the writing, a full disk or Ctrl-C, leaves what was under the name before, or nothing.

    Raises:
        FailureError: it cannot be written, or is there and may not be replaced.
    """
    with writing(path), whole_file(path, overwrite=overwrite, keeping=keeping) as part:
        part.write_bytes(data)


def sweep(folder: Path) -> None:
    """Remove parts from a folder that no living process writes; what cannot be removed stays."""
    if isinstance(folder, RemotePath):  # an object is there whole or not at all
        return
    _swept.add(os.path.abspath(folder))  # noqa: PTH100
    try:
        with os.scandir(folder) as entries:
            parts = [entry for entry in entries if is_part(Path(entry.name))]
    except OSError:
        return
    for entry in parts:
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                _sweep_folder(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                _sweep_file(Path(entry.path))


def is_part(path: Path) -> bool:
    """Whether a path has the name of a part."""
    return _PART.fullmatch(path.name) is not None


class _FilePart:
    """An empty file that this process holds the lock of."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle

    def name(self, path: Path, *, overwrite: bool, owns: Callable[[Path], bool] | None) -> None:
        """Give it its name."""
        if sys.platform == "win32":
            self.drop_lock()  # what is open cannot be renamed there
        if not os.path.lexists(path):
            try:
                # Unlike a renaming, this replaces nothing that has appeared in the meantime.
                os.link(self.path, path)
                return
            except OSError:
                # FAT and some network file systems have no hard links. If the disk refuses, or a file has
                # just appeared here, the next lines raise the error.
                pass
        _refuse(path, _in_the_way(path, overwrite=overwrite, owns=owns))
        os.replace(self.path, path)

    def drop_lock(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


@contextmanager
def _file_part(folder: Path) -> Iterator[_FilePart]:
    with made(folder):
        while True:
            path = folder / _part_name(folder)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            part = _FilePart(path, handle)
            if _held(handle, path):
                break
            part.drop_lock()
        try:
            yield part
        finally:
            if sys.platform == "win32":
                part.drop_lock()
            with suppress(OSError):
                path.unlink()
            part.drop_lock()


def _new_folder_part(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / _part_name(folder)
        path.mkdir()
        lock = path / _LOCK
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileNotFoundError:  # another process took it for stale before it was locked
            continue
        if _held(handle, lock):
            return path, handle
        os.close(handle)


def _part_name(folder: Path) -> str:
    if os.path.abspath(folder) not in _swept:  # noqa: PTH100
        sweep(folder)
    return f".segzoo-{token_hex(8)}.part"


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder; those that were made are removed again if the block fails and they are empty."""
    refuse_address(folder)
    missing: list[Path] = []
    for place in (folder, *folder.parents):
        if place.exists():
            break
        missing.append(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in missing:
            with suppress(OSError):
                place.rmdir()
        raise


def _held(handle: int, path: Path) -> bool:
    """Lock a part that was just made; return whether it is ours, and was not removed before it was locked."""
    if _lock(handle) is False:
        return False
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


def _lock(handle: int) -> bool | None:
    """Take the lock on an open file; ``False`` where another has it, ``None`` where there are no locks."""
    try:
        if sys.platform == "win32":
            os.lseek(handle, _FAR_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK) else None
    return True


def _sweep_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        # A lock that can be taken and a name that is still this file's: nobody writes it.
        stale = _lock(handle) and os.path.samestat(os.fstat(handle), path.lstat())
        if stale and sys.platform != "win32":
            path.unlink()
    finally:
        os.close(handle)
    if stale and sys.platform == "win32":
        path.unlink()


def _sweep_folder(path: Path) -> None:
    lock = path / _LOCK
    try:
        handle = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        path.rmdir()  # which fails unless it is empty: it was killed before it was locked
        return
    try:
        if not _lock(handle):
            return
        # The lock goes last: what a second kill leaves is found again.
        shutil.rmtree(path / _WHOLE, ignore_errors=True)
    finally:
        os.close(handle)
    lock.unlink()
    path.rmdir()


def _identity(path: Path) -> tuple[int, int] | str | None:
    """Return a value that identifies a file under any of its names; ``None`` if there is no file."""
    if isinstance(path, RemotePath):
        return str(path)
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _existing(paths: Sequence[Path]) -> list[Path]:
    """Return those paths at which there is something."""
    remote = [path for path in paths if isinstance(path, RemotePath)]
    if len(remote) > _FEW_REMOTE:
        there = {
            one.path for folder in {path.parent for path in remote} for one in listed(folder, deep=False)
        }
        return [path for path in remote if path in there]
    if remote:
        return [path for path in remote if look(path) is not None]
    if len(paths) <= _FEW:
        return [path for path in paths if os.path.lexists(path)]
    names: dict[Path, set[str]] = {}
    for folder in {path.parent for path in paths}:
        try:
            names[folder] = set(os.listdir(folder))  # noqa: PTH208
        except OSError:
            names[folder] = set()
    return [path for path in paths if path.name in names[path.parent]]


def _in_the_way(path: Path, *, overwrite: bool, owns: Callable[[Path], bool] | None = None) -> str:
    """Return why a file that exists may not be replaced; nothing where it may be, or there is none."""
    if isinstance(path, RemotePath):
        free = overwrite or look(path) is None or (owns is not None and owns(path))
        return "" if free else "exists"
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISDIR(mode):
        return "is a folder"
    if owns is not None and owns(path):
        return ""
    if not overwrite:
        return "exists"
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        return "is a device or a pipe"
    return "" if mode & stat.S_IWUSR else "is read-only"


def _refuse(path: Path, reason: str) -> None:
    if reason:
        raise FailureError(_refusal([path], reason, NAME_ANOTHER))


def _refusal(paths: Sequence[Path], reason: str, advice: str) -> str:
    told = advice if reason == "exists" else "choose another folder or name"
    if len(paths) == 1:
        return f"{paths[0]} {reason}: {told}"
    shown = "".join(f"\n  {path}" for path in paths[:_LISTED])
    more = "\n  ..." if len(paths) > _LISTED else ""
    many = {"exists": "exist already", "is a folder": "are folders", "is read-only": "are read-only"}.get(
        reason, reason
    )
    return f"{len(paths)} of the files that would be written {many}:{shown}{more}\n{told}"
