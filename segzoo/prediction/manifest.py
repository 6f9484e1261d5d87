"""Record of a run over many images, one line of JSON per image, so that the run can be resumed.

::

    {"input": "photos/a.jpg", "outputs": {"a_mask.png": 812}, "times": {"a_mask.png": 1790000000000000000},
     "seconds": 0.21, "height": 1280, "width": 1918, "areas": {"background": 0.71, "car": 0.29},
     "state": "...", "settings": "..."}

``outputs`` maps files to their sizes, ``times`` to their modification times in nanoseconds. A line is written
before its files are named, so that files of a run that was killed are recognised later. A failed image has
``error`` instead of outputs and areas. The input ``*`` stands for all images: its files are the combined
files of the run.

Objects in a store cannot be appended to. There each run has a record of its own, which no other run changes:
``manifest.20260131T120000-1a2b3c4d.jsonl`` when it has ended, and until then numbered parts, the latest of
them at most half a minute old. Each object that a run wrote bears the record's name as a mark, so that
objects that no part lists yet are recognised. Lines there have no ``times``.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from fnmatch import fnmatchcase
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.copies import fetched
from segzoo.errors import FailureError
from segzoo.files import whole_file
from segzoo.printing import as_json
from segzoo.storage import RemotePath, listed, look, mark_of, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: The beginning of the first line, and its maximum length.
_BEGINS, _LONGEST = b'{"input": ', 1 << 20
#: With more classes than this, a line lists only those that are present; else lines could reach a megabyte.
_MOST_AREAS = 256
#: The input name of combined files.
ALL_IMAGES = "*"
#: File name of manifests: one, or one for each of the runs that share the work.
MANIFEST = "manifest{part}.jsonl"
#: Seconds and bytes after which results are written to a store.
_INTERVAL, _PART = 30.0, 1 << 20


class Manifest:
    """The record of a run in its output folder.

    Other runs may write to it at the same time.

    Args:
        folder: output folder of the masks.
        name: file name of the manifest; runs that share the work have one each.
        settings: everything that the masks depend on except the image: weights, precision, outputs.
        anew: whether existing records are dropped; otherwise the record is continued, and the records of
            other runs in the folder are read too.
        marks: the `Manifest.marks` of the other record, if this is a share of it; records of other runs are
            then ignored.

    Raises:
        FailureError: the file cannot be read or written, or is not a manifest.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "manifest.jsonl",
        *,
        settings: str = "",
        anew: bool = False,
        marks: tuple[str, ...] | None = None,
    ) -> None:
        self.folder, self.path, self.settings = folder, folder / name, settings
        #: State, settings and outputs of every finished image.
        self._done: dict[str, tuple[str, str, Mapping[str, int]]] = {}
        #: Sizes and times of every file that a line names. With several runs, the last line need not belong
        #: to the run that wrote the file last.
        self._files: dict[str, tuple[tuple[int, int], ...]] = {}
        self._read_to = 0
        self._reading = Lock()
        self._remote: _RemoteRecord | _RemoteShare | None = None
        if isinstance(folder, RemotePath):
            self._remote = _RemoteRecord(folder, name) if marks is None else _RemoteShare(marks)
        if isinstance(self._remote, _RemoteRecord):
            self._open_remote(self._remote, anew=anew)
        if self._remote is not None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(self.path) and not _is_manifest(self.path):
                raise FailureError(
                    f"{self.path} is not the record of a segzoo run: choose another folder, or rename it"
                )
            if anew:
                self.path.unlink(missing_ok=True)
                return
            if marks is None:  # earlier runs may have divided the work differently
                for other in _manifests(folder):
                    if other != self.path:
                        self._learn(other.read_bytes())
            if self.path.exists():
                self._refresh()
                if self._read_to < self.path.stat().st_size:  # a crash truncated the last line
                    self._append(b"\n")
                    self._refresh()
        except OSError as error:
            raise FailureError(f"the manifest {self.path} cannot be used: {error}") from error

    @property
    def knows_settings(self) -> bool:
        """Whether the record is empty, or holds results with these settings."""
        return not self._done or any(known == self.settings for _, known, _ in self._done.values())

    @property
    def marks(self) -> tuple[str, ...]:
        """Marks of the objects in a store that this record owns, this run's first; empty if local."""
        if self._remote is None:
            return ()
        return (self.mark, *sorted(self._remote.marks - {self.mark}))

    def apart(self, name: str) -> tuple[Manifest, bool]:
        """Return the record of a task, and whether it existed already because a worker died.

        Args:
            name: file name that no other task uses; not used in a store.
        """
        begun = self._remote is None and (self.folder / name).exists()
        record = Manifest(self.folder, name, settings=self.settings, marks=self.marks)
        if self._remote is None:
            record.path.touch()
        return record, begun

    def text(self) -> bytes:
        """Return the lines of a task's record."""
        return bytes(self._remote.lines) if isinstance(self._remote, _RemoteShare) else self.path.read_bytes()

    def facts(self, path: Path) -> tuple[int, int] | None:
        """Return size and time of a file that a run wrote and that has not changed since; for `trust`."""
        return _facts(path) if self.owns(path) else None

    def trust(self, files: Mapping[Path, tuple[int, int]]) -> None:
        """Own files that another record owns."""
        for path, facts in files.items():
            name = path.relative_to(self.folder).as_posix()
            self._files[name] = (*self._files.get(name, ()), facts)

    def take(self, other: Path, lines: bytes) -> None:
        """Add the lines of another record and remove that record.

        Raises:
            FailureError: the lines cannot be written.
        """
        try:
            if lines:
                self._append(lines)
            if self._remote is None:
                other.unlink(missing_ok=True)
        except OSError as failure:
            raise FailureError(f"cannot write {self.path}: {failure.strerror or failure}") from failure

    def _open_remote(self, remote: _RemoteRecord, *, anew: bool) -> None:
        """Read what runs recorded in a store, or drop it, and make sure that the store can be written to."""
        for other in _manifests(self.folder):
            if not anew:
                self._learn(fetched(other).read_bytes())
                remote.marks.add(_mark(other))
            elif other.name.startswith(f"{remote.begins}."):
                remove(other)  # pyright: ignore[reportArgumentType]
        remote.add((as_json({"input": ALL_IMAGES, "settings": self.settings}) + "\n").encode())
        remote.flush()

    @property
    def mark(self) -> str:
        """Mark of the objects that this run writes to a store; empty for local folders."""
        return "" if self._remote is None else self._remote.mark

    def sizes(self) -> Mapping[str, int] | None:
        """Return the sizes of all objects in the folder, from one listing; ``None`` for local folders."""
        if not isinstance(self.folder, RemotePath) or not self._done:
            return None
        return {one.path.relative_to(self.folder).as_posix(): one.size for one in listed(self.folder)}

    def close(self) -> None:
        """Write everything that is still in memory; call it when the run ends, even after an error.

        Raises:
            FailureError: the store refuses the write.
        """
        if isinstance(self._remote, _RemoteRecord):
            self._remote.close()

    def knows(self, origin: str) -> bool:
        """Whether an image was done, with any settings."""
        return origin in self._done

    def has(
        self, origin: str, state: str, outputs: Iterable[Path] = (), sizes: Mapping[str, int] | None = None
    ) -> bool:
        """Whether an image was done with these settings, has not changed since, and has complete outputs.

        Args:
            origin: name of the image, as its source gives it.
            state: current state of the source.
            outputs: files that must be among those that were written.
            sizes: sizes of files, if known.
        """
        entry = self._done.get(origin)
        if entry is None or not state or entry[:2] != (state, self.settings):
            return False
        written = entry[2]
        if any(path.relative_to(self.folder).as_posix() not in written for path in outputs):
            return False
        if sizes is not None:
            return all(sizes.get(name) == size for name, size in written.items())
        return all(_facts(self.folder / name)[0] == size for name, size in written.items())

    def owns(self, path: Path) -> bool:
        """Whether a run wrote the file at a path, and the file has not changed since."""
        if self._remote is not None:
            return isinstance(path, RemotePath) and mark_of(path) in self._remote.marks
        try:
            with suppress(FileNotFoundError):  # there is no record yet
                self._refresh()  # another run may have written it in the meantime
            known = self._files.get(path.relative_to(self.folder).as_posix(), ())
        except (OSError, ValueError):
            return False
        return not path.is_symlink() and _facts(path) in known

    def add(
        self,
        origin: str,
        *,
        state: str = "",
        outputs: Sequence[Path] = (),
        parts: Mapping[Path, Path] | None = None,
        seconds: float = 0.0,
        size: tuple[int, int] = (0, 0),
        areas: Mapping[str, float] | None = None,
        error: str = "",
    ) -> None:
        """Record the outcome for one image.

        Args:
            origin: name of the image, as its source gives it.
            state: state of the source before it was read.
            outputs: files that are written, below the folder.
            parts: temporary path of each file until it is named.
            seconds: processing time.
            size: ``(height, width)`` of the image.
            areas: share of the image that each class covers; with very many classes, only those present are
                written.
            error: why there is no mask.

        Raises:
            FailureError: the line cannot be written.
        """
        entry: dict[str, Any] = {"input": origin}
        if error:
            entry |= {"error": error}
        else:
            parts = parts or {}
            facts = {
                path.relative_to(self.folder).as_posix(): _facts(parts.get(path, path)) for path in outputs
            }
            entry |= {"outputs": {name: size for name, (size, _) in facts.items()}}
            if self._remote is None:
                entry |= {"times": {name: changed for name, (_, changed) in facts.items()}}
            entry |= {"seconds": round(seconds, 4), "height": size[0], "width": size[1]}
            # With very many classes, the line holds only those that are present.
            many = len(areas or ()) > _MOST_AREAS
            covered = {name: share for name, share in (areas or {}).items() if share or not many}
            entry |= {"areas": {name: round(share, 6) for name, share in covered.items()}}
        entry |= {"state": state, "settings": self.settings}
        try:
            self._append((as_json(entry) + "\n").encode())
        except OSError as failure:
            raise FailureError(f"cannot write {self.path}: {failure.strerror or failure}") from failure

    def _append(self, line: bytes) -> None:
        """Append in a single write, so that lines of several processes do not mix."""
        if self._remote is not None:
            self._remote.add(line)
            return
        with self.path.open("ab", buffering=0) as file:
            file.write(line)

    def _refresh(self) -> None:
        """Read the complete lines that were added since the last time."""
        with self._reading, self.path.open("rb") as file:
            file.seek(self._read_to)
            for line in file:  # one by one, because there may be gigabytes
                if line.endswith(b"\n"):
                    self._read_to += len(line)
                    self._learn(line)

    def _learn(self, lines: bytes) -> None:
        """Store what complete lines record about images and files."""
        for entry in _entries(lines):
            try:
                origin, outputs, times = entry["input"], entry.get("outputs"), entry.get("times", {})
                self._done.pop(origin, None)  # this time it failed
                if outputs is not None:
                    # In a million lines, settings are equal and each file is written once: share the text.
                    self._done[origin] = entry["state"], sys.intern(entry["settings"]), outputs
                    for name in outputs.keys() & times.keys():
                        self._files[name] = (*self._files.get(name, ()), (outputs[name], times[name]))
            except (KeyError, TypeError, AttributeError):
                continue


class _RemoteRecord:
    """The record of one run in a store: numbered parts, which become one file when the run ends.

    Args:
        folder: output folder of the run.
        name: name of its manifest; a unique mark of the run is added to it.
    """

    def __init__(self, folder: RemotePath, name: str) -> None:
        #: Prefix of the names of this part's records.
        self.begins = name.removesuffix(".jsonl")
        self.mark = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{token_hex(4)}"
        #: Marks of all runs that wrote into the folder.
        self.marks = {self.mark}
        self._folder, self._stem = folder, f"{self.begins}.{self.mark}"
        self._new = bytearray()
        self._count = 0
        self._parts: list[RemotePath] = []
        self._lock, self._since = Lock(), time.monotonic()

    def add(self, line: bytes) -> None:
        """Add a line; write a part if the last one is old or large."""
        with self._lock:
            self._new += line
            self._count += 1
            if self._parts and (time.monotonic() - self._since > _INTERVAL or len(self._new) > _PART):
                self._since = time.monotonic()
                with suppress(FailureError):  # the lines are kept, and `close` reports the failure
                    self._write_part()

    def flush(self) -> None:
        """Write the lines that are still in memory."""
        with self._lock:
            self._write_part()

    def close(self) -> None:
        """Combine all parts into one file; if nothing was done, leave no file."""
        with self._lock:
            if self._count > 1:
                path = self._folder / f"{self._stem}.jsonl"
                with whole_file(path, overwrite=True) as whole, whole.open("wb") as file:
                    for part in self._parts:
                        file.write(fetched(part).read_bytes())
                    file.write(self._new)
            self._new.clear()
            while self._parts:
                remove(self._parts[-1])
                self._parts.pop()

    def _write_part(self) -> None:
        if self._new:
            path = self._folder / f"{self._stem}.{len(self._parts):06d}.jsonl"
            with whole_file(path, overwrite=True) as part:
                part.write_bytes(self._new)
            self._parts.append(path)
            self._new.clear()
            self._since = time.monotonic()


class _RemoteShare:
    """The record of a task whose run records in a store: its lines are handed over to the run.

    Args:
        marks: marks of objects that may be replaced, the run's own first.
    """

    def __init__(self, marks: tuple[str, ...]) -> None:
        self.mark, self.marks = marks[0], set(marks)
        self.lines = bytearray()
        self._lock = Lock()

    def add(self, line: bytes) -> None:
        """Add a line."""
        with self._lock:
            self.lines += line


def _mark(path: Path) -> str:
    """Return the run's mark, from the path of its record in a store."""
    return path.name.split(".")[1]


def written_into(folder: Path, there: Iterable[Path] = ()) -> set[Path]:
    """Return the files in and below a folder that its manifests list, whether or not they exist.

    Args:
        folder: output folder of runs.
        there: files that may belong to runs. In a store, this includes files that an unfinished or killed run
            has written but not listed yet.
    """
    found: set[Path] = set()
    goes_on: set[str] = set()
    for path in _manifests(folder):
        try:
            entries = list(_entries(fetched(path).read_bytes()))
        except OSError:
            continue
        if isinstance(path, RemotePath) and path.name.count(".") > 2:
            goes_on.add(_mark(path))
        for entry in entries:
            outputs = entry.get("outputs")
            found |= (
                {folder / name for name in outputs if isinstance(name, str)}
                if isinstance(outputs, dict)
                else set()
            )
    for path in there if goes_on else ():
        if isinstance(path, RemotePath) and path.is_relative_to(folder) and path not in found:
            found |= {path} if mark_of(path) in goes_on else set()
    return found


def is_record(path: Path) -> bool:
    """Whether a file's name is that of a run's record."""
    return fnmatchcase(path.name, MANIFEST.format(part="*"))


def _manifests(folder: Path) -> list[Path]:
    """Return the records of runs in a folder."""
    if isinstance(folder, RemotePath):
        there = (one.path for one in listed(folder, MANIFEST.partition("{")[0], deep=False))
        return sorted((path for path in there if is_record(path) and path.name.count(".") > 1), key=_mark)
    found: list[Path] = []
    for path in sorted(folder.glob(MANIFEST.format(part="*"))):
        with suppress(OSError):
            if _is_manifest(path):
                found.append(path)
    return found


def _entries(lines: bytes) -> Iterator[dict[str, Any]]:
    """Yield the entries of complete lines; lines that a crash truncated are skipped."""
    for line in lines.split(b"\n"):
        try:
            entry = json_text.parse(line.decode())
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _is_manifest(path: Path) -> bool:
    """Whether a file is the record of a run: empty, or with a valid or truncated first line."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(_LONGEST)
    if not first.endswith(b"\n"):
        return not first or first.startswith(_BEGINS)
    return any({"input", "settings"} <= entry.keys() for entry in _entries(first))


def _facts(path: Path) -> tuple[int, int]:
    """Return the size and modification time of a file; for an object in a store only the size."""
    if isinstance(path, RemotePath):
        there = look(path)
        return -1 if there is None else there.size, 0
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
