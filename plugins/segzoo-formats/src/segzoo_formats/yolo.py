"""Images with the label files of Ultralytics YOLO: a line of class number and corners for each object.

Corners are shares of the image's width and height. They are cut to whole pixels and filled with their
outline, as Ultralytics draws them; the smaller of two objects covers the larger. A line of five numbers is a
box: its pixels are ignored if other objects have outlines, and data with only boxes is refused. A YAML
file with ``masks_dir`` has mask files instead.

The format: https://docs.ultralytics.com/datasets/segment and https://docs.ultralytics.com/datasets/semantic
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Pair,
    Pairs,
    Polygon,
    Region,
    check_split,
    class_labels,
    lines_of,
    listed,
    many,
    read_words,
    visible,
)
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.images import has_suffix, searched_suffixes
from segzoo.specs import Recognition
from segzoo_formats.search import counted, name_remarks, part_named, parted, unwrapped, without_objects
from segzoo_formats.values import distinct, readable, valued_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance, Patch
    from segzoo.interfaces import Remark

#: Files that name the classes, one a line, where no YAML file does.
_NAMES = ("classes.txt", "obj.names", "labels/classes.txt", "labels/obj.names")
_YAML, _DARKNET = (".yaml", ".yml"), ".data"
#: Bytes; that of 365 classes has ten thousand.
_LARGEST_YAML = 512 << 10
#: Takes values as text alone: to YAML, a class that is called `no` is a truth value. That of C is faster.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
#: Number of label files that are read to see whether they hold outlines or boxes.
_LOOK = 50
#: Shares of the image beyond this are no shares, but pixels.
_FAR = 2.0
#: A class number and coordinates. Nothing in it can match in two ways, so a long line takes no long time.
_LINE = re.compile(r"\d+(\.0*)?(\s+-?(\d+(\.\d+)?|\.\d+)(e[-+]?\d+)?)+", re.IGNORECASE)
#: The value of ignored pixels in mask files.
_VOID = 255


def yolo(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages | Pairs:
    """Open images with the label files of Ultralytics YOLO.

    Args:
        root: a YAML file with ``train``, ``val`` and ``names``, or a folder that holds one. Or a folder of
            ``images``, ``labels`` and a file of names, ``classes.txt`` or ``obj.names``, with or without
            folders for the parts.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the classes that are wanted, in this order; by default all. Objects of others are
            background.
        overlapping: whether a pixel has the class of every object that it lies in, instead of that of the
            smallest.

    Raises:
        FailureError: there are no such files, no label file lies where it should, or all objects are boxes.
        OptionError: there is no such class, the split is empty, or several YAML files describe data.
    """
    check_split("yolo", split)
    project = _project(Path(root))
    found = _found(project, split)
    if project.masks:
        return _masks(project, found, classes, overlapping=overlapping)
    _check_outlines(project, {item.image: item.label for item in found.items})
    names = [project.names[number] for number in sorted(project.names)]
    labels = class_labels(names, classes, overlapping=overlapping, source=project.source)
    index = {number: labels.classes.index(n) for number, n in project.names.items() if n in labels.classes}
    images = [
        AnnotatedImage(
            name=item.name,
            part=item.part,
            image=item.image,
            source=item.label if item.label.is_file() else project.source,
            regions=partial(_regions, item.label, project.names, index),
        )
        for item in found.items
    ]
    return AnnotatedImages(images, labels, order="area", remarks=partial(_remarks, project, found))


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a YAML file of YOLO, or a folder with one or with ``images`` and ``labels``."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file is not None and glance.file.suffix.lower() not in (*_YAML, _DARKNET):
        return None
    try:
        project = _project(glance.path)
    except OptionError as error:
        return Recognition(summary=f"Ultralytics YOLO: {error}")
    except FailureError:
        return None
    count = many(len(project.names), "class")
    count = count if project.names else "classes without names"
    if project.source.is_file():
        parts = " and ".join(part for part, places in project.parts.items() if places)
        count += f", {parts} as {project.source.name} says"
    if project.masks:
        return Recognition(summary=f"Ultralytics semantic masks, {count}", masks=True)
    if project.keypoints:
        return Recognition(summary=f"YOLO keypoints, {count}: they are no masks")
    kinds = Counter(kind for path in _some_labels(project) for kind in _kinds(glance.head(path)))
    if kinds["other"] or not (kinds or project.source.is_file()):
        return None
    if not kinds:
        return Recognition(summary=f"Ultralytics YOLO, {count}; no label file was found")
    if not kinds["outline"]:
        return Recognition(summary=f"YOLO boxes, {count}: boxes are no masks")
    return Recognition(summary=f"YOLO-seg, {count}")


@dataclass(frozen=True)
class _Project:
    """The description of the data.

    Attributes:
        source: the YAML or ``.data`` file, or the folder where there is none.
        bases: folders that its paths may start from, the likeliest first.
        names: names of the classes, by number.
        parts: the folders, lists and images of train, val and test; of ``""`` what nobody has divided.
        masks: name of the folder of masks; empty where labels are text files.
        mapping: the class of each value in masks, or ``ignore_label``, where the file says it.
        keypoints: whether labels are boxes with points.
    """

    source: Path
    bases: tuple[Path, ...]
    names: Mapping[int, str]
    parts: Mapping[str, Sequence[str]]
    masks: str = ""
    mapping: Mapping[str, str] | None = None
    keypoints: bool = False


@dataclass(frozen=True)
class _Item:
    """An image and the file that says what lies in it, which need not exist."""

    name: str
    part: str
    image: Path
    label: Path


@dataclass(frozen=True)
class _Found:
    """The images of a split, and what there is to say of how they were found.

    Attributes:
        items: each image once.
        labels: where the labels of all splits lie.
        gone: what parts name, and what is not there.
        moved: what was found at another place than the file says.
        shared: names of images that several parts hold.
        twice: those that one part lists more than once.
    """

    items: Sequence[_Item]
    labels: frozenset[Path]
    gone: Sequence[str]
    moved: Sequence[str]
    shared: Sequence[str]
    twice: Sequence[str]


# What describes the data.


class _OtherError(FailureError):
    """A file or folder that is not in a YOLO format."""


def _project(root: Path) -> _Project:
    """Return what a file or a folder describes.

    Raises:
        FailureError: it is none of YOLO's, or damaged.
        OptionError: several files in the folder describe data.
    """
    if root.is_file():
        return _from_darknet(root) if root.suffix.lower() == _DARKNET else _from_yaml(root)
    found: list[_Project] = []
    damaged: FailureError | None = None
    for path in sorted(path for path in root.glob("*") if path.suffix.lower() in _YAML):
        try:
            found.append(_from_yaml(path))
        except _OtherError:
            continue
        except FailureError as error:
            damaged = error
    if len(found) > 1:
        names = listed([one.source.name for one in found])
        raise OptionError(f"{len(found)} files in {root} describe data: {names}. Say which: --data FILE")
    if found:
        return found[0]
    if damaged:
        raise damaged
    return _from_darknet(root / "obj.data") if (root / "obj.data").is_file() else _from_folders(root)


def _from_yaml(path: Path) -> _Project:
    try:
        if path.suffix.lower() not in _YAML or path.stat().st_size > _LARGEST_YAML:
            raise _OtherError(f"{path} is no YAML file of at most {_LARGEST_YAML >> 10} kB")
        text = readable(read_words(path))
        data = yaml.load(text, Loader=_LOADER) if "train" in text else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise _OtherError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(data, dict) or "train" not in data or not {"names", "nc"} & {*data}:
        raise _OtherError(f"{path} describes no data of YOLO's: it needs train, val and names")
    folder, told = path.parent, _text(data.get("path"))
    bases = (folder / told, folder, folder / Path(told).name) if told else (folder,)
    return _Project(
        source=path,
        bases=tuple(dict.fromkeys(bases)),
        names=_class_names(path, data),
        parts={
            "train": _places(path, data, "train"),
            "val": _places(path, data, "val" if "val" in data else "validation"),
            "test": _places(path, data, "test"),
        },
        masks=_text(data.get("masks_dir")),
        mapping=_mapping(path, data.get("label_mapping")),
        keypoints="kpt_shape" in data,
    )


def _mapping(path: Path, value: object) -> dict[str, str] | None:
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise FailureError(f"{path}: label_mapping must be a mapping of numbers to numbers")
    return {str(key).strip(): _text(said) or "ignore_label" for key, said in value.items()}


def _text(value: object) -> str:
    """Return a path as YAML has it, with slashes; empty where it has none."""
    text = value.strip().replace("\\", "/") if isinstance(value, str) else ""
    return "" if text.lower() in ("null", "~", "none") else text


def _places(path: Path, data: Mapping[str, Any], key: str) -> list[str]:
    value = data.get(key, "")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise FailureError(f"{path}: {key} must be a folder, a list of images (.txt), or several of them")
    return [text for one in values if (text := _text(one))]


def _class_names(path: Path, data: Mapping[str, Any]) -> dict[int, str]:
    """Return the names by number; ``class_0`` and so on where there is only ``nc``."""
    said, count = data.get("names") or None, str(data.get("nc", ""))
    number = int(count) if count.strip().isdecimal() else None
    if said is None and number is not None:
        said = [f"class_{index}" for index in range(min(number, 1 << 16))]
    pairs = (
        list(enumerate(said))
        if isinstance(said, list)
        else list(said.items() if isinstance(said, dict) else ())
    )
    if not pairs or not all(str(key).strip().isdecimal() and isinstance(name, str) for key, name in pairs):
        raise FailureError(f"{path}: names must be a list of names, or a mapping of numbers to names")
    names = {int(key): name.strip() for key, name in pairs}
    if number is not None and number != len(names):
        raise FailureError(f"{path}: nc is {number}, and names has {len(names)}: correct one of them")
    return distinct(names, path)


def _from_darknet(path: Path) -> _Project:
    """Return what an ``obj.data`` of Darknet says: lists of images, and a file of names."""
    rows = (line.partition("=") for line in lines_of(_words(path)))
    data = {key.strip(): _text(value) for key, _, value in rows}
    if not data.get("train"):
        raise _OtherError(f"{path} describes no data of Darknet's: it needs train and names")
    bases = (path.parent,)
    named = _located(data.get("names") or "obj.names", bases, [])
    if named is None:
        raise FailureError(f"{path} names no file of class names that is there")
    names = distinct(dict(enumerate(_name_lines(named))), named)
    parts = {
        "train": [data[key] for key in ("train",) if data.get(key)],
        "val": [data[key] for key in ("valid", "val") if data.get(key)],
        "test": [data[key] for key in ("test",) if data.get(key)],
    }
    return _Project(source=path, bases=bases, names=names, parts=parts)


def _from_folders(root: Path) -> _Project:
    """Return what a folder of images and labels without a YAML file comes to."""
    named = next((root / name for name in _NAMES if (root / name).is_file()), None)
    labels = (root / "labels").is_dir() or bool(_parts_in(root))
    if named is None and not labels:
        raise _OtherError(
            f"{root} holds neither a YAML file with train, val and names, nor a file of names "
            f"({listed(_NAMES)}) beside images and labels"
        )
    names = distinct(dict(enumerate(_name_lines(named))), named) if named else _names_above(root)
    whole = "images" if (root / "images").is_dir() else "."
    parts = _listed_parts(root) or _parts_in(root) or {"": [whole]}
    return _Project(source=root, bases=(root,), names=names, parts=parts)


def _listed_parts(root: Path) -> dict[str, list[str]]:
    """Return the lists of images that are called as parts are, such as ``train.txt``, if there are any."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.glob("*.txt")):
        part = part_named(path.stem)
        lines = lines_of(_words(path)) if part else []
        first = next((line.strip() for line in lines if line.strip()), "")
        if has_suffix(Path(first), searched_suffixes()):
            found[part].append(path.name)
    return dict(found)


def _parts_in(root: Path) -> dict[str, list[str]]:
    """Return the folders of images that are called as parts are: ``images/train`` or ``train/images``."""
    found: dict[str, list[str]] = defaultdict(list)
    for inner, places in (("images", "images/{}"), (".", "{}/images")):
        folder = root / inner
        names = [path.name for path in sorted(folder.iterdir())] if folder.is_dir() else []
        for name in names:
            if part_named(name) and (root / places.format(name)).is_dir():
                found[part_named(name)].append(places.format(name))
    return dict(found)


def _names_above(root: Path) -> Mapping[int, str]:
    """Return the names that the YAML file of the folder around says, of which this is a part; else none."""
    found: list[Mapping[int, str]] = []
    for path in root.absolute().parent.glob("*"):
        if path.suffix.lower() in _YAML:
            with suppress(FailureError):
                found.append(_from_yaml(path).names)
    return found[0] if len(found) == 1 else {}


def _name_lines(path: Path) -> list[str]:
    return [line.strip() for line in _words(path).rstrip().split("\n")]


def _words(path: Path) -> str:
    try:
        return read_words(path)
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error


# Where images lie, and their labels.


def _found(project: _Project, split: str) -> _Found:
    """Return the images of a split.

    Raises:
        FailureError: a folder or a list of the split is not there, or no image is.
        OptionError: the split is empty.
    """
    files: list[tuple[str, Path]] = []
    gone: dict[str, list[str]] = defaultdict(list)
    moved: list[str] = []
    for part, places in project.parts.items():
        for place in places:
            path = _located(place, project.bases, moved)
            if path is None:
                gone[part].append(place)
            else:
                files += [(part, file) for file in _images(path, project.bases, gone[part], moved)]
    if not files:
        places = listed([one for each in gone.values() for one in each])
        told = (
            f"{project.source} names {places}, and nothing of that name lies"
            if places
            else "there are no images"
        )
        raise FailureError(f"{told} in {_where(project)}: correct the path, or put the images there")
    labels = {file: _label(project, file) for _, file in files}
    if not project.masks:
        _check_outlines(project, labels)
    _check_found(project, split, files, gone)
    top = _top(project, files)
    said: dict[Path, str] = {}
    shared = [_name(file, top) for part, file in files if said.setdefault(file, part) != part]
    twice = [_name(file, top) for (_, file), times in Counter(files).items() if times > 1]
    # An image that two parts hold is in both, and once where all are asked for.
    taken = dict.fromkeys(file for part, file in files if split in ("all", part) or not part)
    names = [_name(file, top) for file in taken]
    parts = parted(names, [said[file] if split == "all" else split * bool(said[file]) for file in taken])
    items = [
        _Item(name, part, file, labels[file])
        for name, part, file in zip(names, parts, taken, strict=True)
        if split in ("all", part)
    ]
    if not items:
        raise OptionError(f"the split {split!r} of {project.source} is empty: it names no image of it")
    missing = [one for places in gone.values() for one in places]
    return _Found(items, frozenset(labels.values()), missing, moved, shared, twice)


def _check_found(
    project: _Project, split: str, files: Sequence[tuple[str, Path]], gone: Mapping[str, Sequence[str]]
) -> None:
    """Raise an error where what a split names is not there.

    Raises:
        FailureError: some of its images are not there, or none of any split.
        OptionError: all images of this split are missing.
    """
    parts = [part for part in project.parts if split in ("all", part) or not part]
    asked = [one for part in parts for one in gone.get(part, ())]
    if not asked or split == "all":
        return
    told = f"{project.source} names {listed(asked)}, and nothing of that name lies in {_where(project)}"
    if any(part in parts for part, _ in files):
        raise FailureError(f"{told}: correct the path, or put the images there")
    raise OptionError(f"the split {split!r} of {project.source} is empty: {told}")


def _where(project: _Project) -> str:
    return listed([str(base) for base in project.bases])


def _top(project: _Project, files: Sequence[tuple[str, Path]]) -> str:
    """Return the folder that names of images are relative to: the project's, if all lie below it."""
    folder = project.source if project.source.is_dir() else project.source.parent
    try:
        return os.path.commonpath([one.absolute() for one in {folder, *(file.parent for _, file in files)}])
    except ValueError:  # on several drives
        return ""


def _name(file: Path, top: str) -> str:
    """Return what an image is called: its path without suffix and without the folder ``images``."""
    return _prefix(file.parent, top) + file.stem


@lru_cache(maxsize=4096)  # folders are few, and images many
def _prefix(folder: Path, top: str) -> str:
    inner = os.path.relpath(folder, top) if top else folder.relative_to(folder.anchor)
    parts = list(Path(inner).parts)
    if "images" in parts:
        del parts[len(parts) - 1 - parts[::-1].index("images")]
    return "".join(f"{part}/" for part in parts)


def _label(project: _Project, image: Path) -> Path:
    """Return the label file of an image: in ``labels`` for an image in ``images``, else next to the image."""
    folder, suffix = (project.masks, ".png") if project.masks else ("labels", ".txt")
    name = image.stem + suffix
    home = _home(image.parent, folder)
    label, beside = home / name, image.parent / name
    if home == image.parent or label.is_file():
        return label
    return beside if beside != image and beside.is_file() else label


@lru_cache(maxsize=4096)
def _home(images: Path, folder: str) -> Path:
    """Return the folder of labels or masks for one of images."""
    parts = list(images.parts)
    if "images" not in parts:
        return images
    parts[len(parts) - 1 - parts[::-1].index("images")] = folder
    return Path(*parts)


def _located(text: str, bases: Sequence[Path], moved: list[str]) -> Path | None:
    """Return where a path of the file leads; where it starts on another machine, by its end.

    Args:
        text: the path.
        bases: folders that it may start from.
        moved: gets the path where only its end fits.
    """
    for base in bases:
        if (base / text).exists():
            return Path(os.path.normpath(base / text))
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    upwards = text.startswith("../")
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        if start and end == "images":
            break
        for base in bases:
            if (base / end).exists():
                if start or not upwards:
                    moved.append(text)
                return base / end
    return None


def _images(path: Path, bases: Sequence[Path], gone: list[str], moved: list[str]) -> Iterator[Path]:
    """Yield the images of a folder, of a list, or the image itself."""
    suffixes = searched_suffixes()
    if path.is_dir():
        yield from sorted(file for file in visible(path) if has_suffix(file, suffixes))
    elif path.suffix.lower() != ".txt":
        yield path
    else:
        folders: dict[str, Path | None] = {}
        for line in lines_of(_words(path)):
            text = line.strip().replace("\\", "/")
            if not text:
                continue
            folder, _, name = text.rpartition("/")
            if folder not in folders:
                folders[folder] = _located(folder, (path.parent, *bases), moved) if folder else path.parent
            where = folders[folder]
            if where is None or not (where / name).is_file():
                gone.append(text)
            else:
                yield where / name


# What labels say.


@dataclass(frozen=True, eq=False)
class _Outline:
    """Corners as shares of the image's width and height, ``(n, 2)`` float32."""

    corners: NDArray[np.float32]

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the outline and of what it encloses."""
        corners = self.corners * np.array(size[::-1], np.float32)
        return Polygon([corners.astype(np.float64)], "opencv").draw(size)


@dataclass(frozen=True, eq=False)
class _Object:
    """A line of a label file: the number of a class, and corners or a box."""

    number: int
    corners: NDArray[np.float32]
    box: bool


def _objects(path: Path, names: Mapping[int, str]) -> list[_Object]:
    """Return what a label file holds; nothing where there is no such file.

    Raises:
        MaskError: a line is none of YOLO's, or of a class that has no name.
    """
    try:
        lines = lines_of(read_words(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MaskError(f"{path} cannot be read: {error.strerror or error}") from error
    return [
        _object(f"{path}, line {n}", line, names) for n, line in enumerate(lines, start=1) if line.strip()
    ]


def _object(where: str, line: str, names: Mapping[int, str]) -> _Object:
    try:
        number, *values = [float(word) for word in line.split()]
    except ValueError:
        raise MaskError(
            f"{where} is not a class number and coordinates between blanks: {line[:60]!r}"
        ) from None
    if number not in names:
        raise MaskError(
            f"{where} is of class {number:g}, and the classes are {min(names)} to {max(names)}: name it, or "
            "correct the line"
        )
    if len(values) < 2 or len(values) % 2:
        last = "; with save_conf, Ultralytics writes the confidence last: take it out" * (len(values) > 2)
        raise MaskError(f"{where} has {len(values)} coordinates, and corners have two each{last}")
    corners = np.array(values, np.float32).reshape(-1, 2)
    if not (np.abs(corners) <= _FAR).all():
        raise MaskError(
            f"{where} holds {values[int(np.abs(corners).argmax())]:g}: coordinates are shares of the image's "
            "width and height, 0 to 1. Divide pixels by them"
        )
    if len(corners) != 2:
        return _Object(int(number), corners, box=False)
    (x, y), half = corners[0], corners[1] / 2
    left, top, right, bottom = x - half[0], y - half[1], x + half[0], y + half[1]
    ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    return _Object(int(number), ring, box=True)


def _regions(path: Path, names: Mapping[int, str], index: Mapping[int, int]) -> list[Region]:
    return [
        Region(_Outline(one.corners), None if one.box else index[one.number], layer=-one.box)
        for one in _objects(path, names)
        if one.number in index
    ]


def _kinds(text: str) -> Iterator[str]:
    """Yield what each line of the beginning of a label file is: an outline, a box, or something else."""
    *lines, last = text.split("\n")
    for line in (*lines, last) if len(text) < 60_000 else lines:
        count = len(line.split())
        if not count:
            continue
        if not _LINE.fullmatch(line.strip()):
            yield "other"
        else:
            yield "box" if count == 5 else "outline"


def _some_labels(project: _Project) -> list[Path]:
    """Return some label files that exist."""
    found: list[Path] = []
    for place in (place for places in project.parts.values() for place in places):
        path = _located(place, project.bases, [])
        images = () if path is None else islice(_quickly(path, project), 20 * _LOOK)
        found += islice((label for image in images if (label := _label(project, image)).is_file()), _LOOK)
    return found[:_LOOK]


def _quickly(path: Path, project: _Project) -> Iterator[Path]:
    if path.is_dir():
        return (file for file in visible(path) if has_suffix(file, searched_suffixes()))
    return _images(path, project.bases, [], [])


def _check_outlines(project: _Project, places: Mapping[Path, Path]) -> None:
    """Raise `FailureError` where labels can be no masks.

    Args:
        project: that they are of.
        places: where the label of each image lies, if it has one.
    """
    if project.keypoints:
        raise FailureError(
            f"{project.source} has a kpt_shape: its labels are boxes with points, and no masks"
        )
    if not project.names:
        raise FailureError(
            f"{project.source} has label files, and no file that names their classes: write "
            f"{project.source / _NAMES[0]}, one name a line, the first for class 0"
        )
    boxes, example = 0, None
    for label in places.values():
        if not label.is_file():
            continue
        kinds = Counter(_kinds(_words(label)))
        if kinds["outline"] or kinds["other"]:
            return
        boxes, example = boxes + kinds["box"], example or label
    if example is None:
        image, label = next(iter(places.items()))
        raise FailureError(
            f"none of the {many(len(places), 'image')} of {project.source} has a label file; {label} would "
            f"be that of {image}. Empty files stand for images without objects"
        )
    if boxes:
        raise FailureError(
            f"{project.source} has {many(boxes, 'box')} and no outline, as in {example}: a line "
            "of five numbers is a box, which is no mask. Export the data as YOLO segmentation, or draw "
            "outlines in the boxes"
        )


def _remarks(project: _Project, found: _Found) -> list[Remark]:
    """Return what there is to say of label files; all of them are read for it."""
    empty, boxes, thin, outside, damaged = [], [], [], [], []
    for item in found.items:
        try:
            objects = _objects(item.label, project.names)
        except MaskError as error:
            damaged.append(str(error))
            continue
        if not objects:
            empty.append(item.name)
        boxes += [item.name for one in objects if one.box]
        thin += [item.name for one in objects if not _area(one.corners)]
        outside += [item.name for one in objects if _outside(one.corners)]
    orphans = _orphans(found.labels)
    file = project.source.name
    return [
        *counted("damaged", "error", "cannot be read", "Correct these lines.", damaged, "label file"),
        *counted("missing", "warning", "lead nowhere", f"Correct them in {file}.", found.gone, "path"),
        *counted("moved", "note", "begin elsewhere", f"{file} says so; they end here.", found.moved, "path"),
        *counted(
            "listed-twice", "note", "are listed more than once", "Each counts once.", found.twice, "image"
        ),
        *counted(
            "in-several-parts",
            "warning",
            "are in several parts",
            f"Scores on images that were trained on mean nothing. Name other images for val in {file}, or "
            "delete its line val and pass split.share=0.1 split.of=train.",
            found.shared,
            "image",
        ),
        *counted(
            "boxes",
            "warning",
            "have a box and no outline",
            "What lies in them is neither trained on nor scored. Draw their outlines.",
            boxes,
            "object",
        ),
        *counted("orphan", "warning", "have no image", "Add the images.", orphans, "label file"),
        *counted("no-area", "note", "have no area", "A line or a point is drawn.", thin, "object"),
        *counted("outside", "note", "lie outside of the image", "They are not drawn.", outside, "object"),
        *without_objects(empty),
        *name_remarks(project.names.values()),
    ]


def _area(corners: NDArray[np.float32]) -> float:
    x, y = corners.astype(np.float64).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _outside(corners: NDArray[np.float32]) -> bool:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return bool((high <= 0).any() or (low >= 1).any())


def _orphans(known: frozenset[Path]) -> list[str]:
    """Return the label files beside those of images that belong to none."""
    folders = sorted({label.parent for label in known if label.parent.name != "images"})
    names = {Path(name).name for name in _NAMES}
    return [
        path.name
        for folder in folders
        for path in sorted(folder.glob("*.txt"))
        if path not in known and path.name not in names and any(_kinds(_words(path)))
    ]


# Masks beside images.


def _masks(project: _Project, found: _Found, classes: Sequence[str] | str, *, overlapping: bool) -> Pairs:
    """Return images with mask files, which ``masks_dir`` speaks of."""
    if overlapping:
        raise OptionError(f"{project.source} has masks (masks_dir), and overlapping is for outlines")
    pairs, alone = [], []
    for item in found.items:
        mask = _mask(item)
        if mask is None:
            alone.append(item.label)
        else:
            pairs.append(Pair(item.name, item.image, mask))
    if alone:
        raise FailureError(
            f"{len(alone)} of the {len(found.items)} images of {project.source} have no mask: there is no "
            f"{listed(alone, 4)}"
        )
    names = project.names
    if len(names) == 1:  # a mask of one class has two values
        names = {0: "background", 1: next(iter(names.values()))}
    values, ignored = _mapped(project, names)
    return valued_pairs(pairs, names, classes, source=project.source, values=values, ignored=ignored)


def _mapped(project: _Project, names: Mapping[int, str]) -> tuple[dict[int, int] | None, set[int]]:
    """Return the class of each value in masks, where the file says it, and the values that are ignored."""
    if project.mapping is None:
        return None, {_VOID}
    # A value that is not mentioned stays unchanged.
    values, ignored = {number: number for number in names}, {_VOID}
    for key, said in project.mapping.items():
        if not re.fullmatch(r"-?\d+", key) or not re.fullmatch(r"\d+|ignore_label", said):
            raise FailureError(
                f"{project.source}: label_mapping leads from {key} to {said}; it must lead from numbers to "
                "numbers of classes or to ignore_label"
            )
        if said in ("ignore_label", str(_VOID)):
            ignored.add(int(key))
            values.pop(int(key), None)
        elif int(said) not in names:
            raise FailureError(f"{project.source}: label_mapping leads to class {said}, which has no name")
        else:
            values[int(key)] = int(said)
    return values, ignored - {*values}


def _mask(item: _Item) -> Path | None:
    if item.label == item.image:
        return None
    paths = (item.label.with_suffix(suffix) for suffix in (".png", ".PNG", ".bmp", ".tif", ".tiff"))
    return next((path for path in paths if path.is_file()), None)
