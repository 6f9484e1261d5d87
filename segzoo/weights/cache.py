"""Where fetched files are kept, what is known of each, and how the room is tidied.

Below the cache's home (``SEGZOO_HOME``, else ``segzoo`` below ``XDG_CACHE_HOME`` or ``~/.cache``)::

    files/HOST/PATH            a file as it was fetched; put one there by hand and it is used
    files/HOST/PATH.json       its record: where it came from, its size and sha256
    files/HOST/PATH.part       as much of it as has come; resumed by the next attempt, which is why it is
                               not called as the parts of `segzoo.files`
    folders/NAME-KEY/          a file converted to a segzoo folder
    hub/ORG--NAME.json         commits and hashes of a Hugging Face repository
    locks/                     held while a file is fetched or converted

``files`` has the shape of a mirror: serve it and point ``SEGZOO_MIRROR`` at it. A record outlives its
file, so that a file without a published hash is held to its first hash when it is fetched again.
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

#: Beside a converted folder's own files: the hashes of them, written when it was made.
SEAL = "seal.json"


def home() -> Path:
    """Return the cache's folder, which need not exist: ``SEGZOO_HOME``, or ``segzoo`` in the user's cache."""
    told = os.environ.get("SEGZOO_HOME")
    return Path(told).expanduser() if told else user_cache() / "segzoo"


def user_cache() -> Path:
    """Return ``XDG_CACHE_HOME``, or ``~/.cache``."""
    told = os.environ.get("XDG_CACHE_HOME")
    return Path(told).expanduser() if told else Path.home() / ".cache"


def client_cache() -> Path:
    """Return the folder of the Hub's client: ``HF_HUB_CACHE``, ``HF_HOME/hub``, or ``huggingface/hub``."""
    told = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if told:
        return Path(told).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else user_cache() / "huggingface") / "hub"


def file_for(url: str) -> Path:
    """Return where the file at ``url`` is kept, by host and path; a query goes into the name."""
    return home() / "files" / mirror_path(url)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a cached file.

    Attributes:
        url: where it came from.
        bytes: its size.
        sha256: what it must hash to.
        pinned: whether that hash was taken at first use, since nobody publishes one.
    """

    url: str
    bytes: int
    sha256: str
    pinned: bool = True


def read_record(file: Path) -> Record | None:
    """Return the record beside ``file``, or ``None`` where there is none.

    Raises:
        WeightsError: it is damaged: without it nobody knows what the file should be.
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
            f"{_record_path(file)} is not a record of this cache: delete it, and the file is pinned anew"
        )
    return Record(**data)


def write_record(file: Path, record: Record) -> None:
    """Write the record of ``file``; errors as `writing`."""
    write_json(_record_path(file), asdict(record))


def forget(file: Path) -> None:
    """Forget the hash of ``file``, so that the next one to come is taken for good."""
    _record_path(file).unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, ``None`` where there is no such file.

    Raises:
        WeightsError: it is not JSON, or cannot be read.
    """
    try:
        return json_text.read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}; delete it and try again") from error


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file beside its place and rename it; errors as `writing`."""
    with writing(path), files.whole_file(path, overwrite=True, advice=advice) as part:
        part.write_text(as_json(data, indent=2) + "\n", encoding="utf-8")


def writing(path: Path) -> AbstractContextManager[None]:
    """Turn what the disk refuses into a `FailureError` that says what to do."""
    return files.writing(path, advice)


def advice() -> str:
    """Return what to do where the cache cannot be written."""
    return (
        ". Set SEGZOO_HOME to a folder that you may write to and that has"
        f" room (now {home()}, {told_bytes(free(home()))} free)"
    )


def free(folder: Path) -> int:
    """Return the bytes free where ``folder`` is, or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other processes from doing the same work; they wait."""
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
    """Return the sha256 of a file; the same unchanged file is read once a process.

    Raises:
        WeightsError: it cannot be read.
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
        WeightsError: it does not; the file is left for inspection.
    """
    found = sha256_of(file)
    if not found.startswith(expected):
        raise WeightsError(
            f"{name}: sha256 of {file} is {found}, expected {expected}; the file is damaged or not the one"
            f" named. Delete it and try again; if it is meant to have changed and you trust it:"
            f" `{command_line('segzoo', 'cache', 'prune', '--forget', name)}`"
        )
    return found


def seal(folder: Path, **facts: str) -> None:
    """Write down the hashes of a folder's files, for `check_seal`, and what made them."""
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SEAL)
    write_json(folder / SEAL, {**facts, "files": {path.name: sha256_of(path) for path in found}})


def read_seal(folder: Path) -> dict[str, Any]:
    """Return what `seal` wrote, nothing where the folder has none that can be read."""
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
