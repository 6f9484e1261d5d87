"""Listing what the cache holds, and removing what is not needed."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from segzoo import files, zoo
from segzoo.errors import SegzooError, UnknownNameError, did_you_mean
from segzoo.weights import cache, hub
from segzoo.weights.converted import folder_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from segzoo.specs import WeightsSpec

Kind = Literal["file", "part", "folder", "hub", "record"]

#: Seconds after its last byte during which a part counts as still arriving.
_IN_PROGRESS = 600.0


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of the cache.

    Attributes:
        kind: ``file``: as it was fetched; ``part``: an incomplete file; ``folder``: converted from a file;
            ``hub``: record of a Hugging Face repository, whose files its client keeps; ``record``: record of
            a file that was removed.
        name: name of the registered weights that it belongs to, else of the file.
        path: location on disk.
        bytes: size on disk.
        sha256: hash of a file, if it is recorded.
        pinned: whether that hash was taken at the first download.
        needed: whether registered weights would now be loaded from it.
    """

    kind: Kind
    name: str
    path: Path
    bytes: int
    sha256: str = ""
    pinned: bool = False
    needed: bool = False


def items() -> list[Item]:
    """Return everything in the cache, sorted by name and kind."""
    found = [*_files(), *_folders(), *_hub()]
    return sorted(found, key=lambda item: (item.name, item.kind, str(item.path)))


def installed() -> list[str]:
    """Return the names of registered weights of models that are loaded without a download, sorted."""
    current = _current()
    return sorted(
        spec.name
        for _, entry in zoo.registry("weights").items()
        if (spec := entry.spec).classes
        and (spec.name in current if spec.url else bool(spec.folder) or hub.is_here(spec.hub))
    )


def prune(
    names: Collection[str] = (), *, everything: bool = False, forget: bool = False, dry_run: bool = False
) -> list[Item]:
    """Remove what is not needed, or what is named, or everything; return what was removed.

    Converted folders are needed, and fetched files that are not converted yet. The recorded hashes of files
    are kept, so that a later download must be the same file.

    Args:
        names: weights whose files are removed, needed or not.
        everything: whether all files are removed.
        forget: whether the hashes of the named files, or of all, are forgotten too.
        dry_run: whether to return what would be removed without removing it.

    Raises:
        UnknownNameError: the cache holds nothing with such a name.
        FailureError: a file cannot be removed.
    """
    present = items()
    known = {item.name for item in present}
    for name in names:
        if name not in known:
            close = did_you_mean(name, known)
            raise UnknownNameError(f"the cache holds no {name!r}{close}; `segzoo cache` lists what it holds")
    if names or everything:
        chosen = [item for item in present if everything or item.name in names]
    else:
        chosen = [item for item in present if not item.needed]
    if not forget:
        chosen = [item for item in chosen if item.kind not in ("hub", "record")]
    for item in chosen if not dry_run else ():
        _remove(item, forget=forget)
    return chosen


def _remove(item: Item, *, forget: bool) -> None:
    with cache.writing(item.path):
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
    if item.kind == "file" and forget:
        cache.forget(item.path)
    if item.kind == "part":
        cache.forget(item.path)


def _files() -> Iterator[Item]:
    specs = {cache.file_for(spec.url): spec for spec in _specs()}
    converted = _current()
    for path in sorted((cache.home() / "files").rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        file = path.with_suffix("") if path.suffix in (".part", ".json") else path
        spec = specs.get(file)
        name = spec.name if spec else file.name
        if path.suffix == ".part":
            fresh = time.time() - path.stat().st_mtime < _IN_PROGRESS
            yield Item(kind="part", name=name, path=path, bytes=path.stat().st_size, needed=fresh)
        elif path.suffix != ".json":
            yield _item("file", name, path, path, needed=spec is not None and spec.name not in converted)
        elif not file.exists() and file.suffix != ".part":
            yield _item("record", name, path, file, needed=True)


def _item(kind: Kind, name: str, path: Path, file: Path, *, needed: bool) -> Item:
    record = _record(file)
    return Item(
        kind=kind,
        name=name,
        path=path,
        bytes=path.stat().st_size,
        sha256=record.sha256 if record else "",
        pinned=record.pinned if record else False,
        needed=needed,
    )


def _record(file: Path) -> cache.Record | None:
    try:
        return cache.read_record(file)
    except SegzooError:
        return None


def _folders() -> Iterator[Item]:
    current = set(_current().values())
    folders = cache.home() / "folders"
    files.sweep(folders)
    for path in sorted(one for one in folders.glob("*") if not files.is_part(one)):
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        name = str(cache.read_seal(path).get("name") or path.name)
        yield Item(kind="folder", name=name, path=path, bytes=size, needed=path in current)


def _hub() -> Iterator[Item]:
    for path in sorted((cache.home() / "hub").glob("*.json")):
        name = path.stem.replace("--", "/", 1)
        yield Item(kind="hub", name=name, path=path, bytes=path.stat().st_size, needed=True)


def _specs() -> list[WeightsSpec]:
    return [entry.spec for _, entry in zoo.registry("weights").items() if entry.spec.url]


def _current() -> dict[str, Path]:
    """Return the folders that registered weights are now loaded from, by name."""
    current = {}
    for spec in _specs():
        try:
            folder = folder_for(spec)
        except SegzooError:
            continue
        if folder is not None and folder.is_dir():
            current[spec.name] = folder
    return current
