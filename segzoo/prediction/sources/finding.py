"""Turn words that name what to segment into sources, in order."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import logging
import os
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets.naming import masks_among
from segzoo.errors import FailureError, ImageError, MissingExtraError, UsageError, is_address
from segzoo.files import as_words, common_folder, lines_of, read_words
from segzoo.http import file_name, shown
from segzoo.images import (
    begins_as_image,
    chosen_pages,
    folder_suffixes,
    has_suffix,
    is_image_folder,
    may_have_pages,
    searched_suffixes,
    without_suffix,
)
from segzoo.images.naming import reader_hint
from segzoo.prediction.manifest import is_record, written_into
from segzoo.prediction.sources.source import FileSource, StreamSource, UrlSource, VideoSource, info_of
from segzoo.prediction.video.reader import CAMERA, VIDEO_SUFFIXES, is_video
from segzoo.storage import Entry, RemotePath, is_remote, listed, look, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from segzoo.images import Pages
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.sources.source import Source


_log = logging.getLogger(__name__)
#: Maximum length of a name in bytes; file systems allow 255, and the rest is for what is added to the name.
_LONGEST = 215
#: Number of objects in a store whose pages are counted at once.
_LOOKING = 8
#: Suffixes that count as images only if a folder has no others.
_ARRAYS = frozenset({".npy"})


@dataclass(frozen=True)
class Found:
    """What words and lists name, without duplicates.

    Attributes:
        images: image sources, in order.
        videos: video files and cameras, in order.
        troubles: one message for each word that names nothing.
        notes: one message for each search that left files out, with how to include them.
        searched: files that searches found, except those that segzoo wrote.
    """

    images: tuple[Source, ...]
    videos: tuple[VideoSource, ...]
    troubles: tuple[str, ...]
    notes: tuple[str, ...] = ()
    searched: tuple[Path, ...] = ()


@dataclass
class _Search:
    """State of the searches of one call; see `Found`."""

    notes: list[str] = field(default_factory=list)
    searched: list[Path] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    #: States of objects, as listed by their store.
    states: dict[Path, str] = field(default_factory=dict)

    def kept(self, files: list[Path], root: Path, records: Iterable[Path] | None = None) -> list[Path]:
        """Return the images among the files of a search: no masks, and nothing that segzoo wrote.

        Args:
            files: files found, in order.
            root: folder that was searched.
            records: folders that contain records of runs; by default, any folder may.
        """
        parents = {file.parent for file in files} if records is None else ()
        folders = {folder for parent in parents for folder in (parent, *parent.parents)} | {*(records or ())}
        ours = {
            path for folder in folders if folder.is_relative_to(root) for path in written_into(folder, files)
        }
        masks = masks_among([file for file in files if file not in ours], root)
        theirs = {file for found in masks.values() for file in found}
        kept = [file for file in files if file not in ours and file not in theirs]
        if not kept:  # then these files must be what the user means
            self.searched += files
            return files
        self.searched += [file for file in files if file not in ours]
        told = [_left_out(found, place, root, "mask") for place, found in masks.items()]
        written = [file for file in files if file in ours]
        if written:
            shared = _common(written)
            told.append(f"{_left_out(written, shared, root, 'file')} that segzoo wrote")
        if told:
            self.notes.append(
                f"{root}: left out {', '.join(told)}; to segment them too, name their folder or the files"
            )
        return kept


def _left_out(files: list[Path], place: Path, root: Path, what: str) -> str:
    inner = place.relative_to(root).as_posix()
    where = f"in {inner}" if inner != "." else f"such as {files[0].relative_to(root).as_posix()}"
    return f"{len(files):,} {what}{'s' if len(files) > 1 else ''} {where}"


def find(words: Iterable[str | os.PathLike[str]], *, lists: Iterable[str] = (), pages: Pages = ()) -> Found:
    """Return what words and lists name.

    Args:
        words: files, folders (searched recursively), patterns such as ``scans/*.tif``, the same in an object
            store (``s3://bucket/scans``), http and https addresses, cameras such as ``camera:0``, or ``-``
            for an image on standard input. A file that is named directly may have any suffix. Each page of a
            TIFF is a separate source. In folders and patterns, the masks of a dataset and files that a
            manifest lists as outputs are left out.
        lists: text files with one such word per line, or ``-`` for standard input.
        pages: pages to use of files with several (`segzoo.images.parse_pages`); all if empty.
    """
    troubles: list[str] = []
    things: list[tuple[Path | str, Path]] = []
    named = list(map(str, words))
    for file in lists:
        try:
            named += _listed(file)
        except ImageError as error:
            troubles.append(str(error))
    search = _Search()
    for word in named:
        try:
            things += _named(word, search)
        except ImageError as error:
            troubles.append(str(error))
        except OSError as error:  # a folder without permission, a name that is too long
            troubles.append(f"{word} cannot be looked up: {error.strerror or error}")
        except MissingExtraError:
            raise
        except ValueError:  # a pattern with a zero byte
            troubles.append(f"{word} cannot be looked up: no file can have this name")
    troubles += search.troubles
    sources = []
    with ThreadPoolExecutor(_LOOKING) as threads:
        named_things = [*_with_names(dict(things))]
        remote: list[Path] = [
            one for one, _ in named_things if isinstance(one, RemotePath) and may_have_pages(one)
        ]
        infos = dict(zip(remote, threads.map(info_of, remote), strict=True))
    for where, name in named_things:
        try:
            for source in _sources(where, name, pages, infos):
                if isinstance(source, FileSource) and (known := search.states.get(source.path)):
                    source = replace(source, listed=known)
                sources.append(source)
        except ImageError as error:  # it lacks a requested page
            troubles.append(str(error))
    return Found(
        images=tuple(one for one in sources if not isinstance(one, VideoSource)),
        videos=tuple(one for one in sources if isinstance(one, VideoSource)),
        troubles=tuple(troubles),
        notes=tuple(search.notes),
        searched=tuple(search.searched),
    )


def find_sources(
    words: Iterable[str | os.PathLike[str]], *, lists: Iterable[str] = (), pages: Pages = ()
) -> list[Source]:
    """Return the images that words and lists name; see `find`.

    Raises:
        ImageError: a word names nothing, or an image lacks a requested page; the message lists all errors.
    """
    found = find(words, lists=lists, pages=pages)
    if found.troubles:
        raise ImageError("\n".join(found.troubles))
    for note in found.notes:
        _log.warning(note)
    return list(found.images)


def _listed(file: str) -> list[str]:
    try:
        text = as_words(sys.stdin.buffer.read()) if file == "-" else read_words(file)
    except OSError as error:
        told = error.strerror or error
        raise ImageError(
            f"the list {file} cannot be read: {told}; `--list -` reads standard input"
        ) from error
    words = [_word(line) for line in lines_of(text) if line.strip() and not line.startswith("#")]
    if not words:
        raise ImageError(f"the list {file} names nothing: it must have one file, folder or address per line")
    return words


def _word(line: str) -> str:
    """Return what a line names: surrounding blanks are ignored, unless a file has them in its name."""
    return line if os.path.lexists(line) else line.strip()


def _named(word: str, search: _Search) -> list[tuple[Path | str, Path]]:
    """Return what a word names: each file or address, and its path below the output folder."""
    if word == "-":
        return [("-", Path("stdin"))]
    if word.startswith(CAMERA):
        return [(word, Path(re.sub(r"\W+", "_", word)))]
    if word.startswith("file://"):
        word = str(place(word))
    path = Path(word)
    if is_remote(word) and not os.path.lexists(word):
        return _objects(word, search)
    if is_address(word) and not os.path.lexists(word):
        return [(word, Path(_name_of_address(word)))]
    if is_image_folder(path):
        return [(path, Path(path.name))]
    if path.is_dir():
        # Arrays next to pictures are segzoo's own outputs, such as probabilities.
        inside = _inside(path, searched_suffixes() | VIDEO_SUFFIXES) or _inside(path, _ARRAYS)
        if not inside:
            hint = next(filter(None, map(reader_hint, sorted(path.rglob("*")))), "")
            known = " ".join(sorted(searched_suffixes() | _ARRAYS))
            raise ImageError(f"{path} contains no image ({known}) and no video{hint}")
        return [(p, p.relative_to(path)) for p in search.kept(inside, path)]
    if os.path.lexists(path):
        return [(path, Path(path.name))]
    if any(sign in word for sign in "*?["):
        # Path.glob does not support absolute patterns.
        matched = [Path(one) for one in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207
        files = [one for one in matched if not _is_folder(one) or is_image_folder(one)]
        if not files:
            raise ImageError(f"no file matches {word}")
        top = _common(files)
        return [(one, one.relative_to(top)) for one in search.kept(files, top)]
    raise ImageError(f"there is no file {path}")


def _objects(word: str, search: _Search) -> list[tuple[Path | str, Path]]:
    """Return what a URL names in a store: an object, the images in a folder, or objects that match a pattern.

    Raises:
        ImageError: it names nothing, or its store refuses.
        MissingExtraError: the package for the store is not installed.
    """
    try:
        path = place(word)
        assert isinstance(path, RemotePath)
        steps = path.parts
        first = next((number for number, step in enumerate(steps) if any(sign in step for sign in "*?[")), 0)
        if not first and len(steps) > 2 and not word.endswith("/"):
            if is_video(path):
                raise ImageError(
                    f"{path} is a video, and videos must be local files: copy it to this machine"
                )
            # A list may name a million objects: those named like images are looked up only when read.
            if has_suffix(path, searched_suffixes() | _ARRAYS) or look(path) is not None:
                return [(path, Path(path.name))]
        folder = RemotePath(*steps[:first]) if first > 1 else path
        beginning = re.split(r"[*?[]", steps[first])[0] if first > 1 else ""
        entries = listed(folder, beginning, deep="**" in word or first != len(steps) - 1)
        found, records = _images_listed(entries, path if first > 1 else None, search)
    except (MissingExtraError, ImageError):
        raise
    except (FailureError, UsageError) as error:
        raise ImageError(str(error)) from error
    if not found:
        if search.troubles:
            return []
        known = " ".join(sorted(searched_suffixes() | _ARRAYS))
        raise ImageError(
            f"no object matches {path}"
            if first > 1
            else f"{path} is no object, and contains no image ({known})"
        )
    root = _common(found) if first > 1 else path
    return [(one, Path(one.relative_to(root).as_posix())) for one in search.kept(found, root, records)]


def _images_listed(
    entries: Iterable[Entry], pattern: RemotePath | None, search: _Search
) -> tuple[list[Path], set[Path]]:
    """Return the images in order, or the objects that match a pattern; and folders with records of runs."""
    like = None if pattern is None else re.compile(glob_expression(str(pattern)))
    images: list[Path] = []
    arrays: list[Path] = []
    records: set[Path] = set()
    refused: dict[str, str] = {}
    known, folders = searched_suffixes(), folder_suffixes()
    for entry in entries:
        path = entry.path
        if is_record(path):
            records.add(path.parent)
        if like is not None and not like.fullmatch(str(path)):
            continue
        inside = next((str(one) for one in path.parents if has_suffix(one, folders)), "")
        if inside:
            refused[inside] = "is a folder that is one image, which must be a local file"
        elif like is None and not has_suffix(path, known | _ARRAYS | VIDEO_SUFFIXES):
            continue
        elif entry.is_odd:
            refused[entry.url] = "has a name that no file can have: a part of it is empty or only dots"
        elif is_video(path):
            refused[str(path)] = "is a video, which must be a local file"
        else:
            (arrays if like is None and has_suffix(path, _ARRAYS) else images).append(path)
            search.states[path] = entry.state
    search.troubles += [f"{url} {why}: copy it to this machine" for url, why in refused.items()]
    return sorted(images or arrays), records


def glob_expression(pattern: str) -> str:
    """Return the regular expression of a pattern: ``*`` stays within a folder, ``**`` does not."""
    text = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern):
        if part in ("**/", "**"):
            text += "(?:.*/)?" if part == "**/" else ".*"
        elif part.startswith("[") and part.endswith("]"):
            text += fnmatch.translate(part)[4:-3]  # without the anchors for beginning and end
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return text


def _inside(path: Path, known: frozenset[str]) -> list[Path]:
    """Return the files and folders below a folder that are images or videos, but nothing inside of these.

    Args:
        path: folder to search.
        known: suffixes of files to include.
    """
    folders = folder_suffixes()
    found: list[Path] = []
    taken: set[Path] = set()
    for inner in sorted(path.rglob("*")):
        if taken and not taken.isdisjoint(inner.parents):
            continue
        if _is_folder(inner):
            if has_suffix(inner, folders) or is_image_folder(inner):
                taken.add(inner)
                found.append(inner)
        # Pipes and other special files are included: reading them reports the problem. Scanners write files
        # without a suffix, or with numbers for one.
        elif has_suffix(inner, known) or (_is_nameless(inner) and begins_as_image(inner)):
            found.append(inner)
    return found


def _is_nameless(path: Path) -> bool:
    return not path.suffix or path.suffix[1:].isdecimal()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it cannot be accessed, which reading it will report
        return False


def _name_of_address(word: str) -> str:
    """Return the name of the image at an address."""
    try:
        name = file_name(word) or "image"
    except UsageError as error:
        raise ImageError(str(error)) from error
    if is_video(name):
        raise ImageError(
            f"{shown(word)} is a video, but only images are read from addresses: download it and "
            "name the file"
        )
    return name


def _common(files: list[Path]) -> Path:
    """Return the folder that contains all files."""
    shared = common_folder(file.parent for file in files)
    assert shared is not None  # one word names files of one drive
    return shared


def _with_names(found: dict[Path | str, Path]) -> Iterator[tuple[Path | str, str]]:
    """Give each thing a unique name: files that would share a name keep their suffixes in it."""
    stems = Counter(str(without_suffix(inner)) for inner in found.values())
    taken: set[str] = set()
    for where, inner in found.items():
        stem = str(without_suffix(inner))
        name = stem if stems[stem] == 1 else str(inner)
        number, name = 1, _short(name)
        first = name
        while name in taken:
            number += 1
            name = f"{first}_{number}"
        taken.add(name)
        yield where, name


def _short(name: str) -> str:
    """Return a name that is short enough for its outputs, whose endings such as ``_mask.png`` are added."""
    folder, last = os.path.split(name)
    data = os.fsencode(last)
    if len(data) <= _LONGEST:
        return name
    kept = data[: _LONGEST - 9].decode("utf-8", "ignore")
    return os.path.join(folder, f"{kept}~{hashlib.sha256(data).hexdigest()[:8]}")  # noqa: PTH118


def _sources(
    where: Path | str, name: str, pages: Pages, infos: Mapping[Path, ImageInfo | None]
) -> Sequence[Source | VideoSource]:
    if where == "-":
        return [StreamSource(sys.stdin.buffer, name)]
    if isinstance(where, str) and not where.startswith(CAMERA):
        return [UrlSource(where, name)]
    if isinstance(where, str) or is_video(where):
        return [VideoSource(str(where), name)]
    info = infos[where] if where in infos else info_of(where) if may_have_pages(where) else None
    whole = FileSource(where, name, info=info)
    if info is None or info.pages == 1:  # a file without metadata is one image, which cannot be read
        return [whole]
    digits = len(str(info.pages - 1))
    return [
        replace(whole, name=f"{name}_{page:0{digits}d}", page=page, whole=name)
        for page in chosen_pages(pages, info.pages, where)
    ]
