"""Images annotated with the VGG Image Annotator (VIA), versions 1 and 2: projects, JSON and CSV files.

Polygons, rectangles, circles and ellipses are drawn, later ones over earlier ones; lines and points have no
area and are left out. What a region is called stands in one of its attributes.

The files: https://www.robots.ox.ac.uk/~vgg/software/via
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

import segzoo.json_text as json_text
from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Box,
    Ellipse,
    Polygon,
    Region,
    check_split,
    class_labels,
    listed,
    read_words,
)
from segzoo.errors import FailureError, MaskError, OptionError, did_you_mean
from segzoo.specs import Recognition
from segzoo_formats.drawing import finite, not_drawn
from segzoo_formats.json_files import read_json
from segzoo_formats.search import (
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
    part_named,
    part_of,
    parted,
    plain_path,
    several_files,
    too_few_corners,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from segzoo.datasets import Glance, Shape
    from segzoo.interfaces import Remark

#: Name of the only class, where regions have no attributes.
_OBJECT = "object"
#: Characters of a cell, which holds all corners of a region.
_LONGEST_CELL = 1 << 27
_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")


def via(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    annotations: str = "",
    attribute: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the regions of the VGG Image Annotator.

    Args:
        root: a JSON or CSV file of VIA, or a folder that holds one, or one for each part in folders below.
            Images lie next to the file or below the folder. Folders and files that are called ``train``,
            ``val`` and ``test`` are the parts; without any, the images are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        annotations: the one file below ``root`` that is read, if there are several.
        attribute: the attribute of regions that names their class, where they have several.
        classes: its values that are wanted, in this order; by default all, sorted. Regions of others are
            background.
        overlapping: whether a pixel has the class of every region that it lies in, instead of the last one's.

    Raises:
        FailureError: there is no such file, it is damaged, or images are missing.
        OptionError: it is not clear which attribute is meant, a class is not there, or the split is empty.
    """
    check_split("via", split)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    entries = [one for path in _files(root, annotations) for one in _entries(path)]
    chosen = _attribute(entries, attribute, root)
    found = sorted({name for one in entries for region in one.regions for name in region.names(chosen)})
    labels = class_labels(found or [_OBJECT], classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    images = Images(folder)
    names = [one.called(folder) for one in entries]
    said = [one.part(folder) for one in entries]
    here = [images.find(one.image, one.source.parent) for one in entries]
    made = [
        AnnotatedImage(
            name=name,
            part=part,
            image=path or one.source.parent / PurePosixPath(one.image).name,
            source=one.source,
            regions=partial(_regions, one, chosen, index),
        )
        for one, path, name, part in zip(entries, here, names, parted(names, said), strict=True)
    ]
    remarks = _remarks(entries, said, chosen, found)
    return AnnotatedImages(of_split(made, split, root), labels, remarks=remarks)


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a file of the VGG Image Annotator, or a folder with one."""
    files = few([*files_below(glance, "*.json"), *files_below(glance, "*.csv")])
    ours = [path for path in files if _is_ours(glance.head(path))]
    if not ours:
        return None
    kinds = " and ".join(sorted({path.suffix[1:].upper() for path in ours}))
    return Recognition(summary=f"VGG Image Annotator (VIA), {kinds}{several_files(len(ours))}")


def _is_ours(head: str) -> bool:
    if head.lstrip()[:1] == "{":
        marks = ('"filename"', '"regions"', '"file_attributes"')
        return '"_via_img_metadata"' in head or '"_via_settings"' in head or all(one in head for one in marks)
    return all(column in head.split("\n", 1)[0] for column in _COLUMNS)


@dataclass(frozen=True)
class _Region:
    """A region as the file has it."""

    shape: Mapping[str, Any]
    attributes: Mapping[str, Any]

    def names(self, attribute: str) -> list[str]:
        """Return the classes of the region: one, several where boxes were ticked, or none."""
        if not attribute:
            return [_OBJECT]
        value = self.attributes.get(attribute)
        if isinstance(value, dict):
            return [str(name).strip() for name, ticked in value.items() if ticked is True or ticked == "true"]
        return [text] if value is not None and (text := str(value).strip()) else []


@dataclass(frozen=True)
class _Entry:
    """An image with its regions, and the file that lists it."""

    source: Path
    image: str
    regions: Sequence[_Region]

    def called(self, folder: Path) -> str:
        """Return a unique name: several files may list images with the same name."""
        name = PurePosixPath(self.image).with_suffix("").as_posix().lstrip("/")
        inner = self.source.parent.relative_to(folder).as_posix()
        name = name if inner == "." else f"{inner}/{name}"
        part = part_named(self.source.stem)
        return f"{part}/{name}" if part and not part_of(name) else name

    def part(self, folder: Path) -> str:
        """Return the part that a folder or the file's name says."""
        said = part_of(self.source.relative_to(folder).as_posix()) or part_named(self.source.stem)
        return said or part_of(self.image)


# What the files hold.


def _files(root: Path, annotations: str) -> list[Path]:
    if annotations or root.is_file():
        return [root / annotations if annotations else root]
    found = [path for path in files_of(root, ".json", ".csv") if _is_ours(begins(path))]
    if not found:
        raise FailureError(f"{root} holds no JSON or CSV file of the VGG Image Annotator")
    beside: dict[Path, list[Path]] = defaultdict(list)
    for path in found:
        if not part_named(path.stem):
            beside[path.parent].append(path)
    for folder, paths in beside.items():
        if len(paths) > 1:
            raise FailureError(
                f"{folder} holds {len(paths)} files of the VGG Image Annotator: "
                f"{listed([path.name for path in paths])}. Choose one with data.annotations="
                f"{paths[0].relative_to(root).as_posix()}, or move the others away"
            )
    return found


def _entries(path: Path) -> list[_Entry]:
    """Return the images of a file.

    Raises:
        FailureError: it cannot be read, or is none of VIA's.
    """
    try:
        rows = _of_csv(path) if path.suffix.lower() == ".csv" else _of_json(path)
        found = [_Entry(path, image, regions) for image, regions in rows]
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"it has no {error}" if isinstance(error, KeyError) else error
        raise FailureError(f"{path} is no file of the VGG Image Annotator, or damaged: {told}") from error
    if not found:
        raise FailureError(f"{path} lists no images")
    return found


def _of_json(path: Path) -> Iterator[tuple[str, list[_Region]]]:
    data = read_json(path)
    for row in dict(data.get("_via_img_metadata", data)).values():
        said = row["regions"]
        # Version 1 numbers the regions by keys.
        regions = list(said.values()) if isinstance(said, dict) else said
        pairs = [(dict(one["shape_attributes"]), dict(one["region_attributes"] or {})) for one in regions]
        yield plain_path(str(row["filename"])), [_Region(*pair) for pair in pairs]


def _of_csv(path: Path) -> Iterator[tuple[str, list[_Region]]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(read_words(path).removeprefix("#"), newline="")))
    finally:
        csv.field_size_limit(before)
    found: dict[str, list[_Region]] = {}
    for row in rows:
        regions = found.setdefault(plain_path(row["filename"]), [])
        shape = json_text.parse(row["region_shape_attributes"] or "{}")
        if shape:
            regions.append(_Region(dict(shape), dict(json_text.parse(row["region_attributes"] or "{}"))))
    yield from found.items()


def _attribute(entries: Sequence[_Entry], told: str, root: Path) -> str:
    """Return the attribute that names classes; empty where regions have none.

    Raises:
        OptionError: there are several, or none of that name.
    """
    values: dict[str, set[str]] = defaultdict(set)
    for one in entries:
        for region in one.regions:
            for name in region.attributes:
                values[name].update(region.names(name))
    known = {name: sorted(found) for name, found in values.items() if found}
    if told:
        if told not in values:
            raise OptionError(f"{root} has no attribute {told!r}{did_you_mean(told, list(values))}")
        return told
    if len(known) > 1:
        shown = "; ".join(f"{name} ({listed(found, 4)})" for name, found in known.items())
        raise OptionError(
            f"the regions of {root} have {len(known)} attributes: {shown}. Choose the one that names the "
            f"class with data.attribute={next(iter(known))}"
        )
    return next(iter(known), "")


# What lies in an image.


def _regions(entry: _Entry, attribute: str, index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image.

    Raises:
        MaskError: a shape is damaged.
    """
    regions = []
    for number, one in enumerate(entry.regions):
        kind, names = one.shape.get("name"), one.names(attribute)
        if kind in _FLAT or _is_thin(one):
            continue
        where = f"{entry.source}: region {number} of {entry.image}"
        if not isinstance(kind, str) or kind not in _SHAPES:
            raise MaskError(f"{where} is a {kind!r}, which is none of VIA's shapes: {listed(list(_SHAPES))}")
        try:
            shape = _SHAPES[kind](one.shape)
        except (KeyError, TypeError, ValueError) as error:
            raise not_drawn(f"{where}, a {kind},", error) from error
        wanted = [index[name] for name in names if name in index]
        if not names:
            regions.append(Region(shape, None, layer=-1))
        regions += [Region(shape, label) for label in wanted]
        regions += [Region(shape, None, erases=True) for name in names if name == "background"]
    return regions


def _is_thin(region: _Region) -> bool:
    corners = region.shape.get("all_points_x")
    return region.shape.get("name") == "polygon" and isinstance(corners, list) and len(corners) < 3


def _polygon(said: Mapping[str, Any]) -> Shape:
    x, y = (np.array(said[key], np.float64) for key in ("all_points_x", "all_points_y"))
    if x.shape != y.shape or x.ndim != 1 or not (np.isfinite(x) & np.isfinite(y)).all():
        raise ValueError("all_points_x and all_points_y must be as many finite numbers")
    return Polygon([np.stack([x, y], axis=1)])


def _rectangle(said: Mapping[str, Any]) -> Shape:
    x, y, width, height = (finite(said, key) for key in ("x", "y", "width", "height"))
    return Box(x, y, x + width, y + height)


def _circle(said: Mapping[str, Any]) -> Shape:
    x, y, radius = (finite(said, key) for key in ("cx", "cy", "r"))
    return Ellipse((x, y), (radius, radius), rule="centre")


def _ellipse(said: Mapping[str, Any]) -> Shape:
    x, y, rx, ry = (finite(said, key) for key in ("cx", "cy", "rx", "ry"))
    return Ellipse((x, y), (rx, ry), math.degrees(float(said.get("theta") or 0)), "centre")


_SHAPES = {"polygon": _polygon, "rect": _rectangle, "circle": _circle, "ellipse": _ellipse}
#: Shapes without area.
_FLAT = ("polyline", "point")


def _remarks(
    entries: Sequence[_Entry], parts: Sequence[str], attribute: str, names: Sequence[str]
) -> list[Remark]:
    regions = [(one.image, region) for one in entries for region in one.regions]
    every = [(f"{image}: {region.shape.get('name')}", region) for image, region in regions]
    several = [where for where, region in every if len(region.names(attribute)) > 1]
    bare = [where for where, region in every if not region.names(attribute)]
    flat = [where for where, region in every if region.shape.get("name") in _FLAT]
    return [
        *name_remarks(names),
        *counted(
            "no-label",
            "warning",
            f"have no value of the attribute {attribute!r}",
            "What lies in them is neither trained on nor scored.",
            bare,
            "region",
        ),
        *counted(
            "several-classes",
            "warning",
            "have several classes",
            "The last one counts, or all with data.overlapping=true.",
            several,
            "region",
        ),
        *counted("no-area", "note", "have no area: lines and points", "They are left out.", flat, "region"),
        *too_few_corners([where for where, region in every if _is_thin(region)], "VIA"),
        *without_objects([one.image for one in entries if not one.regions], "regions"),
        *apart([one.image for one in entries], parts),
    ]
