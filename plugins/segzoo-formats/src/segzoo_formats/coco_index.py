"""The COCO files of a folder, and the positions of annotations in them.

A file is read piece by piece, once, for what it lists and where each annotation lies. Long lists of numbers
are passed over: the annotations of an image are read again when it is drawn.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

import segzoo.json_text as json_text
from segzoo.datasets import FOLDERS, Glance, listed, many
from segzoo.errors import FailureError, OptionError
from segzoo_formats.search import files_below, part_named, part_of, plain_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

#: Kinds of files that hold masks, and what each is for people; the first that a folder has is read.
MASKS = {
    "instances": "COCO instances",
    "panoptic": "COCO panoptic",
    "stuff": "COCO stuff",
    "person_keypoints": "COCO keypoints with outlines",
}
#: Descriptions of the contents of other files.
OTHERS = {
    "boxes": "boxes without outlines",
    "captions": "captions",
    "labels": "labels of whole images",
    "images": "images without annotations",
}
#: JSON files of a folder that are looked into; of more, those with one of COCO's words in their names.
_MOST_FILES = 60
_WORDS = re.compile("coco|annotation|instance|panoptic|stuff")
_KEY = re.compile(r'"(\w+)"\s*:')
_CATEGORIES = re.compile(r'"categories"\s*:\s*(?=\[)')
#: Characters of a list of numbers that is not read at first. Boxes and polygons of two points are shorter.
_LONG = 120


@dataclass(frozen=True)
class File:
    """A file that is read, and the part that its name or its folder says; empty where none does."""

    path: Path
    part: str = ""


def found_files(glance: Glance) -> dict[str, list[Path]]:
    """Return COCO's files below a folder, by their kinds."""
    paths = files_below(glance, "*.json")
    if len(paths) > _MOST_FILES:
        paths = [path for path in paths if _WORDS.search(path.name.lower())][:_MOST_FILES]
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        kind = _kind(path.name.lower(), glance.samples(path))
        if kind:
            found[kind].append(path)
    return found


def _kind(name: str, text: str) -> str:
    """Return what a file of COCO's holds, by parts of its text; empty where it is none."""
    keys = set(_KEY.findall(text))
    if not text.lstrip().startswith("{") or len(keys & {"images", "annotations", "categories"}) < 2:
        return ""
    if "segments_info" in keys:
        return "panoptic"
    if "segmentation" in keys:
        if "keypoints" in keys:
            return "person_keypoints"
        return "stuff" if name.startswith("stuff") else "instances"
    if "caption" in keys:
        return "captions"
    if "image_id" in keys:
        return "boxes" if "bbox" in keys else "labels"
    if "file_name" not in keys:
        return ""
    # Without annotations: images without objects if there are categories, else only a list of images.
    return "instances" if "annotations" in keys and seen_categories(text) else "images"


def chosen_files(glance: Glance, told: str) -> list[File]:
    """Return the files that are read: one for each part, or any that say no part.

    Raises:
        FailureError: there are none.
        OptionError: there are several, and it is not clear which is meant.
    """
    root = glance.folder
    if told:
        paths = sorted(root.glob(told)) if "*" in told else [root / told]
        if not paths:
            raise FailureError(f"no file of {root} matches the annotations {told!r}")
        files = [File(path, _part(path.relative_to(root))) for path in paths]
        # A single named file holds all parts, regardless of its name; so do files whose names say no part.
        named = Counter(file.part for file in files)
        apart = len(files) > 1 and not named[""] and max(named.values()) == 1
        return files if apart else [File(path) for path in paths]
    found = found_files(glance)
    kind = next((kind for kind in MASKS if kind in found), None)
    if kind is None:
        other = next((kind for kind in OTHERS if kind in found), None)
        what = f"{OTHERS[other]} ({listed([str(one) for one in found[other]], 3)})" if other else "none"
        raise FailureError(
            f"{glance.path} needs a JSON file of COCO's with masks, such as annotations/instances_train.json "
            f"or train/_annotations.coco.json; there is {what}"
        )
    if glance.file is not None:
        return [File(glance.file)]
    parts: dict[str, list[Path]] = defaultdict(list)
    for path in found[kind]:
        parts[_part(path.relative_to(root))].append(path)
    if len(parts) > 1:
        parts.pop("", None)
    several = next((paths for paths in parts.values() if len(paths) > 1), None)
    if several:
        names = [path.relative_to(root).as_posix() for path in several]
        raise OptionError(
            f"{root} has {len(several)} files of COCO's where one is needed: {listed(names)}. Say which with "
            f"data.annotations={names[0]} (in Python annotations=); data.annotations='*.json' takes all"
        )
    return [File(parts[part][0], part) for part in (*FOLDERS, "") if part in parts]


def _part(path: Path) -> str:
    """Return the part that a file's folder or a word of its name says."""
    words = re.findall("[a-z]+", path.stem.lower())
    return part_of(path.as_posix()) or next(filter(None, map(part_named, words)), "")


@dataclass(frozen=True)
class Category:
    """A category of a file.

    Attributes:
        name: name in the file.
        parent: its supercategory.
    """

    name: str
    parent: str = ""


@dataclass(frozen=True)
class Listed:
    """An image that a file lists.

    Attributes:
        name: its path as the file has it, with slashes.
        size: (height, width), where the file says it.
    """

    name: str
    size: tuple[int, int] | None


@dataclass(eq=False)
class Index:
    """The contents of a file, and the positions of its annotations.

    Attributes:
        path: the file.
        categories: by their ids.
        images: by their ids.
        owners: ``(n,)`` place of each annotation's image in ``images``; -1 where it is not listed.
        kinds: ``(n,)`` place of its category in ``used``; -1 where it has several.
        spans: ``(n, 2)`` first byte of each annotation, and the byte after it.
        used: ids of the categories that have annotations.
        outlined: number of annotations with an outline of any size.
        panoptic: whether annotations are of whole images.
        crowds: how many annotations are crowds.
        boxes: annotations that have only a box, for remarks.
        flat: those whose polygons have less than three points.
        twice: images that are listed twice.
        masks: files of panoptic masks, by the places of their images.
        doubtful: places of annotations that may lie outside their image.
    """

    path: Path
    categories: dict[Any, Category] = field(default_factory=dict)
    images: dict[Any, Listed] = field(default_factory=dict)
    owners: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    kinds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    spans: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    used: list[Any] = field(default_factory=list)
    outlined: int = 0
    panoptic: bool = False
    crowds: int = 0
    boxes: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    masks: dict[int, Path] = field(default_factory=dict)
    doubtful: list[int] = field(default_factory=list)


def indexed(path: Path) -> Index:
    """Return what a file lists.

    Raises:
        FailureError: it cannot be read, or is none of COCO's.
    """
    try:
        found = path.stat()
        return _index(path, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        told = f"{told}; save it as UTF-8" if "codec" in str(told) else told
        raise FailureError(f"{path} cannot be read as JSON: {told}") from error


@lru_cache(maxsize=8)
def _index(path: Path, _time: int, _size: int) -> Index:
    index, missing = Index(path), {"images", "annotations", "categories"}
    annotations = _Annotations(index)
    with path.open("rb") as file:
        for key, value, inside, start, stop in json_text.elements(path, numbers=_LONG):
            if key not in ("images", "annotations", "categories"):
                continue
            missing.discard(key)
            if not inside and value == []:
                continue
            if not inside or not isinstance(value, dict):
                raise FailureError(f"{path} is not in the COCO format: it has no list of {key}")
            if key == "images":
                _add_image(index, value)
            elif key == "categories":
                index.categories[_id(index, key, value.get("id"))] = _category(value)
            else:
                annotations.add(value, start, stop, file)
    if missing:
        raise FailureError(f"{path} is not in the COCO format: it has no list of {' and '.join(missing)}")
    annotations.finish()
    return index


def _id(index: Index, key: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        raise FailureError(f"{index.path}: {key} has an entry with the id {value!r}: it must be a number")
    return value


def _add_image(index: Index, value: Mapping[str, Any]) -> None:
    number = _id(index, "images", value.get("id"))
    # LVIS has the address of an image in COCO instead of its name.
    address = "/".join(str(value.get("coco_url") or "").split("/")[-2:])
    name = plain_path(str(value.get("file_name") or value.get("path") or address))
    if not name:
        raise FailureError(f"{index.path}: image {number} has no file_name")
    sides = value.get("height"), value.get("width")
    whole = all(isinstance(side, int | float) and side == int(side) > 0 for side in sides)
    size = (int(sides[0]), int(sides[1])) if whole else None  # pyright: ignore[reportArgumentType]
    known = index.images.get(number)
    if known and known.name != name:
        raise FailureError(
            f"{index.path}: {known.name} and {name} have the same id {number}, so that nothing tells whose "
            "the annotations are: export it again"
        )
    if known:
        index.twice.append(name)
    index.images[number] = Listed(name, size)


class _Annotations:
    """The annotations of a file while it is read."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.owners, self.kinds, self.spans = array("q"), array("q"), array("q")
        self.places: dict[Any, int] = {}
        self.used: dict[Any, int] = {}
        self.corners = array("d")

    def add(self, one: dict[str, Any], start: int, stop: int, file: BinaryIO) -> None:
        """Note one annotation."""
        index = self.index
        owner = _id(index, "annotations", one.get("image_id"))
        self.owners.append(self.places.setdefault(owner, len(self.places)))
        self.spans.extend((start, stop))
        segments = one.get("segments_info")
        if segments is not None:
            index.panoptic, index.outlined = True, index.outlined + 1
            index.masks[len(self.kinds)] = mask_file(index.path, str(one.get("file_name") or ""))
            for segment in segments if isinstance(segments, list) else ():
                if isinstance(segment, dict):
                    self._use(one, segment.get("category_id"))
                    index.crowds += bool(segment.get("iscrowd"))
            self.kinds.append(-1)
            self.corners.extend((0, 0))
            return
        self.kinds.append(self._use(one, one.get("category_id")))
        index.crowds += bool(one.get("iscrowd"))
        shape = one.get("segmentation")
        if shape == []:
            # A list of numbers that is not read at first looks like an empty one.
            file.seek(start)
            shape = json_text.parse(file.read(stop - start))["segmentation"]
        if not shape:
            index.boxes.append(self._called(one))
        index.outlined += bool(shape)
        if isinstance(shape, list) and shape and all(_is_short(ring) for ring in shape):
            index.flat.append(self._called(one))
        corner = _outer_corner(one.get("bbox"))
        if corner is None and shape:
            index.doubtful.append(len(self.kinds) - 1)
        self.corners.extend(corner or (0, 0))

    def _use(self, one: Mapping[str, Any], category: Any) -> int:
        if isinstance(category, list | dict):
            raise FailureError(f"{self.index.path}: annotation {one.get('id')} is of category {category!r}")
        return self.used.setdefault(category, len(self.used))

    def _called(self, one: Mapping[str, Any]) -> str:
        return f"{self.index.path.name}: annotation {one.get('id')}"

    def finish(self) -> None:
        """Write down what is known once the whole file is read.

        Raises:
            FailureError: an annotation is of a category that is not listed.
        """
        index = self.index
        unlisted = [key for key in self.used if key not in index.categories]
        if unlisted:
            counts = Counter(self.kinds)
            number = sum(counts[self.used[key]] for key in unlisted)
            known = [f"{key} ({one.name})" for key, one in index.categories.items()]
            what = many(number, "annotation", "are") if number else "segments are"
            raise FailureError(
                f"{index.path}: {what} of category {listed([repr(key) for key in unlisted])}, which the file "
                f"does not list; it lists {listed(known) or 'none'}. Add it to categories, or take them out"
            )
        order = {key: place for place, key in enumerate(index.images)}
        places = np.array([order.get(key, -1) for key in self.places] or [-1])
        index.owners = places[np.frombuffer(self.owners, np.int64)] if self.owners else index.owners
        index.masks = {int(index.owners[place]): mask for place, mask in index.masks.items()}
        index.kinds, index.used = np.array(self.kinds, np.int64), list(self.used)
        index.spans = np.array(self.spans, np.int64).reshape(-1, 2)
        sizes = [one.size or (np.inf, np.inf) for one in index.images.values()] or [(np.inf, np.inf)]
        corners = np.array(self.corners).reshape(-1, 2)[:, ::-1]
        outside = (corners >= np.array(sizes, float)[index.owners]).any(axis=1) & (index.owners >= 0)
        index.doubtful += np.flatnonzero(outside).tolist()


def _is_short(ring: Any) -> bool:
    return isinstance(ring, list) and 0 < len(ring) < 6


def _outer_corner(box: Any) -> tuple[float, float] | None:
    """Return the upper left corner of an annotation's box; ``None`` if it is damaged, empty or outside."""
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y) if width > 0 < height and x + width > 0 < y + height else None


def categories_of(path: Path) -> Mapping[Any, Category]:
    """Return the categories of a file, from its beginning or its end where they are seen there."""
    seen = seen_categories(Glance(path).samples(path))
    return indexed(path).categories if seen is None else seen


def seen_categories(text: str) -> dict[Any, Category] | None:
    """Return the categories that a part of a file's text holds; ``None`` where it does not hold them all."""
    for match in _CATEGORIES.finditer(text):
        try:
            rows, _ = json.JSONDecoder().raw_decode(text, match.end())
        except ValueError:
            continue
        usable = [isinstance(row, dict) and isinstance(row.get("id"), int | str) for row in rows]
        if rows and all(usable) and all("name" in row for row in rows):
            return {row["id"]: _category(row) for row in rows}
    return None


def _category(row: Mapping[str, Any]) -> Category:
    return Category(str(row.get("name")), str(row.get("supercategory") or ""))


def mask_file(path: Path, name: str) -> Path:
    """Return a panoptic mask: beside its JSON file, in the folder of the same name or in its own."""
    places = [folder / plain_path(name) for folder in (path.with_suffix(""), path.parent)]
    places.append(path.parent.parent / path.stem / plain_path(name))
    return next((place for place in places if place.is_file()), places[0])
