"""The cache: where fetched files and converted folders are kept, and what is recorded about each.

Below the cache's home (``SEGZOO_HOME``, else ``segzoo`` below ``XDG_CACHE_HOME`` or ``~/.cache``)::

    files/HOST/PATH            a fetched file; a file that you put there yourself is used as well
    files/HOST/PATH.json       its record: where it came from, its size and sha256
    files/HOST/PATH.part       the part that has arrived; the next attempt resumes it, so its name differs
                               from the parts of `segzoo.files`
    folders/NAME-KEY/          a file converted to a segzoo folder
    hub/ORG--NAME.json         commits and hashes of a Hugging Face repository
    locks/                     held while a file is fetched or converted

``files`` has the layout of a mirror: serve it and point ``SEGZOO_MIRROR`` at it. A record outlives its
file: a file without a published hash must have its first hash again when it is fetched again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from segzoo import files, json_text
from segzoo.errors import WeightsError
from segzoo.http import mirror_path
from segzoo.printing import as_json, command_line
from segzoo.resources import told_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

#: The file in a converted folder that holds the hashes of the other files, written when the folder is made.
SEAL = "seal.json"


def home() -> Path:
    """Return the cache's folder (it may not exist): ``SEGZOO_HOME``, or ``segzoo`` in the user's cache."""
    told = os.environ.get("SEGZOO_HOME")
    return Path(told).expanduser() if told else user_cache() / "segzoo"


def user_cache() -> Path:
    """Return ``XDG_CACHE_HOME``, or ``~/.cache``."""
    told = os.environ.get("XDG_CACHE_HOME")
    return Path(told).expanduser() if told else Path.home() / ".cache"


def client_cache() -> Path:
    """Return the cache of the Hub's client: ``HF_HUB_CACHE``, ``HF_HOME/hub``, or ``huggingface/hub``."""
    told = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if told:
        return Path(told).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else user_cache() / "huggingface") / "hub"


def file_for(url: str) -> Path:
    """Return where the file at ``url`` is kept, by host and path; a query becomes part of the name."""
    return home() / "files" / mirror_path(url)


@dataclass(frozen=True, kw_only=True)
class Record:
    """The record of a cached file.

    Attributes:
        url: address that it was fetched from.
        bytes: size of the file.
        sha256: hash that the file must have.
        pinned: whether the hash was taken at the first download because nobody publishes one.
    """

    url: str
    bytes: int
    sha256: str
    pinned: bool = True


def read_record(file: Path) -> Record | None:
    """Return the record next to ``file``, or ``None`` if there is none.

    Raises:
        WeightsError: the record is damaged, so the file's expected hash is lost.
    """
    data = read_json(_record_path(file))
    if data is None:
        return None
    wanted = get_type_hints(Record)
    if not (
        isinstance(data, dict)
        and set(data) == set(wanted)
        and all(isinstance(data[name], kind) for name, kind in wanted.items())
    ):
        raise WeightsError(
            f"{_record_path(file)} is not a record of this cache: delete it, and the hash is recorded anew"
        )
    return Record(**data)


def write_record(file: Path, record: Record) -> None:
    """Write the record of ``file``; raises what `writing` raises."""
    write_json(_record_path(file), asdict(record))


def forget(file: Path) -> None:
    """Forget the hash of ``file``, so that the next download is accepted with any hash."""
    _record_path(file).unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or ``None`` if there is no such file.

    Raises:
        WeightsError: the file is not JSON, or cannot be read.
    """
    try:
        return json_text.read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}; delete it and try again") from error


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file to a temporary name and rename it; raises what `writing` raises."""
    with writing(path), files.whole_file(path, overwrite=True, advice=advice) as part:
        part.write_text(as_json(data, indent=2) + "\n", encoding="utf-8")


def writing(path: Path) -> AbstractContextManager[None]:
    """Turn the disk's errors into a `FailureError` that says what to do."""
    return files.writing(path, advice)


def advice() -> str:
    """Return what to do if the cache cannot be written."""
    return (
        ". Set SEGZOO_HOME to a folder that you may write to and that has"
        f" enough space (now {home()}, {told_bytes(free(home()))} free)"
    )


def free(folder: Path) -> int:
    """Return the free bytes on the disk of ``folder``, which may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Make other processes wait until this one has finished the same work."""
    from filelock import FileLock

    path = home() / "locks" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file; an unchanged file is read once per process.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        status = file.stat()
        return _hash(str(file), status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise WeightsError(f"{file} cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=256)
def _hash(file: str, size: int, changed: int, inode: int) -> str:
    return files.read_sha256(Path(file))


def check(file: Path, expected: str, *, name: str) -> str:
    """Return the sha256 of ``file``, which must begin with ``expected``.

    Raises:
        WeightsError: the hash differs; the file is left for inspection.
    """
    found = sha256_of(file)
    if not found.startswith(expected):
        raise WeightsError(
            f"{name}: sha256 of {file} is {found}, expected {expected}; the file is damaged or not the one"
            f" expected. Delete it and try again; if the change is intended and you trust the file:"
            f" `{command_line('segzoo', 'cache', 'prune', '--forget', name)}`"
        )
    return found


def seal(folder: Path, **facts: str) -> None:
    """Record the hashes of a folder's files for `check_seal`, and ``facts`` about how it was made."""
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SEAL)
    write_json(folder / SEAL, {**facts, "files": {path.name: sha256_of(path) for path in found}})


def read_seal(folder: Path) -> dict[str, Any]:
    """Return what `seal` wrote, or nothing if the folder has no readable record."""
    try:
        found = read_json(folder / SEAL)
    except WeightsError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def check_seal(folder: Path, *, name: str) -> None:
    """Raise `WeightsError` if a file of a sealed folder is missing or has changed."""
    sealed = read_seal(folder)
    if not sealed:
        raise WeightsError(f"{name}: {folder} has no readable {SEAL}: delete the folder and try again")
    for file, expected in sealed["files"].items():
        if sha256_of(folder / file) != expected:
            raise WeightsError(
                f"{name}: {folder / file} has changed since it was converted: delete the folder and try again"
            )


def _record_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")
