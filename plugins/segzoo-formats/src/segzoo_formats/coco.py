"""Images annotated as COCO has them: objects as polygons or runs in JSON, or panoptic masks.

Polygons cover the pixels that pycocotools covers. A smaller object lies on a larger one, whatever the order
of the file; where classes overlap, each has its own mask. What lies in a crowd (``iscrowd``), or in the box
of an object without an outline, counts for nothing where no other object lies on it.

A file is read once for where its annotations lie in it, and those of an image are read again when it is
drawn: files of gigabytes take little memory, and workers are sent no shapes.

The format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from segzoo import json_text
from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Box,
    Glance,
    Polygon,
    Region,
    Runs,
    Several,
    Stencil,
    check_split,
    class_labels,
)
from segzoo.datasets.splits import FOLDERS
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.interfaces import Remark
from segzoo.options import listed, many
from segzoo.specs import Recognition
from segzoo_formats.search import (
    Images,
    counted,
    files_below,
    name_remarks,
    of_split,
    part_named,
    part_of,
    parted,
    plain_path,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Shape

SPLITS = ("train", "val", "test", "all")
#: Kinds of files that hold masks, and what each is for people; the first that a folder has is read.
_MASKS = {
    "instances": "COCO instances",
    "panoptic": "COCO panoptic",
    "stuff": "COCO stuff",
    "person_keypoints": "COCO keypoints with outlines",
}
#: What other files hold, for people.
_OTHERS = {
    "boxes": "boxes without outlines",
    "captions": "captions",
    "labels": "labels of whole images",
    "images": "images without annotations",
}
#: JSON files of a folder that are looked into; of more, those with one of COCO's words in their names.
_MOST_FILES = 60
_WORDS = re.compile("coco|annotation|instance|panoptic|stuff")
_KEY = re.compile(r'"(\w+)"\s*:')
_EMPTY = re.compile(r'"segmentation"\s*:\s*(\[\s*\]|null)')
_FULL = re.compile(r'"segmentation"\s*:\s*(\[\s*[^\s\]]|\{)')
_CATEGORIES = re.compile(r'"categories"\s*:\s*(?=\[)')
#: Characters of a list of numbers that is not read at first. Boxes and polygons of two points are shorter.
_LONG = 120
#: Bytes of a text of COCO's runs that a count of 32 bits needs.
_DIGITS = 7


def coco(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    annotations: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the objects of COCO files.

    Args:
        root: a folder that holds ``annotations/instances_train*.json`` and so on,
            ``train/_annotations.coco.json``, ``train.json``, or one file for all, whose images are then
            divided by their names; or such a file itself. Images lie where the file says, in folders that are
            called as the part, or anywhere below ``root``.
        split: ``train``, ``val``, ``test`` or ``all``.
        annotations: which files below ``root`` are read, where there are several: a path, or a pattern such
            as ``annotations/stuff_*.json``. By default instances come before panoptic masks, stuff and
            keypoints.
        classes: names of the categories that are wanted, in this order; by default all, by their ids. What
            belongs to others is background.
        overlapping: whether a pixel has the class of every object that it lies in, instead of that of the
            smallest.

    Raises:
        FailureError: there is no such file, it is none of COCO's or has no masks, or images are missing.
        OptionError: there is no such category, the split is empty, or several files may be meant.
    """
    check_split("coco", split, SPLITS)
    root = Path(root)
    files = _chosen(Glance(root), annotations)
    folder = _folder(root)
    wanted = [file for file in files if split in ("all", file.part) or not file.part]
    if not wanted:
        there = " and ".join(file.part for file in files)
        raise OptionError(
            f"the split {split!r} of {root} is empty: there are files for {there}"
            + (". Training validates with a part of train: split.share=0.1 split.of=train" * (split == "val"))
        )
    names = _Names(files)
    labels = class_labels(names.classes, classes, overlapping=overlapping, source=root)
    label = {name: index for index, name in enumerate(labels.classes) if index != labels.background}
    label |= {"background": 0} if labels.background == 0 else {}
    every, twice = _images(wanted, folder, names, label)
    images = of_split(every, split, root)
    indices = [_indexed(file.path) for file in wanted]
    # One part may have no outline; where no part has any, these are boxes for a detector.
    outlined = any(index.outlined for index in indices) or any(_indexed(one.path).outlined for one in files)
    if not outlined and any(len(index.spans) for index in indices):
        raise FailureError(
            f"{listed([str(index.path) for index in indices])}: none of the "
            f"{many(sum(len(index.spans) for index in indices), 'object')} has an outline, they are boxes, "
            "and a box is no mask. Draw outlines, or export with segmentation"
        )
    remarks = partial(_remarks, tuple(wanted), names.remarks, tuple(_empty(images)), twice)
    return AnnotatedImages(images, labels, order="area", remarks=remarks)


def recognise(glance: Glance) -> Recognition | None:
    """Say whether a JSON file, or a folder with some, is COCO's."""
    if glance.file is not None and glance.file.suffix.lower() != ".json":
        return None
    found = _found(glance)
    kind = next((kind for kind in _MASKS if kind in found), None)
    if kind is None:
        other = next((kind for kind in _OTHERS if kind in found), None)
        return Recognition(told=f"COCO {_OTHERS[other]}: they are no masks") if other else None
    try:
        files = _chosen(glance, "")
    except OptionError:
        names = [path.relative_to(glance.folder).as_posix() for path in found[kind]]
        return Recognition(
            told=f"{_MASKS[kind]} in {len(names)} files, of which annotations={names[0]} takes one"
        )
    texts = [glance.samples(file.path) for file in files]
    if any(map(_EMPTY.search, texts)) and not any(map(_FULL.search, texts)):
        return Recognition(told=f"COCO {_OTHERS['boxes']}: they are no masks")
    said, classes = _MASKS[kind], _class_count(texts[0])
    said += f", {classes} class{'es' * (classes != 1)}" if classes else ""
    parts = [file.part for file in files if file.part]
    if parts:
        said += f", {' and '.join(filter(None, (', '.join(parts[:-1]), parts[-1])))} as the files say"
    others = [one for one in _MASKS if one in found and one != kind]
    if others:
        first = found[others[0]][0].relative_to(glance.folder)
        pattern = first.with_name(f"{others[0]}_*.json" if first.name.startswith(others[0]) else first.name)
        said += f"; there is {' and '.join(others)} too, such as annotations={pattern.as_posix()}"
    return Recognition(told=said)


@dataclass(frozen=True)
class _File:
    """A file that is read, and the part that its name or its folder says; empty where none does."""

    path: Path
    part: str = ""


def _folder(root: Path) -> Path:
    """Return the folder that images lie below."""
    folder = root.parent if root.is_file() else root
    return folder.parent if folder.name.lower() == "annotations" else folder


def _found(glance: Glance) -> dict[str, list[Path]]:
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
    # Without a single annotation, categories tell images without objects from a list of images.
    return "instances" if "annotations" in keys and _seen_categories(text) else "images"


def _chosen(glance: Glance, told: str) -> list[_File]:
    """Return the files that are read: one for each part, or any that say no part.

    Raises:
        FailureError: there are none.
        OptionError: nothing tells which of several is meant.
    """
    root = glance.folder
    if told:
        paths = sorted(root.glob(told)) if "*" in told else [root / told]
        if not paths:
            raise FailureError(f"no file of {root} matches annotations={told!r}")
        files = [_File(path, _part(path.relative_to(root))) for path in paths]
        # One file that is named holds all there is, whatever it is called; so do files that say no part.
        named = Counter(file.part for file in files)
        apart = len(files) > 1 and not named[""] and max(named.values()) == 1
        return files if apart else [_File(path) for path in paths]
    found = _found(glance)
    kind = next((kind for kind in _MASKS if kind in found), None)
    if kind is None:
        other = next((kind for kind in _OTHERS if kind in found), None)
        what = f"{_OTHERS[other]} ({listed([str(one) for one in found[other]], 3)})" if other else "none"
        raise FailureError(
            f"{glance.path} needs a JSON file of COCO's with masks, such as annotations/instances_train.json "
            f"or train/_annotations.coco.json; there is {what}"
        )
    if glance.file is not None:
        return [_File(glance.file)]
    parts: dict[str, list[Path]] = defaultdict(list)
    for path in found[kind]:
        parts[_part(path.relative_to(root))].append(path)
    if len(parts) > 1:
        parts.pop("", None)
    several = next((paths for paths in parts.values() if len(paths) > 1), None)
    if several:
        names = [path.relative_to(root).as_posix() for path in several]
        raise OptionError(
            f"{root} has {len(several)} files of COCO's where one is needed: {listed(names)}. Say which: "
            f"annotations={names[0]!r}, or a pattern for all of them, annotations='*.json'"
        )
    return [_File(parts[part][0], part) for part in (*FOLDERS, "") if part in parts]


def _part(path: Path) -> str:
    """Return the part that a file's folder or a word of its name says."""
    words = re.findall("[a-z]+", path.stem.lower())
    return part_of(path.as_posix()) or next(filter(None, map(part_named, words)), "")


@dataclass(frozen=True)
class _Category:
    name: str
    parent: str = ""


@dataclass(frozen=True)
class _Listed:
    name: str
    size: tuple[int, int] | None


@dataclass(eq=False)
class _Index:
    """What a file lists, and where its annotations lie in it.

    Attributes:
        path: the file.
        categories: by their ids.
        images: by their ids.
        owners: ``(n,)`` place of each annotation's image in ``images``; -1 where it is not listed.
        kinds: ``(n,)`` place of its category in ``used``; -1 where it has several.
        spans: ``(n, 2)`` first byte of each annotation, and the byte after it.
        used: ids of the categories that have annotations.
        outlined: how many annotations have an outline, of whatever size.
        panoptic: whether annotations are of whole images.
        crowds: how many annotations are crowds.
        boxes: annotations that have a box only, for people.
        flat: those whose polygons have less than three points.
        twice: images that are listed twice.
        masks: files of panoptic masks, by the places of their images.
        doubtful: places of annotations that may lie outside their image.
    """

    path: Path
    categories: dict[Any, _Category] = field(default_factory=dict)
    images: dict[Any, _Listed] = field(default_factory=dict)
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


def _indexed(path: Path) -> _Index:
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
def _index(path: Path, _time: int, _size: int) -> _Index:
    index, missing = _Index(path), {"images", "annotations", "categories"}
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
                name = _Category(str(value.get("name")), str(value.get("supercategory") or ""))
                index.categories[_id(index, key, value.get("id"))] = name
            else:
                annotations.add(value, start, stop, file)
    if missing:
        raise FailureError(f"{path} is not in the COCO format: it has no list of {' and '.join(missing)}")
    annotations.finish()
    return index


def _id(index: _Index, key: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        raise FailureError(f"{index.path}: {key} has an entry with the id {value!r}: it must be a number")
    return value


def _add_image(index: _Index, value: Mapping[str, Any]) -> None:
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
            "the annotations are: export it anew"
        )
    if known:
        index.twice.append(name)
    index.images[number] = _Listed(name, size)


class _Annotations:
    """The annotations of a file while it is read."""

    def __init__(self, index: _Index) -> None:
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
            index.masks[len(self.kinds)] = _mask_file(index.path, str(one.get("file_name") or ""))
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
    """Return the upper left corner of an annotation's box; ``None`` where it says nothing of the polygon."""
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y) if width > 0 < height and x + width > 0 < y + height else None


class _Names:
    """What the classes of some files are called.

    A category that nothing is annotated with is left out where others name it as their supercategory, which
    is what Roboflow lists first, or where another one has its name.

    Args:
        files: all files of the data set, so that the classes of its parts are the same.

    Attributes:
        classes: in the order of their ids.
        of: the class of each category of a file.
        remarks: what the person should know of them.

    Raises:
        FailureError: there are no categories.
    """

    def __init__(self, files: Sequence[_File]) -> None:
        paths = [file.path for file in files]
        found = {path: _categories(path) for path in paths}
        self.of: dict[Path, dict[Any, str]] = {}
        spare: dict[str, None] = {}
        alike: dict[str, None] = {}
        for path, categories in found.items():
            left = {
                key
                for key in _candidates(categories)
                if not any(
                    key in _indexed(one).used for one in paths if found[one].get(key) == categories[key]
                )
            }
            # Of several alike that all are unused, one stays.
            names = Counter(one.name for key, one in categories.items() if key not in left)
            parents = {one.parent for one in categories.values() if one.parent != one.name}
            for key in sorted(left, key=_order):
                if not names[categories[key].name] and categories[key].name not in parents:
                    left.discard(key)
                    names[categories[key].name] += 1
            spare |= {f"{categories[key].name} (id {key})": None for key in sorted(left, key=_order)}
            self.of[path] = {}
            for key in sorted(categories, key=_order):
                name = categories[key].name
                if key not in left:
                    self.of[path][key] = f"{name}-{key}" if names[name] > 1 else name
                    alike |= {self.of[path][key]: None} if names[name] > 1 else {}
        self.classes = list(dict.fromkeys(name for one in self.of.values() for name in one.values()))
        if not self.classes:
            raise FailureError(f"{listed([str(path) for path in paths])}: no categories are listed")
        self.remarks = tuple(self._told(list(spare), list(alike)))

    def _told(self, spare: Sequence[str], alike: Sequence[str]) -> Iterator[Remark]:
        yield from counted(
            "unused-category",
            "note",
            "are left out: unused, and the supercategory or the namesake of another one",
            "",
            spare,
            "category",
        )
        if alike:
            yield Remark(
                kind="classes-alike",
                severity="warning",
                what=f"categories have the same name; their ids tell them apart: {listed(alike)}",
                advice="They are trained as different classes. Merge or rename them in the tool.",
                count=len(alike),
                examples=tuple(alike[:8]),
            )
        yield from name_remarks(self.classes)
        sets = {path: set(names.values()) for path, names in self.of.items()}
        missing = [
            f"{path}: {listed(sorted(set(self.classes) - names))}"
            for path, names in sets.items()
            if names != set(self.classes)
        ]
        yield from counted(
            "categories-differ", "note", "do not list all classes of the others", "", missing, "file"
        )


def _order(key: Any) -> tuple[str, Any]:
    return type(key).__name__, key


def _candidates(categories: Mapping[Any, _Category]) -> list[Any]:
    """Return the ids of categories that are left out if nothing is annotated with them."""
    names = Counter(one.name for one in categories.values())
    return [
        key
        for key, one in categories.items()
        if names[one.name] > 1
        or any(other.parent == one.name and other.name != one.name for other in categories.values())
    ]


def _categories(path: Path) -> Mapping[Any, _Category]:
    """Return the categories of a file, from its beginning or its end where they are seen there."""
    rows = _seen_categories(Glance(path).samples(path))
    if rows is None:
        return _indexed(path).categories
    return {row["id"]: _Category(str(row["name"]), str(row.get("supercategory") or "")) for row in rows}


def _seen_categories(text: str) -> list[dict[str, Any]] | None:
    for match in _CATEGORIES.finditer(text):
        try:
            rows, _ = json.JSONDecoder().raw_decode(text, match.end())
        except ValueError:
            continue
        usable = [isinstance(row, dict) and isinstance(row.get("id"), int | str) for row in rows]
        if rows and all(usable) and all("name" in row for row in rows):
            return rows
    return None


def _class_count(text: str) -> int:
    """Return how many classes a file seems to have, without Roboflow's supercategory; 0 where unknown."""
    rows = _seen_categories(text) or []
    parents = {row.get("supercategory") for row in rows}
    return sum(row.get("supercategory") != "none" or row["name"] not in parents for row in rows)


#: A file, where annotations lie in it, and the label of each category.
_Source = tuple[Path, "NDArray[np.int64]", "Mapping[Any, int]"]


def _images(
    files: Sequence[_File], folder: Path, names: _Names, label: Mapping[str, int]
) -> tuple[list[AnnotatedImage], tuple[str, ...]]:
    """Return the images that files list, each once, with their annotations, and which were listed twice."""
    below = Images(folder)
    found: dict[tuple[str, Path], tuple[str, _Listed, list[_Source], list[Path]]] = {}
    panoptic, twice = False, []
    for file in files:
        index = _indexed(file.path)
        panoptic |= index.panoptic
        labels = {key: label[name] for key, name in names.of[file.path].items() if name in label}
        kept = np.array([key in labels for key in index.used] + [True], np.bool_)
        spans = _grouped(index, kept[index.kinds])
        search = _Search(below, file)
        for place, one in enumerate(index.images.values()):
            path = search.find(one.name)
            key = (file.part, path)
            twice += [one.name] if key in found else []
            called, _, sources, masks = found.setdefault(key, (one.name, one, [], []))
            if called != one.name:
                raise FailureError(
                    f"{file.path} lists {called} and {one.name}, and only {path} has that name: add the other"
                )
            sources.append((file.path, spans[place], labels))
            masks += [index.masks[place]] if place in index.masks else []
    gone = [str(mask) for *_, masks in found.values() for mask in masks if not mask.is_file()]
    if gone:
        raise FailureError(
            f"{many(len(gone), 'mask')} that {files[0].path} lists are not there: {listed(gone, 4)}. Add them"
        )
    plain = [PurePosixPath(one[0]).with_suffix("").as_posix().lstrip("/") for one in found.values()]
    times = Counter(zip((part for part, _ in found), plain, strict=True))
    called = []
    for name, (part, path) in zip(plain, found, strict=True):
        own = f"{name}{path.suffix}" if times[part, name] > 1 else name
        called.append(f"{part}/{own}" if part else own)
    parts = parted(called, [part for part, _ in found])
    draw = _segments if panoptic else _regions
    images = [
        AnnotatedImage(
            name=name,
            part=part,
            image=path,
            source=sources[0][0],
            regions=partial(draw, tuple(sources), one.name, one.size),
            size=one.size,
            others=tuple(masks),
        )
        for name, part, ((_, path), (_, one, sources, masks)) in zip(
            called, parts, found.items(), strict=True
        )
    ]
    return images, tuple(twice)


def _empty(images: Sequence[AnnotatedImage]) -> Iterator[str]:
    for one in images:
        sources: Sequence[_Source] = one.regions.args[0]  # pyright: ignore[reportFunctionMemberAccess]
        if not any(len(spans) for _, spans, _ in sources):
            yield one.name


def _grouped(index: _Index, kept: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return where the annotations of each image lie, in their order."""
    owners, spans = index.owners[kept], index.spans[kept]
    order = np.argsort(owners, kind="stable")
    cuts = np.searchsorted(owners[order], np.arange(len(index.images) + 1))
    return [spans[order[first:last]] for first, last in pairwise(cuts)]


class _Search:
    """Where the images of a file lie."""

    def __init__(self, below: Images, file: _File) -> None:
        self.below, self.beside = below, file.path.parent
        root, stem = below.root, file.path.stem
        words = [*FOLDERS.get(file.part, ()), stem, stem.rpartition("_")[2]]
        self.places = [self.beside, root, root / "images"]
        self.places += [folder / word for folder in (root, root / "images") for word in words]
        self.places = [place for place in dict.fromkeys(self.places) if place.is_dir()]
        self.listed: dict[Path, set[str]] = {}

    def find(self, name: str) -> Path:
        """Return the file of an image; where there is none, where it would lie beside the JSON file."""
        for place in self.places:
            if self._has(place / name):
                return place / name
        return self.below.find(name, self.beside) or self.beside / name.lstrip("/")

    def _has(self, path: Path) -> bool:
        folder = path.parent
        if folder not in self.listed:
            self.listed[folder] = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
        return path.name in self.listed[folder]


def _read(
    sources: Sequence[_Source], image: str
) -> Iterator[tuple[Path, dict[str, Any], Mapping[Any, int], str]]:
    """Yield the annotations of an image, each with its file, the labels, and what it is called in errors."""
    for path, spans, labels in sources:
        with path.open("rb") as file:
            for start, stop in spans.tolist():
                file.seek(start)
                try:
                    one = json_text.parse(file.read(stop - start))
                    where = f"{path}: annotation {one.get('id')} of {image}"
                except (ValueError, AttributeError) as error:
                    raise MaskError(
                        f"{path} has changed since it was opened ({error}): open the data set anew"
                    ) from error
                yield path, one, labels, where


def _regions(sources: Sequence[_Source], image: str, size: tuple[int, int] | None) -> list[Region]:
    """Return the objects of an image."""
    found = []
    for _, one, labels, where in _read(sources, image):
        label = labels.get(one.get("category_id"))
        shape, ignored = one.get("segmentation"), bool(one.get("iscrowd"))
        if not shape:
            drawn, ignored = _box(one.get("bbox"), where), True
        elif isinstance(shape, dict):
            drawn = _runs(shape, size, where)
        else:
            drawn = _polygons(shape, where)
        found.append(Region(drawn, None, layer=-1) if ignored else Region(drawn, label))
    return found


def _box(box: Any, where: str) -> Box:
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError) as error:
        raise MaskError(f"{where} has neither an outline nor a box: take it out, or draw it") from error
    return Box(x, y, x + width, y + height)


def _polygons(rings: Any, where: str) -> Shape:
    """Return the polygons ``[[x, y, x, y, ...], ...]`` as one region; those of two points have no area."""
    if isinstance(rings, list) and not isinstance(rings[0], list):
        rings = [rings]
    shapes = []
    for ring in rings:
        try:
            numbers = np.array(ring, np.float64) if isinstance(ring, list) else np.array([np.nan])
        except (TypeError, ValueError, OverflowError):
            numbers = np.array([np.nan])
        if numbers.ndim != 1 or len(numbers) % 2 or not np.isfinite(numbers).all():
            raise MaskError(f"{where}: a polygon is a list [x, y, x, y, ...] of finite numbers")
        if len(numbers) >= 6:
            shapes.append(Polygon([numbers.reshape(-1, 2)], "coco"))
    return shapes[0] if len(shapes) == 1 else Several(shapes)


def _runs(shape: Mapping[str, Any], size: tuple[int, int] | None, where: str) -> Runs:
    """Return the pixels of runs: outside, inside, outside, ..., column by column."""
    counts, said = shape.get("counts"), shape.get("size")
    if size is None or (said is not None and said != list(size)):
        if size is not None or not (isinstance(said, list) and len(said) == 2):
            raise MaskError(
                f"{where}: its runs are of an image of {said}, and this one is {list(size or ())}"
            )
        size = int(said[0]), int(said[1])
    try:
        runs = _counts(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError):
        runs = np.array([-1])
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise MaskError(f"{where}: its runs do not fill the image: the file is damaged, or of other images")
    return Runs(runs, size)


def _counts(text: str) -> NDArray[np.int64]:
    """Return the counts of COCO's string; `segzoo.prediction.outputs.coco.compress_runs` writes such.

    Raises:
        ValueError: it is no such string.
    """
    digits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    last = digits & 32 == 0
    if not len(digits) or not last[-1] or ((digits < 0) | (digits > 63)).any():
        raise ValueError("no counts")
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends + 1 - starts
    if lengths.max() > _DIGITS:
        raise ValueError("a count is too large")
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((digits & 31) << 5 * places, starts)
    counts -= np.where(digits[ends] & 16, 1 << 5 * lengths, 0)
    # From the fourth on, each is the difference to the last but one.
    counts[1::2], counts[2::2] = counts[1::2].cumsum(), counts[2::2].cumsum()
    return counts


def _segments(sources: Sequence[_Source], image: str, size: tuple[int, int] | None) -> list[Region]:
    """Return the segments of a panoptic mask; what belongs to none counts for nothing."""
    found = []
    for path, one, labels, where in _read(sources, image):
        mask = _panoptic_mask(_mask_file(path, str(one.get("file_name") or "")))
        segments = one.get("segments_info")
        ids = _segment_ids(segments)
        unlisted = set(np.unique(mask).tolist()) - {0, *ids}
        if unlisted:
            raise MaskError(
                f"{where}: its mask has the segments {listed(sorted(unlisted))}, and segments_info has not"
            )
        found.append(Region(_stencil(mask == 0), None, layer=-2))
        for number, segment in ids.items():
            label = labels.get(segment.get("category_id"))
            inside = _stencil(mask == number)
            if segment.get("iscrowd"):
                found.append(Region(inside, None, layer=-1))
            elif label is not None:
                found.append(Region(inside, label))
    if not found:
        raise MaskError(f"{sources[0][0]} has no segments for {image}: add them, or take the image out")
    return found


def _segment_ids(segments: Any) -> dict[int, Mapping[str, Any]]:
    rows = [one for one in segments if isinstance(one, dict)] if isinstance(segments, list) else []
    return {one["id"]: one for one in rows if isinstance(one.get("id"), int)}


def _mask_file(path: Path, name: str) -> Path:
    """Return a panoptic mask: beside its JSON file, in the folder of the same name or in its own."""
    places = [folder / plain_path(name) for folder in (path.with_suffix(""), path.parent)]
    places.append(path.parent.parent / path.stem / plain_path(name))
    return next((place for place in places if place.is_file()), places[0])


def _panoptic_mask(mask: Path) -> NDArray[np.int64]:
    """Return the segment of each pixel."""
    try:
        with Image.open(mask) as picture:
            bands = np.asarray(picture.convert("RGB") if picture.mode in ("P", "RGBA") else picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise MaskError(f"{mask} cannot be read: {error}") from error
    bands = bands.astype(np.int64)
    return bands if bands.ndim == 2 else bands[..., 0] + 256 * bands[..., 1] + 65536 * bands[..., 2]


def _stencil(inside: NDArray[np.bool_]) -> Stencil:
    """Return a mask cut to where it has pixels."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return Stencil(inside[:0, :0])
    top, left = int(rows[0]), int(columns[0])
    return Stencil(inside[top : rows[-1] + 1, left : columns[-1] + 1], top, left)


def _remarks(
    files: Sequence[_File], about_names: Sequence[Remark], empty: Sequence[str], twice: Sequence[str]
) -> list[Remark]:
    indices = [_indexed(file.path) for file in files]

    def every(what: Callable[[_Index], Sequence[str]]) -> list[str]:
        return [one for index in indices for one in what(index)]

    remarks = [*about_names]
    remarks += counted(
        "no-objects",
        "note",
        "have no objects",
        "All of such an image is background.",
        empty,
        "image",
    )
    remarks += counted(
        "boxes-only",
        "warning",
        "have a box and no outline",
        "What lies in such a box is neither trained on nor scored. Draw outlines, or take the boxes out.",
        every(lambda index: index.boxes),
        "object",
    )
    remarks += counted(
        "no-area",
        "warning",
        "have too few points to cover a pixel",
        "Draw them again in the tool, or delete them.",
        every(lambda index: index.flat),
        "object",
    )
    remarks += counted(
        "outside",
        "warning",
        "lie outside the image",
        "They may belong to an image of another size.",
        every(_outside),
        "object",
    )
    remarks += counted(
        "listed-twice",
        "warning",
        "are listed twice",
        "Their objects were taken together.",
        [*twice, *every(lambda index: index.twice)],
        "image",
    )
    remarks += counted(
        "unlisted-images",
        "warning",
        "are of images that the file does not list",
        "They are left out.",
        every(lambda index: [index.path.name] * int((index.owners < 0).sum())),
        "annotation",
    )
    crowds = sum(index.crowds for index in indices)
    if crowds:
        what = f"{many(crowds, 'object', 'are')} marked as crowds: neither trained on nor scored"
        remarks.append(Remark(kind="crowds", severity="note", what=what, count=crowds))
    return remarks


def _outside(index: _Index) -> list[str]:
    """Return the annotations none of whose corners can lie in the image."""
    found, images = [], list(index.images.values())
    with index.path.open("rb") as file:
        for place in index.doubtful:
            owner = images[index.owners[place]] if index.owners[place] >= 0 else None
            if owner is None or owner.size is None:
                continue
            start, stop = index.spans[place].tolist()
            file.seek(start)
            one = json_text.parse(file.read(stop - start))
            if _is_outside(one.get("segmentation"), owner.size):
                found.append(f"{index.path.name}: annotation {one.get('id')} of {owner.name}")
    return found


def _is_outside(rings: Any, size: tuple[int, int]) -> bool:
    try:
        points = np.concatenate([np.array(ring, float).reshape(-1, 2) for ring in rings])
    except (TypeError, ValueError):
        return False
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((high <= 0).any() or (low >= size[::-1]).any())
