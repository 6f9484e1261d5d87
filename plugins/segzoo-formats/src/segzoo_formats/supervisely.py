"""Images annotated in Supervisely: ``DATASET/img``, ``DATASET/ann`` and ``meta.json`` with the classes.

Polygons, masks and rectangles are drawn as Supervisely's own library draws them with OpenCV, later ones over
earlier ones: with their outlines, and a hole takes away its outline too. Lines, points, graphs and cuboids
have no area and are left out.

The format: https://developer.supervisely.com/getting-started/supervisely-annotation-format
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Box,
    Patch,
    Polygon,
    Region,
    Stencil,
    check_split,
    class_labels,
    many,
)
from segzoo.errors import FailureError, MaskError, SegzooError, did_you_mean
from segzoo.images import has_suffix, searched_suffixes
from segzoo.specs import Recognition
from segzoo_formats.drawing import corners, not_drawn, picture_mask
from segzoo_formats.json_files import read_json
from segzoo_formats.search import (
    apart,
    counted,
    index_of,
    name_remarks,
    of_split,
    part_named,
    part_of,
    parted,
    too_few_corners,
    unwrapped,
    without_objects,
)
from segzoo_formats.values import distinct

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance, Shape
    from segzoo.interfaces import Remark

SPLITS = ("train", "val", "test", "all")
_META, _ANNOTATIONS, _IMAGES = "meta.json", "ann", "img"
#: Kinds of shapes that cover pixels.
_DRAWN = ("polygon", "bitmap", "alpha_mask", "rectangle")
#: Bytes of a mask inside, unpacked: a few of them must not fill the memory.
_MOST_UNPACKED = 64 << 20
#: Datasets below each other that are looked for.
_LEVELS = 6
_SIZE = re.compile(r'"size"\s*:\s*\{\s*"(height|width)"\s*:\s*(\d+)\s*,\s*"(height|width)"\s*:\s*(\d+)\s*\}')


def supervisely(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open a project of Supervisely.

    Args:
        root: the project, with ``meta.json`` and a folder for each dataset; or one of these, with ``img`` and
            ``ann``. The parts are datasets that are called ``train``, ``val`` and ``test``, or the images'
            tags of those names; without either, the images are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the classes that are wanted, in this order; by default all, as ``meta.json`` lists
            them. Objects of others are background.
        overlapping: whether a pixel has the class of every object that it lies in, instead of the last one's.

    Raises:
        FailureError: it is no such project, a file is damaged, or images are missing.
        OptionError: there is no such class, or the split is empty.
    """
    check_split("supervisely", split)
    project = Path(root) if Path(root).is_dir() else Path(root).parent
    folders = _datasets(project)
    if not folders:
        raise FailureError(
            f"{root} holds no dataset of Supervisely: a folder with {_ANNOTATIONS} and {_IMAGES}"
        )
    found = [one for folder in folders for one in _files(folder, project)]
    meta = _meta(project, found)
    labels = class_labels(list(meta.kinds), classes, overlapping=overlapping, source=meta.source)
    index = index_of(labels)
    names = [one.name for one in found]
    said = [part_of(one.name) for one in found]
    if not any(said) and any(part_named(tag) for tag in meta.tags):
        said = [_tagged(one.path) for one in found]
    images = [
        AnnotatedImage(
            name=one.name,
            part=part,
            image=one.image,
            source=one.path,
            regions=partial(_regions, one.path, meta, index),
            size=_size(one.path),
        )
        for one, part in zip(found, parted(names, said), strict=True)
    ]
    return AnnotatedImages(
        of_split(images, split, root), labels, remarks=partial(_remarks, found, said, meta, folders)
    )


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a project of Supervisely, or a dataset of a project."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file is not None and glance.file.name != _META:
        return None
    inner = ["", *glance.folders()]
    files = [
        path for one in inner for path in glance.files("*.json", f"{one}/{_ANNOTATIONS}".lstrip("/"))[:1]
    ]
    if not files or not any(glance.has(f"{one}/{_IMAGES}".lstrip("/")) for one in inner):
        return None
    head = glance.head(files[0])
    if '"objects"' not in head or '"size"' not in head:
        return None
    try:
        meta = _read_meta(glance.folder)
    except FailureError:
        meta = None
    said = f", {many(len(meta.kinds), 'class')}" if meta else ""
    root = glance.folder if glance.file is not None else None
    return Recognition(summary=f"a project of Supervisely{said}", root=root)


@dataclass(frozen=True)
class _Meta:
    """The description of a project.

    Attributes:
        source: the file.
        kinds: the kind of shapes that each class has.
        numbers: the class of each id.
        tags: names of tags.
    """

    source: Path
    kinds: Mapping[str, str]
    numbers: Mapping[int, str]
    tags: Sequence[str]


@dataclass(frozen=True)
class _File:
    """An annotation file and its image."""

    name: str
    path: Path
    image: Path


def _datasets(root: Path) -> list[Path]:
    """Return the folders of datasets: those with ``ann`` and ``img``, also in datasets that hold others."""
    found, level = [], [root]
    for _ in range(_LEVELS):
        found += [one for one in level if (one / _ANNOTATIONS).is_dir() and (one / _IMAGES).is_dir()]
        level = [inner for one in level for inner in sorted(one.iterdir()) if inner.is_dir()]
        level = [one for one in level if one.name not in (_ANNOTATIONS, _IMAGES) and one.name[:1] != "."]
    return found


def _files(folder: Path, root: Path) -> list[_File]:
    """Return the annotation files of a dataset, each with its image, called ``a.jpg.json`` or ``a.json``."""
    images = {path.name: path for path in sorted((folder / _IMAGES).iterdir()) if path.is_file()}
    stems = {path.stem: path for path in images.values() if has_suffix(path, searched_suffixes())}
    found = []
    # Datasets of datasets lie in a folder `datasets`, which says nothing.
    inner = [part for part in folder.relative_to(root).parts if part != "datasets"]
    for path in sorted((folder / _ANNOTATIONS).glob("*.json")):
        image = images.get(path.stem) or stems.get(path.stem) or folder / _IMAGES / path.stem
        stem = image.stem if has_suffix(image, searched_suffixes()) else path.stem
        found.append(_File("/".join((*inner, stem)), path, image))
    return found


def _meta(root: Path, files: Sequence[_File]) -> _Meta:
    """Return what ``meta.json`` says, of the project or of what it is in; without it, what all files hold."""
    read = _read_meta(root)
    if read is not None:
        return read
    titles = {str(item.get("classTitle")) for one in files for item in _objects(one.path)}
    return _Meta(root, dict.fromkeys(sorted(titles), ""), {}, SPLITS)


def _read_meta(root: Path) -> _Meta | None:
    path = next((one / _META for one in (root, root.parent) if (one / _META).is_file()), None)
    if path is None:
        return None
    data = _read(path)
    rows = data.get("classes")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("title") for row in rows):
        raise FailureError(f"{path} is not Supervisely's: it has no list of classes with titles")
    distinct({number: str(row["title"]) for number, row in enumerate(rows)}, path)
    kinds = {str(row["title"]).strip(): str(row.get("shape", "")) for row in rows}
    numbers = {row["id"]: str(row["title"]).strip() for row in rows if isinstance(row.get("id"), int)}
    tags = data.get("tags")
    names = [str(tag.get("name")) if isinstance(tag, dict) else str(tag) for tag in tags or ()]
    return _Meta(path, kinds, numbers, names)


def _read(path: Path) -> dict[str, Any]:
    """Return what a JSON file says.

    Raises:
        FailureError: it cannot be read, or holds no object.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise FailureError(f"{path} is not Supervisely's: it holds no object")
    return data


def _objects(path: Path) -> list[dict[str, Any]]:
    rows = _read(path).get("objects")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FailureError(f"{path} is not Supervisely's: it has no list of objects")
    return rows


def _tagged(path: Path) -> str:
    """Return the part that an image's tags name."""
    tags = _read(path).get("tags")
    names = (tag.get("name", "") if isinstance(tag, dict) else tag for tag in tags or ())
    return next((part for name in names if (part := part_named(str(name)))), "")


def _size(path: Path) -> tuple[int, int] | None:
    """Return (height, width) as the beginning of a file says them: the rest may be megabytes of masks."""
    try:
        with path.open("rb") as file:
            said = _SIZE.search(file.read(4096).decode("utf-8", "replace"))
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error
    if said is None:
        return None
    sides = {said[1]: int(said[2]), said[3]: int(said[4])}
    return (sides["height"], sides["width"]) if len(sides) == 2 else None


# What lies in an image.


@dataclass(frozen=True, eq=False)
class _Holed:
    """A polygon whose holes take their outlines with them."""

    outer: NDArray[np.float64]
    holes: Sequence[NDArray[np.float64]]

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the polygon without its holes."""
        whole = Polygon([self.outer], "opencv").draw(size)
        if not self.holes or not whole.inside.size:
            return whole
        canvas = np.zeros(size, np.bool_)
        canvas[whole.place] = whole.inside
        for hole in self.holes:
            patch = Polygon([hole], "opencv").draw(size)
            canvas[patch.place] &= ~patch.inside
        return Patch(whole.top, whole.left, canvas[whole.place])


def _regions(path: Path, meta: _Meta, index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image.

    Raises:
        MaskError: a class is not listed, or a shape is damaged.
    """
    regions = []
    try:
        rows = _objects(path)
    except FailureError as error:
        raise MaskError(str(error)) from error
    for number, row in enumerate(rows):
        title, kind = _title(row, meta, f"{path}: object {number}"), _kind(row, meta)
        if kind not in _DRAWN or (title not in index and title != "background"):
            continue
        group = row.get("instance")
        regions.append(
            Region(
                _shape(row, kind, f"{path}: object {number}, a {kind} {title!r},"),
                index.get(title),
                number=None if group is None else str(group),
                erases=title == "background",
            )
        )
    return regions


def _title(row: Mapping[str, Any], meta: _Meta, where: str) -> str:
    title = row.get("classTitle")
    name = str(title).strip() if title else meta.numbers.get(row.get("classId", -1), "")
    if name not in meta.kinds:
        known = did_you_mean(name, list(meta.kinds))
        raise MaskError(f"{where} is of the class {name!r}, which {meta.source} does not list{known}")
    return name


def _kind(row: Mapping[str, Any], meta: _Meta) -> str:
    """Return the kind of a shape; files of old versions say it by what they hold, or by its class."""
    said = row.get("geometryType")
    if said:
        return str(said)
    if row.get("bitmap"):
        return "bitmap"
    kind = meta.kinds.get(str(row.get("classTitle")), "")
    return kind if kind and kind not in ("any", "bitmap") else "polygon"


def _shape(row: Mapping[str, Any], kind: str, where: str) -> Shape:
    try:
        if kind in ("bitmap", "alpha_mask"):
            held = row["bitmap"]
            left, top = held["origin"]
            return Stencil(_unpacked(held["data"]), int(top), int(left))
        outer = corners(row["points"]["exterior"])
        if kind == "rectangle":
            (left, right), (top, bottom) = (sorted(map(round, axis)) for axis in outer[:2].T.tolist())
            return Box(left, top, right + 1, bottom + 1)
        holes = [corners(ring) for ring in row["points"].get("interior") or ()]
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise not_drawn(where, error) from error
    return _Holed(outer, [hole for hole in holes if len(hole)])


def _unpacked(text: str) -> NDArray[np.bool_]:
    """Return a mask from the text of a picture, compressed or not: its transparency, else its values."""
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"its mask is no base64: {error}") from error
    if not packed.startswith(b"\x89PNG"):
        unpacking = zlib.decompressobj()
        packed = unpacking.decompress(packed, _MOST_UNPACKED)
        if unpacking.unconsumed_tail:
            raise ValueError(f"its mask is larger than {_MOST_UNPACKED >> 20} MB")
    return picture_mask(packed)


# What there is to say of the files.


def _is_thin(points: Any) -> bool:
    corners = points.get("exterior") if isinstance(points, dict) else None
    return isinstance(corners, list) and len(corners) < 3


def _remarks(
    files: Sequence[_File], parts: Sequence[str], meta: _Meta, folders: Sequence[Path]
) -> list[Remark]:
    """Return what there is to say of annotation files; all of them are read for it."""
    notes: dict[str, list[str]] = defaultdict(list)
    for one in files:
        try:
            rows = _objects(one.path)
            said = [(_title(row, meta, f"{one.path}: object"), _kind(row, meta), row) for row in rows]
        except SegzooError as error:
            notes["damaged"].append(str(error))
            continue
        if not rows:
            notes["empty"].append(one.name)
        for title, kind, row in said:
            where = f"{one.name}: {kind} {title!r}"
            if kind not in _DRAWN:
                notes["flat"].append(where)
            elif kind == "rectangle":
                notes["boxes"].append(where)
            elif kind == "polygon" and _is_thin(row.get("points")):
                notes["thin"].append(where)
    known = {one.image for one in files}
    bare = [path.name for one in folders for path in sorted((one / _IMAGES).iterdir()) if path not in known]
    return [
        *name_remarks(meta.kinds),
        *counted("damaged", "error", "cannot be read", "Export them again.", notes["damaged"], "file"),
        *counted("boxes", "note", "have a rectangle for an outline", "", notes["boxes"], "object"),
        *counted(
            "no-area", "note", "have no area: lines, points", "They are left out.", notes["flat"], "object"
        ),
        *too_few_corners(notes["thin"], "Supervisely"),
        *without_objects(notes["empty"]),
        *counted("no-annotation", "note", "have no annotation file", "They are not read.", bare, "image"),
        *apart([one.name for one in files], parts),
    ]
