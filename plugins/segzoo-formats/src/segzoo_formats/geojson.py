"""Images with polygons in GeoJSON, in map coordinates or in pixels, as GIS programs and segzoo write them.

A file with the name of an image belongs to it. Any other is a map of its own, and belongs to every
georeferenced image that its polygons reach.

The format: RFC 7946, and ``crs`` of GeoJSON of 2008
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Region,
    check_choice,
    check_split,
    class_labels,
    listed,
    many,
)
from segzoo.errors import FailureError, MaskError, OptionError, SegzooError, did_you_mean
from segzoo.images import has_suffix, open_image, readable_suffixes, without_suffix
from segzoo.specs import Recognition
from segzoo_formats.features import AREAS, kind_of, properties_of, read_features, shape_of
from segzoo_formats.search import (
    IMAGE_FOLDERS,
    Images,
    apart,
    begins,
    counted,
    few,
    files_below,
    files_of,
    index_of,
    name_remarks,
    of_split,
    part_of,
    parted,
    stems_of,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance
    from segzoo.interfaces import GeoReference, Remark

#: The system of files that name none, by RFC 7946: longitude and latitude.
_DEGREES = "EPSG:4326"
#: The class of polygons where no property says one.
_ONE_CLASS = "object"
_COLLECTION = re.compile(r'"type"\s*:\s*"FeatureCollection"')
_POLYGON = re.compile(r'"type"\s*:\s*"(?:Multi)?Polygon"')
_QUPATH = re.compile(r'"(?:objectType|object_type|isLocked)"')


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file with GeoJSON polygons, next to images, that is not from QuPath."""
    files = [*files_below(glance, "*.geojson"), *few(files_below(glance, "*.json"))]
    ours = [path for path in files[:20] if _is_ours(glance.head(path))]
    inner = ["", *(name for name in glance.folders() if name.lower() in IMAGE_FOLDERS)]
    suffixes = readable_suffixes()
    if not ours or not any(has_suffix(path, suffixes) for one in inner for path in glance.files("*", one)):
        return None
    return Recognition(summary=f"GeoJSON polygons beside images, {many(len(ours), 'file')}")


def _is_ours(head: str) -> bool:
    return bool(
        head.lstrip()[:1] == "{"
        and _COLLECTION.search(head)
        and _POLYGON.search(head)
        and '"properties"' in head
        and not _QUPATH.search(head)
    )


def geojson(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    label: str = "",
    coordinates: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the polygons of GeoJSON files.

    Args:
        root: a file, or a folder that holds ``.geojson`` files and images, also in folders below. A file with
            an image's name holds the polygons of that image; any other those of every georeferenced image
            that they reach. Folders ``train``, ``val`` and ``test`` are the parts; without those the images
            are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        label: the property that says a polygon's class; by default ``class`` where all have one, else all
            polygons are one class.
        coordinates: ``pixels`` if files of other programs hold pixels of the image without declaring it; by
            default what the file says, or longitude and latitude.
        classes: the classes to use, in this order; all others are background. By default all,
            sorted.
        overlapping: whether a pixel has the class of every polygon that it lies in, not the last one's alone.

    Raises:
        FailureError: there are no such files, one is damaged, an image is not georeferenced, or lies in
            another system and pyproj is missing.
        OptionError: no polygon has the property, a class is in no file, or the split is empty.
    """
    check_split("geojson", split)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    paths = [root] if root.is_file() else _files(root)
    check_choice("coordinates", coordinates, ("", "pixels"))
    files = {path: _File(path, pixels=coordinates == "pixels") for path in paths}
    label = _label(files.values(), label)
    found = sorted({name for one in files.values() for name in one.names(label)})
    if not found:
        raise OptionError(f"no polygon of {root} has a property {label!r}, or there are no polygons")
    labels = class_labels(found, classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    pairs, alone = _paired(files, Images(folder), root)
    names = [without_suffix(image.relative_to(folder)).as_posix() for image in pairs]
    said = [part_of(image.relative_to(folder).as_posix()) for image in pairs]
    entries = [
        AnnotatedImage(
            name, part, image, several[0].path, partial(_regions, tuple(several), label, dict(index))
        )
        for (image, several), name, part in zip(pairs.items(), names, parted(names, said), strict=True)
    ]
    remarks = [
        *name_remarks(found),
        *_remarks(list(files.values()), label, alone, pairs),
        *apart(names, said),
    ]
    return AnnotatedImages(of_split(entries, split, root), labels, remarks=remarks)


def _files(root: Path) -> list[Path]:
    there = files_of(root, ".geojson")
    found = there or [path for path in files_of(root, ".json") if _is_ours(begins(path))]
    if not found:
        raise FailureError(f"{root} holds no .geojson files")
    return found


class _File:
    """One file, and the system of its coordinates.

    Attributes:
        path: GeoJSON file.
        crs: coordinate system, such as ``"EPSG:4326"``; empty for that of the image.
        pixels: whether coordinates are pixels.
    """

    def __init__(self, path: Path, *, pixels: bool = False) -> None:
        self.path = path
        said, self.features = read_features(path)
        words = said.get("coordinates")
        words = words if isinstance(words, str) else ""
        self.pixels = pixels or words.startswith("pixels")
        named = said.get("crs")
        self.crs = "" if words or self.pixels else _DEGREES if named is None else _system(path, named)

    def areas(self) -> list[dict[str, Any]]:
        """Return the features with an area."""
        return [one for one in self.features if kind_of(one) in AREAS]

    def names(self, label: str) -> set[str]:
        """Return the classes of its polygons."""
        return {name for one in self.areas() if (name := _name(one, label))}


def _system(path: Path, said: Any) -> str:
    """Return the system that a file of 2008's GeoJSON names, as images name theirs."""
    inner = said.get("properties") if isinstance(said, dict) else None
    name = str(inner.get("name", "")) if isinstance(inner, dict) else ""
    code = re.search(r"EPSG:[\d.]*:?(\d+)$", name)
    if code:
        return f"EPSG:{code[1]}"
    if name.endswith("CRS84"):
        return _DEGREES
    raise FailureError(
        f"{path} has coordinates in {name or said}, a system that is not known: use an EPSG code"
    )


def _label(files: Iterable[_File], label: str) -> str:
    """Return the property that says classes; empty where all polygons are one class."""
    every = [properties_of(one) for file in files for one in file.areas()]
    if not label:
        return "class" if every and all(one.get("class") for one in every) else ""
    known = sorted({key for one in every for key in one})
    if label not in known:
        raise OptionError(f"no polygon has a property {label!r}{did_you_mean(label, known)}: {listed(known)}")
    return label


def _name(feature: Mapping[str, Any], label: str) -> str:
    if not label:
        return _ONE_CLASS
    value = properties_of(feature).get(label)
    return "" if value is None else str(value).strip()


@dataclass(frozen=True)
class _Part:
    """The part of a file that lies in an image.

    Attributes:
        path: GeoJSON file.
        place: turns its coordinates into pixels; ``None`` if they are pixels.
        numbers: numbers of the features; ``None`` for all of them.
    """

    path: Path
    place: _Place | None
    numbers: tuple[int, ...] | None = None


def _paired(
    files: Mapping[Path, _File], images: Images, root: Path
) -> tuple[dict[Path, list[_Part]], list[str]]:
    """Return the files of each image, and the georeferenced images that no polygon reaches.

    Raises:
        FailureError: a file has neither an image of its name nor a georeferenced one that it reaches.
    """
    pairs: dict[Path, list[_Part]] = defaultdict(list)
    maps = []
    for path, file in files.items():
        named = (images.find(stem, path.parent, stem=stem) for stem in stems_of(path))
        image = next((one for one in named if one is not None), None)
        if image is not None:
            pairs[image].append(_Part(path, None if file.pixels else _placing(file, image)))
        elif not file.pixels:
            maps.append(file)
        else:
            raise FailureError(f"{path} has coordinates in pixels, and there is no image called {path.stem}")
    apart, used = [], set()
    for image in images.every if maps else ():
        geo, size = _placed(image)
        if geo is None or image in pairs:
            continue
        reached = [
            _Part(file.path, place, numbers)
            for file in maps
            if (numbers := _reached(file, place := _Place(image, file.path, geo, file.crs), size))
        ]
        used.update(one.path for one in reached)
        if reached:
            pairs[image] = reached
        else:
            apart.append(image.name)
    lost = [file.path.name for file in maps if file.path not in used]
    if lost:
        raise FailureError(
            f"{listed(lost)} in {root}: there is no image of that name, and no georeferenced image that the "
            "polygons reach. Put the images there, or call the file as its image is called"
        )
    return dict(sorted(pairs.items())), apart


def _placing(file: _File, image: Path) -> _Place:
    geo, _ = _placed(image)
    if geo is None:
        raise FailureError(
            f"{file.path} has map coordinates, and {image} does not say where it lies on the ground: use a "
            "GeoTIFF, or say data.coordinates=pixels if they are pixels of the image"
        )
    return _Place(image, file.path, geo, file.crs)


@lru_cache(maxsize=4096)
def _placed(image: Path) -> tuple[GeoReference | None, tuple[int, int]]:
    """Return where an image lies on the ground, and its (height, width)."""
    try:
        with open_image(image) as opened:
            info = opened.info
            return info.geo if info.orientation == 1 else None, (info.height, info.width)
    except SegzooError:
        return None, (0, 0)


def _reached(file: _File, place: _Place, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the features that come into an image, by their bounding boxes."""
    numbers, boxes = _boxes(file)
    if not numbers:
        return ()
    left, top, right, bottom = boxes.T
    x, y = (left + right) / 2, (top + bottom) / 2
    # Another system bends the sides of a box, so the middles of its sides are looked at too.
    across, down = (left, x, right), (top, y, bottom)
    around = np.stack([np.stack([one, other], axis=1) for one in across for other in down], axis=1)
    points = place(around.reshape(-1, 2)).reshape(around.shape)
    low, high = points.min(axis=1), points.max(axis=1)
    spare = 0.05 * (high - low)
    low, high = low - spare, high + spare
    with np.errstate(invalid="ignore"):
        inside = (high > 0).all(axis=1) & (low < np.array(size[::-1])).all(axis=1)
    return tuple(number for number, there in zip(numbers, inside.tolist(), strict=True) if there)


def _boxes(file: _File) -> tuple[list[int], NDArray[np.float64]]:
    """Return the features with an area, and their bounding boxes, ``(n, 4)``: left, top, right, bottom."""
    numbers, boxes = [], []
    for number, one in enumerate(file.features):
        points = _points(one["geometry"]) if kind_of(one) in AREAS else np.zeros((0, 2))
        if len(points):
            numbers.append(number)
            boxes.append([*points.min(axis=0), *points.max(axis=0)])
    return numbers, np.array(boxes, float).reshape(-1, 4)


def _points(geometry: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return all corners of a geometry, ``(n, 2)``; none of what is damaged."""
    level: list[Any] = [geometry.get("coordinates"), *(geometry.get("geometries") or ())]
    found: list[Any] = []
    while level:
        one = level.pop()
        if isinstance(one, dict):
            level.append(one.get("coordinates"))
        elif isinstance(one, list) and one and isinstance(one[0], int | float):
            found.append(one[:2])
        elif isinstance(one, list):
            level += one
    try:
        return np.array(found, float).reshape(-1, 2)
    except (TypeError, ValueError):
        return np.zeros((0, 2))


@dataclass(frozen=True)
class _Place:
    """Turns coordinates of a file into pixels of an image.

    Raises:
        FailureError: they are of another system than the image's, and pyproj is missing.
    """

    image: Path
    file: Path
    geo: GeoReference
    crs: str

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``(n, 2)`` pixels."""
        if self.crs and self.crs != self.geo.crs:
            points = np.stack(self._transformer().transform(*points.T), axis=1)
        a, b, c, d, e, f = self.geo.transform
        x, y = points.T - np.array([[c], [f]])
        return np.stack([e * x - b * y, a * y - d * x], axis=1) / (a * e - b * d)

    def _transformer(self) -> Any:
        if not self.geo.crs:
            raise FailureError(
                f"{self.file} has coordinates in {self.crs}, and {self.image} names no reference system: "
                "write it into the image with gdal_edit.py -a_srs, or name the image's system in the file"
            )
        try:
            return _transformer(self.crs, self.geo.crs)
        except ImportError as error:
            short = self.geo.crs if len(self.geo.crs) < 40 else "another system"
            raise FailureError(
                f"{self.file} has coordinates in {self.crs}, and {self.image} lies in {short}: install "
                "pyproj, or transform the file with ogr2ogr -t_srs"
            ) from error


@lru_cache(maxsize=16)
def _transformer(before: str, after: str) -> Any:
    return import_module("pyproj").Transformer.from_crs(before, after, always_xy=True)


def _regions(parts: Sequence[_Part], label: str, index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image."""
    regions = []
    for part in parts:
        try:
            features = read_features(part.path)[1]
        except FailureError as error:
            raise MaskError(str(error)) from error
        for number in range(len(features)) if part.numbers is None else part.numbers:
            one = features[number]
            name = _name(one, label) if kind_of(one) in AREAS else ""
            if name in index or name == "background":
                shape = shape_of(one, f"{part.path}: feature {number}, {name!r},", part.place)
                regions.append(Region(shape, index.get(name), erases=name == "background"))
    return regions


def _remarks(
    files: Sequence[_File], label: str, apart: Sequence[str], pairs: Mapping[Path, Sequence[_Part]]
) -> list[Remark]:
    one_class = [file.path.name for file in files for _ in file.areas()] if not label else []
    known = sorted({key for file in files for one in file.areas() for key in properties_of(one)})
    other = f" Say data.label=PROPERTY if one of them is the class: {listed(known)}." if known else ""
    return [
        *counted(
            "one-class",
            "note",
            "are all of one class",
            f"No property says classes.{other}",
            one_class,
            "polygon",
        ),
        *counted(
            "no-label",
            "warning",
            f"have no property {label!r}: they are left out",
            "Give them one, or delete them.",
            [file.path.name for file in files for one in file.areas() if label and not _name(one, label)],
            "polygon",
        ),
        *counted(
            "no-area",
            "note",
            "have no area: points, lines and what has no geometry are left out",
            "",
            [file.path.name for file in files for one in file.features if kind_of(one) not in AREAS],
            "feature",
        ),
        *counted(
            "no-annotation",
            "note",
            "are reached by no polygon: they are left out",
            "Give an image without objects a file of its own name, with no features.",
            apart,
            "georeferenced image",
        ),
        *without_objects(
            [
                image.name
                for image, parts in pairs.items()
                if not any(file.areas() for file in files for one in parts if one.path == file.path)
            ],
            "polygons",
        ),
    ]
