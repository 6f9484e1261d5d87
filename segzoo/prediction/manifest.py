"""What a run over many images did, a line of JSON each, so that it can go on where it stopped.

::

    {"input": "photos/a.jpg", "outputs": {"a_mask.png": 812}, "times": {"a_mask.png": 1790000000000000000},
     "seconds": 0.21, "height": 1280, "width": 1918, "areas": {"background": 0.71, "car": 0.29},
     "state": "...", "settings": "..."}

``outputs`` are the files with their sizes, ``times`` when they were last changed, in nanoseconds. A line is
there before its files get their names, so that a run that was killed knows them again. A failed image has
``error`` in place of outputs and areas. The input ``*`` stands for all images: its files are those that join
what was written for single ones.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.errors import FailureError
from segzoo.printing import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: How the first line begins, and how long it may be.
_BEGINS, _LONGEST = b'{"input": ', 1 << 20
#: Of more classes, a line has only those that cover something: others would make a megabyte of it.
_MOST_AREAS = 256
#: The input of files that join what was written for single images.
ALL_IMAGES = "*"
#: What the manifests of runs are called: one, or one for each of the runs that share the work.
MANIFEST = "manifest{part}.jsonl"


class Manifest:
    """The record of a run below its output folder.

    Other runs may write to it at the same time.

    Args:
        folder: that the masks go to.
        name: of the file in it; runs that share the work have one each.
        settings: what the masks depend on besides the image: weights, precision, outputs.
        anew: whether what is recorded already is dropped; else the record is continued, and what other
            runs recorded in the folder is known too.

    Raises:
        FailureError: the file cannot be read or written, or is somebody else's.
    """

    def __init__(
        self, folder: Path, name: str = "manifest.jsonl", *, settings: str = "", anew: bool = False
    ) -> None:
        self.folder, self.path, self.settings = folder, folder / name, settings
        self._done: dict[str, Mapping[str, Any]] = {}
        #: Sizes and times of every file that a line names: of several runs, the last line need not be of the
        #: one that gave the file its name last.
        self._files: dict[str, set[tuple[int, int]]] = {}
        self._read_to = 0
        self._reading = Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(self.path) and not _is_manifest(self.path):
                raise FailureError(
                    f"{self.path} is not the record of a run of segzoo: choose another folder, or rename it"
                )
            if anew:
                self.path.unlink(missing_ok=True)
                return
            for other in _manifests(folder):  # of runs that shared the work in another way
                if other != self.path:
                    self._learn(other.read_bytes())
            if self.path.exists():
                self._refresh()
                if self._read_to < self.path.stat().st_size:  # a line that a crash cut off
                    self._append(b"\n")
                    self._refresh()
        except OSError as error:
            raise FailureError(f"the manifest {self.path} cannot be used: {error}") from error

    def has(self, origin: str, state: str, outputs: Iterable[Path] = ()) -> bool:
        """Whether an image was done with these settings, has not changed, and its outputs are whole.

        Args:
            origin: the image, as its source says.
            state: of the source now.
            outputs: files that must be among those that were written.
        """
        entry = self._done.get(origin)
        if entry is None or not state or (entry["state"], entry["settings"]) != (state, self.settings):
            return False
        if any(path.relative_to(self.folder).as_posix() not in entry["outputs"] for path in outputs):
            return False
        return all(_facts(self.folder / name)[0] == size for name, size in entry["outputs"].items())

    def owns(self, path: Path) -> bool:
        """Whether a run wrote the file at a path, and nobody has changed it since."""
        try:
            self._refresh()  # another run may have written it meanwhile
            known = self._files.get(path.relative_to(self.folder).as_posix(), set())
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
        """Write down what became of one image.

        Args:
            origin: the image, as its source says.
            state: of the source, before it was read.
            outputs: the files that are written, below the folder.
            parts: where each of them lies as long as it has no name.
            seconds: that it took.
            size: ``(height, width)`` of the image.
            areas: the share of the image that each class covers; of very many, only those that are there
                are written.
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
            entry |= {"times": {name: time for name, (_, time) in facts.items()}}
            entry |= {"seconds": round(seconds, 4), "height": size[0], "width": size[1]}
            # Of very many classes, a line each image holds those that are there.
            many = len(areas or ()) > _MOST_AREAS
            covered = {name: share for name, share in (areas or {}).items() if share or not many}
            entry |= {"areas": {name: round(share, 6) for name, share in covered.items()}}
        entry |= {"state": state, "settings": self.settings}
        try:
            self._append((as_json(entry) + "\n").encode())
        except OSError as failure:
            raise FailureError(f"cannot write {self.path}: {failure.strerror or failure}") from failure

    def _append(self, line: bytes) -> None:
        """Add to the file in one go, so that lines of several processes do not mix."""
        with self.path.open("ab", buffering=0) as file:
            file.write(line)

    def _refresh(self) -> None:
        """Read the whole lines that have come since the last time."""
        with self._reading:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read_to += len(whole)
            self._learn(whole)

    def _learn(self, lines: bytes) -> None:
        """Take what whole lines say of images and files."""
        for entry in _entries(lines):
            try:
                origin, outputs, times = entry["input"], entry.get("outputs"), entry.get("times", {})
                self._done.pop(origin, None)  # it failed this time
                if outputs is not None:
                    self._done[origin] = {key: entry[key] for key in ("state", "settings", "outputs")}
                    for name in outputs.keys() & times.keys():
                        self._files.setdefault(name, set()).add((outputs[name], times[name]))
            except (KeyError, TypeError, AttributeError):
                continue


def written_into(folder: Path) -> set[Path]:
    """Return the files in and below a folder that the manifests in it list, whether or not they are there."""
    found: set[Path] = set()
    for path in _manifests(folder):
        try:
            entries = list(_entries(path.read_bytes()))
        except OSError:
            continue
        for entry in entries:
            outputs = entry.get("outputs")
            found |= (
                {folder / name for name in outputs if isinstance(name, str)}
                if isinstance(outputs, dict)
                else set()
            )
    return found


def _manifests(folder: Path) -> list[Path]:
    """Return the records of runs that lie in a folder."""
    before, after = MANIFEST.split("{part}")
    found: list[Path] = []
    for path in sorted(folder.glob(f"{before}*{after}")):
        with suppress(OSError):
            if _is_manifest(path):
                found.append(path)
    return found


def _entries(lines: bytes) -> Iterator[dict[str, Any]]:
    """Yield what whole lines say, but for those that a crash cut off."""
    for line in lines.split(b"\n"):
        try:
            entry = json_text.parse(line.decode())
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _is_manifest(path: Path) -> bool:
    """Whether a file is the record of a run: empty, or its first line is of that kind, or was cut off."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(_LONGEST)
    if not first.endswith(b"\n"):
        return not first or first.startswith(_BEGINS)
    return any({"input", "settings"} <= entry.keys() for entry in _entries(first))


def _facts(path: Path) -> tuple[int, int]:
    """Return a file's size and when it was last changed."""
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
