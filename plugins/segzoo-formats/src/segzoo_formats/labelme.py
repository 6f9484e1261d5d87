"""Images annotated with labelme: the shapes of its JSON files, one file per image.

Shapes are drawn as labelme's own ``labelme2voc`` draws them: in the order of the file, with Pillow, points
and lines 10 pixels across. Shapes labelled ``__ignore__`` are ignored, ``_background_`` erases.

The files: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import codecs
import math
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import segzoo.json_text as json_text
from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Box,
    Ellipse,
    Line,
    Polygon,
    Region,
    Several,
    Stencil,
    as_names,
    check_split,
    class_labels,
    lines_of,
    listed,
    many,
    read_words,
    regular,
)
from segzoo.errors import FailureError, ImageError, MaskError, OptionError, did_you_mean
from segzoo.images import read_bytes
from segzoo.specs import Recognition
from segzoo_formats.drawing import corners, picture_mask
from segzoo_formats.json_files import MOST_BYTES
from segzoo_formats.search import (
    Images,
    apart,
    counted,
    files_below,
    files_of,
    index_of,
    name_remarks,
    of_split,
    part_of,
    parted,
    parts_in_words,
    plain_path,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance, Shape
    from segzoo.interfaces import ImageInfo, Remark

IGNORED, BACKGROUND = "__ignore__", "_background_"
#: Pixels across a point, and across a line.
_WIDTH = 10
#: How few points each kind of shape may have and still cover pixels.
_LEAST = {
    "polygon": 3,
    "rectangle": 2,
    "oriented_rectangle": 3,
    "rotation": 3,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "point": 1,
    "points": 1,
    "mask": 2,
}
_SHAPES = re.compile(r'"shapes"\s*:\s*\[')


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file of labelme: its files hold shapes and the path of an image."""
    files = files_below(glance, "*.json")
    some = [path for path in files[:20] if _is_ours(glance, path)]
    if not some:
        return None
    files = [*some, *files[20:]]  # those of other programs are not counted, as far as this looks
    parts = {part_of(path.relative_to(glance.folder).as_posix()) for path in files} - {""}
    divided = f", {parts_in_words(parts)} as the folders say" if parts else ""
    return Recognition(summary=f"labelme, {many(len(files), 'JSON file')}{divided}")


def _is_ours(glance: Glance, path: Path) -> bool:
    head = glance.head(path)
    if not head.lstrip().startswith("{") or not _SHAPES.search(head):
        return False
    return '"imagePath"' in head or ('"version"' in head and '"flags"' in head)


def labelme(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    encoding: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open a folder of labelme's files.

    The image is looked for in this order: at its ``imagePath``, by its name below ``root``, next to the
    annotation file under the same name, and inside the annotation file.

    Args:
        root: folder that holds ``.json`` files, also in folders below; folders ``train``, ``val`` and
            ``test`` are the parts. Without those the images are divided by their names. A single file
            works, too.
        split: ``train``, ``val``, ``test`` or ``all``.
        encoding: text encoding of the files, such as ``gbk``: old versions on Windows used the code page of
            the computer. By default UTF-8.
        classes: the labels to use, in this order; all others are background. By default those
            in ``labels.txt``, one a line, or all labels of all files, sorted.
        overlapping: whether a pixel has the class of every shape that it lies in, instead of the last one's.

    Raises:
        FailureError: there are no such files, images are missing, or ``labels.txt`` lacks a label.
        OptionError: a class is in no file, there are no labels at all, or the split is empty.
    """
    check_split("labelme", split)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    paths = [root] if root.is_file() else files_of(folder, ".json")
    _check_encoding(encoding)
    files = [_File(path, encoding) for path in paths]
    others = [one for one in files if one.foreign]
    files = [one for one in files if not one.foreign]
    if not files:
        raise FailureError(f"{root} holds no .json files of labelme")
    told = _told(folder)
    found = sorted({label for one in files for label in one.labels} - {IGNORED, BACKGROUND})
    if told:
        _check_told(told, files, folder)
    damaged = [one for one in files if one.damage]
    if damaged and not (told or found or classes):
        raise FailureError(damaged[0].damage)
    if not (told or found or classes):
        raise OptionError(
            f"none of the {many(len(files), 'file')} of {root} has a labelled shape, so that there are no "
            "classes: draw some, or say data.classes=[...] if all of them are background"
        )
    # Without a single shape the classes are only what the person says.
    labels = class_labels(told or found or as_names(classes), classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    images = Images(folder)
    names = [one.path.relative_to(folder).with_suffix("").as_posix() for one in files]
    said = [part_of(one.path.relative_to(folder).as_posix()) for one in files]
    parts = parted(names, said)
    listed_images = [
        one.annotated(name, part, images, index) for one, name, part in zip(files, names, parts, strict=True)
    ]
    return AnnotatedImages(
        of_split(listed_images, split, root),
        labels,
        remarks=[*_remarks(files, others, told or found), *apart(names, said)],
    )


@dataclass
class _File:
    """What is known of one file without its image.

    Attributes:
        path: the file.
        encoding: text encoding of the file; empty for UTF-8.
        damage: why it cannot be read; empty where it can.
        said: its ``imagePath``.
        size: (height, width), where it says them.
        holds_image: whether the image is inside.
        labels: labels of its shapes.
        flat: its shapes that cover no pixel, for remarks.
        outside: its shapes that lie outside the image.
        bare: its shapes without a label.
        foreign: whether it is JSON, but none of labelme's.
    """

    path: Path
    encoding: str = ""
    damage: str = ""
    said: str = ""
    size: tuple[int, int] | None = None
    holds_image: bool = False
    labels: set[str] = field(default_factory=set)
    flat: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    foreign: bool = False

    def __post_init__(self) -> None:
        try:
            data = _loaded(self.path, self.encoding)
        except MaskError as error:
            self.damage = str(error)  # It is an error of this one sample, raised when it is drawn.
            return
        self.foreign = not isinstance(data, dict) or not {"shapes", "imagePath"} & set(data)
        if self.foreign:
            return
        self.said = str(data.get("imagePath") or "")
        self.holds_image = bool(data.get("imageData"))
        height, width = data.get("imageHeight"), data.get("imageWidth")
        if type(height) is int and type(width) is int and height > 0 < width:
            self.size = height, width
        shapes = data.get("shapes")
        for number, shape in enumerate(shapes if isinstance(shapes, list) else ()):
            if isinstance(shape, dict):
                self._look(number, shape)

    def _look(self, number: int, shape: Mapping[str, Any]) -> None:
        label = _label(shape)
        if not label:
            self.bare.append(f"{self.path.name}: shape {number}")
            return
        self.labels.add(label)
        try:
            points = corners(shape["points"])
        except (KeyError, TypeError, ValueError):
            return
        called = f"{self.path.name}: shape {number}, {label!r}"
        if len(points) < _LEAST.get(_kind(shape), 1):
            self.flat.append(called)
        elif self.size and _kind(shape) not in ("circle", "point", "points", "line", "linestrip"):
            low, high = points.min(axis=0), points.max(axis=0)
            if (high < 0).any() or low[0] >= self.size[1] or low[1] >= self.size[0]:
                self.outside.append(called)

    def annotated(self, name: str, part: str, images: Images, index: Mapping[str, int]) -> AnnotatedImage:
        """Return the image with what lies in it."""
        stem = self.path.stem
        image = images.find(self.said, self.path.parent, stem=stem)
        inside = (
            partial(_image_inside, self.path, self.encoding) if image is None and self.holds_image else None
        )
        lost = self.path.parent / (PurePosixPath(plain_path(self.said)).name or f"{stem}.jpg")
        regions = partial(_regions, self.path, self.encoding, dict(index))
        return AnnotatedImage(name, part, image or lost, self.path, regions, self.size, inside)


def _remarks(files: Sequence[_File], others: Sequence[_File], labels: Sequence[str]) -> list[Remark]:
    empty = [one.path.name for one in files if not one.labels]
    return [
        *name_remarks(labels),
        *without_objects(empty, "shapes"),
        *counted(
            "no-area",
            "warning",
            "have too few points to cover a pixel",
            "Draw them again in labelme, or delete them.",
            [one for file in files for one in file.flat],
        ),
        *counted(
            "outside",
            "warning",
            "lie outside the image",
            "They may belong to an image of another size.",
            [one for file in files for one in file.outside],
        ),
        *counted(
            "no-label",
            "warning",
            "have no label: they are left out",
            "Give them a label in labelme, or delete them.",
            [one for file in files for one in file.bare],
        ),
        *counted(
            "damaged",
            "error",
            "cannot be read",
            next((one.damage for one in files if one.damage), ""),
            [one.path.name for one in files if one.damage],
            "JSON file",
        ),
        *counted(
            "other-files",
            "note",
            "are of another program and left out",
            "Move them away if they do not belong here.",
            [one.path.name for one in others],
            "JSON file",
        ),
    ]


def _told(root: Path) -> list[str]:
    for name in ("labels.txt", "class_names.txt"):
        if (root / name).is_file():
            lines = [line.strip() for line in lines_of(read_words(root / name))]
            return [line for line in lines if line and line not in (IGNORED, BACKGROUND)]
    return []


def _check_told(told: Sequence[str], files: Sequence[_File], folder: Path) -> None:
    known = {*told, IGNORED, BACKGROUND}
    for one in files:
        strange = sorted(one.labels - known)
        if strange:
            raise FailureError(
                f"{one.path} has shapes labelled {listed(list(map(repr, strange)))}, which labels.txt in "
                f"{folder} does not list{did_you_mean(strange[0], list(told))}: add the label there, or "
                "rename it in labelme"
            )


def _check_encoding(encoding: str) -> None:
    """Raise `OptionError` unless Python knows an encoding."""
    try:
        codecs.lookup(encoding or "utf-8")
    except (LookupError, TypeError) as error:
        raise OptionError(
            f"encoding must be the name of one, such as gbk or cp1252, got {encoding!r}"
        ) from error


def _loaded(path: Path, encoding: str) -> Any:
    """Return what a file says.

    Raises:
        MaskError: it cannot be read.
    """
    try:
        if encoding:
            return json_text.parse(regular(path).read_bytes().decode(encoding))
        return json_text.read(path, most=MOST_BYTES)
    except FileNotFoundError as error:
        raise MaskError(f"there is no {path} any more: put it back, or open the dataset again") from error
    except UnicodeDecodeError as error:
        raise MaskError(f"{path} is not in the encoding {encoding}: say another, or none") from error
    except (OSError, ValueError) as error:
        if not encoding and isinstance(error.__cause__, UnicodeDecodeError):
            raise MaskError(
                f"{path} is not in UTF-8: old versions of labelme wrote files in the code page of Windows. "
                "Say which, such as data.encoding=gbk or data.encoding=cp1252"
            ) from error
        told = getattr(error, "strerror", None) or error
        raise MaskError(f"{path} cannot be read as JSON: {told}") from error


def _read(path: Path, encoding: str) -> dict[str, Any]:
    data = _loaded(path, encoding)
    shapes = data.get("shapes") if isinstance(data, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise MaskError(f"{path} is no file of labelme's: it has no list of shapes. Move it away")
    return data


def _image_inside(path: Path, encoding: str) -> tuple[NDArray[Any], ImageInfo]:
    try:
        return read_bytes(base64.b64decode(_read(path, encoding)["imageData"]), f"{path}: the image inside")
    except (KeyError, TypeError, ValueError) as error:  # it is no text, or not base64
        raise ImageError(f"{path}: the image inside is damaged: {error}") from error


def _regions(path: Path, encoding: str, index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image."""
    regions = []
    for number, shape in enumerate(_read(path, encoding)["shapes"]):
        label = _label(shape)
        if label in (IGNORED, BACKGROUND) or label in index:
            drawn = _shape(path, number, shape)
            erases = label == BACKGROUND
            group = shape.get("group_id")
            regions.append(
                Region(drawn, index.get(label), number=None if group is None else str(group), erases=erases)
            )
    return regions


def _label(shape: Mapping[str, Any]) -> str:
    """Return the label of a shape; empty where it has none."""
    label = shape.get("label")
    return "" if label is None else str(label).strip()


def _kind(shape: Mapping[str, Any]) -> str:
    return str(shape.get("shape_type") or "polygon")


def _shape(path: Path, number: int, shape: Mapping[str, Any]) -> Shape:
    """Return the shape, as labelme draws it; of too few points one without pixels."""
    kind = _kind(shape)
    if kind not in _LEAST:
        raise MaskError(f"{path}: shape {number} is a {kind!r}; known are {', '.join(_LEAST)}")
    try:
        points = corners(shape["points"])
        if len(points) < _LEAST[kind]:
            return Several(())
        if kind == "mask":
            left, top = points[0].astype(int).tolist()
            return Stencil(picture_mask(base64.b64decode(shape["mask"])), top, left)
    except (KeyError, TypeError, ValueError) as error:
        raise MaskError(f"{path}: shape {number} is none of labelme's ({error}): draw it again") from error
    if kind == "rectangle":
        return Box(*points[:2].min(axis=0).tolist(), *points[:2].max(axis=0).tolist(), rule="pillow")
    if kind == "circle":
        (x, y), edge = points[0].tolist(), points[1].tolist()
        radius = math.dist((x, y), edge)
        return Ellipse((x, y), (radius, radius))
    if kind in ("line", "linestrip"):
        return Line(points, _WIDTH)
    if kind in ("point", "points"):
        return Several([Line(point[None], _WIDTH) for point in points])
    return Polygon([points], "pillow")
