"""Finds the images of an annotation file, the parts that they belong to, and the names of their classes.

Annotation tools write down where an image was when it was annotated, often on another computer: a Windows
path, an address, a name with a prefix. `Images.find` looks for it where the dataset lies now.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from segzoo.datasets import FOLDERS, Glance, divided, listed, many, part_named, visible
from segzoo.errors import FailureError, OptionError
from segzoo.images import has_suffix, readable_suffixes
from segzoo.interfaces import Remark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from segzoo.datasets import AnnotatedImage
    from segzoo.specs import Labels, Recognition

#: What folders of images are called, in lower case.
IMAGE_FOLDERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "photos", "data"))
#: Folders that `files_below` looks into.
_MOST_FOLDERS = 100


def files_below(glance: Glance, pattern: str, levels: int = 2) -> list[Path]:
    """Return the files of a place that match, in its folder first, then in the folders below.

    Args:
        glance: the place; where it is a file, that file is all there is.
        pattern: pattern for `fnmatch`, in lower case.
        levels: how many levels of folders below are looked at.
    """
    if glance.file is not None:
        return [path for path in glance.files(pattern) if path == glance.file]
    found, inner = [], [""]
    for _ in range(levels + 1):
        found += [path for one in inner for path in glance.files(pattern, one)]
        inner = [f"{one}/{name}".lstrip("/") for one in inner for name in glance.folders(one)][:_MOST_FOLDERS]
    return found


#: Files of one folder that are looked at by `few`.
FEW = 100


def few(paths: Iterable[Path], most: int = FEW) -> list[Path]:
    """Return the first files of each folder, so that a folder of many thousands is quickly looked at."""
    taken: dict[Path, int] = defaultdict(int)
    kept = []
    for path in paths:
        taken[path.parent] += 1
        if taken[path.parent] <= most:
            kept.append(path)
    return kept


def parts_in_words(parts: Iterable[str]) -> str:
    """Return ``"train, val and test"``, those of them that there are; nothing where there is none."""
    *some, last = [part for part in FOLDERS if part in parts] or [""]
    return f"{', '.join(some)} and {last}" if some else last


def several_files(count: int) -> str:
    """Return ``", 3 files"`` for the summary of a recogniser; an empty text for a single file."""
    return "" if count < 2 else f", {count} files" if count < FEW else f", {count} files or more"


def stems_of(path: Path) -> list[str]:
    """Return what the image of an annotation file may be called, without its suffix.

    ``a.geojson`` and ``a.tif.geojson`` belong to ``a``, and so does what segzoo writes of it.
    """
    stem = path.stem
    for written in ("_objects", "_qupath"):
        stem = stem.removesuffix(written)
    return list(dict.fromkeys((path.stem, stem, Path(stem).stem)))


def unwrapped(
    glance: Glance, look: Callable[[Glance], Recognition | None], levels: int = 2
) -> Recognition | None:
    """Recognise a folder, or the one folder in it: archives often unpack to one more than they should.

    Args:
        glance: the place.
        look: recognises a place.
        levels: how many folders may lie around it.
    """
    found = look(glance)
    for _ in range(levels):
        inner = glance.folders()
        if found is not None or glance.file is not None or len(inner) != 1 or glance.files():
            break
        glance = Glance(glance.folder / inner[0])
        found = look(glance)
        found = replace(found, root=found.root or glance.folder) if found is not None else None
    return found


def files_of(root: Path, *suffixes: str) -> list[Path]:
    """Return all files below a folder with one of the suffixes, in any case; sorted, without hidden ones.

    Args:
        root: the folder.
        suffixes: in lower case, such as ``".json"``.
    """
    return sorted(path for path in visible(root) if path.suffix.lower() in suffixes)


def plain_path(said: str) -> str:
    r"""Return a path as a file of any system says it, with ``/`` for ``\`` and without a drive."""
    path = said.strip().replace("\\", "/")
    return path[2:] if path[1:2] == ":" else path


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


class Images:
    """The image files below a folder.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, said: str, beside: Path, *, stem: str = "") -> Path | None:
        """Return where an image lies; ``None`` where nothing below the folder is called so.

        Args:
            said: what the annotation file calls it: a name or a path of any system.
            beside: the folder of the annotation file.
            stem: name without suffix that it may have next to the annotation file or in a folder of images.

        Raises:
            FailureError: several files have that name, and it is not clear which is meant.
        """
        path = plain_path(said)
        places = (beside, self.root, *(self.root / name for name in ("images", "data")))
        for place in places if path else ():
            here = Path(os.path.normpath(place / path))
            if here.is_file():
                return here
        parts = PurePosixPath(path).parts
        if parts and (found := self._closest(self._by_name.get(_key(parts[-1]), []), parts, beside, said)):
            return found
        if not stem:
            return None
        near = [
            one
            for one in self._by_stem.get(_key(stem.removesuffix(".ome")), [])
            if one.parent == beside or IMAGE_FOLDERS & {part.lower() for part in self._inner(one).parts[:-1]}
        ]
        return self._closest(near, (stem,), beside, stem)

    def _closest(self, found: Sequence[Path], parts: Sequence[str], beside: Path, said: str) -> Path | None:
        """Return the file that shares most of its last folders with what was said."""
        if len(found) < 2:
            return found[0] if found else None

        def shared(path: Path) -> tuple[int, bool]:
            pairs = zip(reversed(path.parts), reversed(parts), strict=False)
            same = [_key(one) == _key(other) for one, other in pairs]
            return (same.index(False) if False in same else len(same)), path.parent == beside

        best = max(map(shared, found))
        nearest = [path for path in found if shared(path) == best]
        if len(nearest) > 1:
            raise FailureError(
                f"{beside} has annotations of an image {said!r}, and {len(nearest)} have that name: "
                f"{listed([self._inner(one).as_posix() for one in nearest], 4)}. Leave one of them below "
                f"{self.root}, or give them different names"
            )
        return nearest[0]

    def _inner(self, path: Path) -> Path:
        return path.relative_to(self.root)

    @cached_property
    def every(self) -> list[Path]:
        """All image files below the folder, sorted."""
        suffixes = readable_suffixes()
        return sorted(path for path in visible(self.root) if has_suffix(path, suffixes))

    @cached_property
    def _by_name(self) -> Mapping[str, list[Path]]:
        return _grouped((_key(path.name), path) for path in self.every)

    @cached_property
    def _by_stem(self) -> Mapping[str, list[Path]]:
        return _grouped((_key(path.stem.removesuffix(".ome")), path) for path in self.every)


def _grouped(pairs: Iterable[tuple[str, Path]]) -> Mapping[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for key, path in pairs:
        groups[key].append(path)
    return groups


def part_of(path: str | PurePosixPath) -> str:
    """Return the part that a folder of a path names, such as ``val`` for ``valid/a.json``; else nothing."""
    for word in PurePosixPath(path).parts[:-1]:
        part = part_named(word)
        if part:
            return part
    return ""


def parted(names: Sequence[str], said: Sequence[str]) -> list[str]:
    """Return the part of each image: the part that the files say, or a new division if no file says one.

    Args:
        names: names of the images.
        said: part of each image; empty if no file says it.
    """
    return list(said) if any(said) else list(divided(names))


def apart(names: Sequence[str], said: Sequence[str]) -> list[Remark]:
    """Return a remark about images that belong to no part, if others do.

    Args:
        names: names of the images.
        said: part of each image, in the form that `parted` takes.
    """
    lost = [name for name, part in zip(names, said, strict=True) if not part] if any(said) else []
    advice = "Only split=all has them. Move them into train, val or test."
    return counted("no-part", "warning", "belong to no part", advice, lost, "image")


def of_split(images: Sequence[AnnotatedImage], split: str, root: object) -> list[AnnotatedImage]:
    """Return the images of one split.

    Raises:
        OptionError: it has none.
    """
    chosen = [image for image in images if split in ("all", image.part)]
    if not chosen:
        parts = sorted({image.part for image in images if image.part})
        raise OptionError(
            f"the split {split!r} of {root} is empty: none of its {many(len(images), 'image')} is in it; "
            f"there is {listed(parts) or 'nothing'}"
        )
    return chosen


def index_of(labels: Labels) -> dict[str, int]:
    """Return the index of each class besides the background."""
    return {name: number for number, name in enumerate(labels.classes) if number != labels.background}


def begins(path: Path) -> str:
    """Return the beginning of a file as text, as `Glance.head` does."""
    return Glance(path).head(path)


def name_remarks(names: Iterable[str]) -> list[Remark]:
    """Return a remark where classes differ in nothing but capitals and blanks."""
    groups: dict[str, list[str]] = defaultdict(list)
    # The background has that name, whether a file lists it or not.
    for name in dict.fromkeys(("background", *names)):
        groups["".join(name.split()).replace("_", "").replace("-", "").casefold()].append(name)
    alike = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not alike:
        return []
    return [
        Remark(
            kind="classes-alike",
            severity="warning",
            what=f"classes are named alike: {listed(alike, 4)}",
            advice="They are trained as different classes. Rename one in the tool if they are the same.",
            count=len(alike),
            examples=tuple(alike[:8]),
        )
    ]


def without_objects(names: Sequence[str], what: str = "objects", noun: str = "image") -> list[Remark]:
    """Return a remark about images that have no objects, if there are any.

    Args:
        names: names of the images, or of their files.
        what: what they lack, as the tool calls it.
        noun: what is counted, in the singular.
    """
    return counted(
        "no-objects", "note", f"have no {what}", "All of such an image is background.", names, noun
    )


def too_few_corners(examples: Sequence[str], tool: str) -> list[Remark]:
    """Return a remark about polygons with fewer than three corners, if there are any.

    Args:
        examples: a name of each of them.
        tool: what they were drawn in.
    """
    advice = f"They cover no pixel. Delete them in {tool}, or draw them again."
    return counted("no-area", "warning", "have fewer than three corners", advice, examples, "polygon")


def counted(
    kind: str, severity: str, what: str, advice: str, examples: Sequence[str], noun: str = "shape"
) -> list[Remark]:
    """Return a remark that counts the examples; no remark if there are no examples.

    Args:
        kind: kind of the `Remark`.
        severity: ``error``, ``warning`` or ``note``.
        what: what they are or do, after their number: ``"have no area"``.
        advice: advice of the `Remark`.
        examples: a name of each of them.
        noun: what is counted, in the singular.
    """
    if not examples:
        return []
    verb, _, rest = what.partition(" ")
    return [
        Remark(
            kind=kind,
            severity=severity,  # pyright: ignore[reportArgumentType]
            what=f"{many(len(examples), noun, verb)} {rest}",
            advice=advice,
            count=len(examples),
            examples=tuple(dict.fromkeys(examples))[:8],
        )
    ]
