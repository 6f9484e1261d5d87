"""Images with ImageJ's regions of interest: sets of the ROI Manager (``.zip``) and single ``.roi`` files.

Areas are read: rectangles, ovals, polygons, freehand and traced regions, ellipses and composites with holes;
each has the pixels whose centres lie inside. Lines, angles and points have no area. The extra ``imagej``
brings roifile, which decodes the files.

The files: https://imagej.net/ij/developer/source/ij/io/RoiDecoder.java.html
"""

from __future__ import annotations

import re
import zipfile
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
    Ellipse,
    Polygon,
    Region,
    check_choice,
    check_split,
    class_labels,
    listed,
    many,
)
from segzoo.errors import FailureError, MissingExtraError, OptionError
from segzoo.images import without_suffix
from segzoo.specs import Recognition
from segzoo_formats.search import (
    Images,
    apart,
    counted,
    few,
    files_below,
    files_of,
    index_of,
    name_remarks,
    of_split,
    part_of,
    parted,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from segzoo.datasets import Glance, Shape
    from segzoo.interfaces import Remark

#: What begins a ``.roi`` file.
_MAGIC = b"Iout"
#: Bytes of one region.
_MOST_BYTES = 64 << 20
#: The class of regions that name none.
_ONE_CLASS = "object"
#: The part of a set's file name that is not the image's name: ``a_rois.zip``, ``RoiSet_a.zip``.
_SET = re.compile(r"[-_ ]*(?:roi[-_ ]?sets?|rois?)[-_ ]*", re.IGNORECASE)
#: A name that segzoo gave, and what counts in names that ImageJ or people gave.
_WRITTEN = re.compile(r"\d{5}-(.+)")
_COUNTERS = re.compile(r"^[\d\W_]+|[\d\W_]+$")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file with regions of ImageJ."""
    sets = [path for path in few(files_below(glance, "*.zip", 1), 8) if _is_set(path)]
    single = [path for path in files_below(glance, "*.roi", 1) if glance.head(path).startswith("Iout")]
    if not sets and not single:
        return None
    said = [many(len(found), noun) for found, noun in ((sets, "set"), (single, "file")) if found]
    return Recognition(summary=f"ImageJ's regions of interest, {' and '.join(said)}")


def _is_set(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    return bool(names) and all(name.lower().endswith((".roi", "/")) for name in names)


def imagej(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    label: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the regions of ImageJ.

    Args:
        root: a set (``.zip``), a ``.roi`` file, or a folder that holds some, also in folders below. They are
            called as their image is, such as ``a.zip``, ``a_rois.zip``, ``RoiSet_a.zip`` or ``a.roi``; any
            name will do in a folder with one image. Folders ``train``, ``val`` and ``test`` are the parts;
            without those the images are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        label: what says a region's class: its ``name``, without counters before and after, or its ``group``;
            by default the name where segzoo wrote the set, else all regions are one class.
        classes: the classes to use, in this order; all others are background. By default all,
            sorted.
        overlapping: whether a pixel has the class of every region that it lies in, instead of the last one's.

    Raises:
        MissingExtraError: roifile is not installed.
        FailureError: there are no regions, a file is damaged, or it is not clear which image it belongs to.
        OptionError: a class is in no file, or the split is empty.
    """
    check_split("imagej", split)
    check_choice("label", label, ("", "name", "group"))
    root = Path(root)
    folder = root.parent if root.is_file() else root
    found: dict[Path, list[_Roi]] = defaultdict(list)
    images, sources, alone = Images(folder), dict[Path, Path](), []
    for path in _files(root):
        image = _image_of(path, images)
        if image is None:
            alone.append(path.name)
        else:
            found[image] += _read(path)
            sources.setdefault(image, path)
    if alone:
        raise FailureError(
            f"{root}: it is not clear which image {listed(alone)} belong to: call each as its image is "
            "called, such as a_rois.zip for a.tif"
        )
    every = [one for several in found.values() for one in several]
    if not label and every and all(_WRITTEN.fullmatch(one.name) for one in every):
        label = "written"
    names = sorted({name for one in every if one.shape is not None and (name := one.label(label))})
    if not names:
        raise OptionError(f"no region in {root} has an area and a {label or 'name'}: there are no classes")
    labels = class_labels(names, classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    called = [without_suffix(image.relative_to(folder)).as_posix() for image in found]
    said = [part_of(image.relative_to(folder).as_posix()) for image in found]
    entries = [
        AnnotatedImage(name, part, image, sources[image], partial(_regions, tuple(rois), label, dict(index)))
        for (image, rois), name, part in zip(found.items(), called, parted(called, said), strict=True)
    ]
    remarks = [*name_remarks(names), *_remarks(found, label), *apart(called, said)]
    return AnnotatedImages(of_split(entries, split, root), labels, remarks=remarks)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = [path for path in files_of(root, ".zip") if _is_set(path)]
    found += files_of(root, ".roi")
    if not found:
        raise FailureError(f"{root} holds no regions of ImageJ: no .roi files, and no .zip of them")
    return found


def _image_of(path: Path, images: Images) -> Path | None:
    stem = path.stem
    for one in dict.fromkeys((stem, _SET.sub("", stem), Path(stem).stem)):
        image = images.find(one, path.parent, stem=one) if one else None
        if image is not None:
            return image
    there = [image for image in images.every if image.parent == path.parent]
    return there[0] if len(there) == 1 else None


@dataclass(frozen=True)
class _Roi:
    """One region: the file that holds it, its name, group and shape; no shape where it has no area."""

    path: Path
    name: str
    group: int
    kind: str
    shape: Shape | None
    plane: int

    def label(self, by: str) -> str:
        """Return its class; empty where it has none."""
        if by == "written":
            found = _WRITTEN.fullmatch(self.name)
            return found[1] if found else ""
        if by == "group":
            return f"group {self.group}" if self.group else ""
        return _COUNTERS.sub("", self.name) if by == "name" else _ONE_CLASS


def _read(path: Path) -> list[_Roi]:
    """Return the regions of a file."""
    try:
        import roifile
    except ModuleNotFoundError as error:
        raise MissingExtraError("imagej needs roifile: pip install 'segzoo-formats[imagej]'") from error
    found = []
    for name, data in _contents(path):
        where = f"{path}: {name}" if path.suffix.lower() == ".zip" else str(path)
        try:
            if not data.startswith(_MAGIC):
                raise ValueError("it does not begin with Iout")
            roi = roifile.ImagejRoi.frombytes(data)
            shape = _shape(roi)
        except Exception as error:
            # roifile can raise any exception for a damaged number.
            raise FailureError(f"{where} is not a region of ImageJ, or damaged: {error}") from error
        plane = max(int(roi.position), int(roi.z_position), int(roi.t_position))
        called = str(roi.name or Path(name).stem)
        found.append(_Roi(path, called, int(roi.group), roi.roitype.name.lower(), shape, plane))
    return found


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.suffix.lower() != ".zip":
            yield path.name, path.read_bytes()
            return
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.lower().endswith(".roi") and not entry.filename.startswith("__MACOSX"):
                    if entry.file_size > _MOST_BYTES:
                        raise FailureError(f"{path}: {entry.filename} has more than {_MOST_BYTES >> 20} MB")
                    yield entry.filename, archive.read(entry)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        if isinstance(error, FailureError):
            raise
        raise FailureError(f"{path} cannot be read: {error}") from error


def _shape(roi: Any) -> Shape | None:
    """Return the shape of a region; ``None`` where it has no area."""
    kind = roi.roitype.name
    if roi.multi_coordinates is not None:
        rings = [np.asarray(ring, float) for ring in roi.coordinates(multi=True)]
        return Polygon([ring for ring in rings if len(ring) > 2])
    if kind in ("RECT", "OVAL"):
        left, top, right, bottom = (float(side) for side in (roi.left, roi.top, roi.right, roi.bottom))
        if roi.subpixelrect and roi.widthd and roi.heightd:
            left, top = float(roi.xd), float(roi.yd)
            right, bottom = left + float(roi.widthd), top + float(roi.heightd)
        if kind == "RECT":
            return Box(left, top, right, bottom)
        centre, radii = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
        return Ellipse(centre, radii, rule="centre")
    if kind in ("POLYGON", "FREEHAND", "TRACED"):
        points = np.asarray(roi.coordinates(), float).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise ValueError("a coordinate is not finite")
        return Polygon([points] if len(points) > 2 else [])
    return None


def _regions(rois: Sequence[_Roi], label: str, index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image."""
    regions = []
    for one in rois:
        name = one.label(label)
        if one.shape is not None and one.plane < 2 and (name in index or name == "background"):
            regions.append(Region(one.shape, index.get(name), erases=name == "background"))
    return regions


def _remarks(found: Mapping[Path, Sequence[_Roi]], label: str) -> list[Remark]:
    every = [one for rois in found.values() for one in rois]
    areas = [one for one in every if one.shape is not None]
    words = sorted({name for one in areas if (name := one.label("name"))})
    groups = sorted({name for one in areas if (name := one.label("group"))})
    hints = [f"data.label=name makes classes of {listed(words)}."] if words else []
    hints += [f"data.label=group makes classes of {listed(groups)}."] if groups else []
    return [
        *counted(
            "one-class",
            "note",
            "are all of one class",
            " ".join(hints) or "Give regions names or groups in ImageJ if there are several classes.",
            [one.name for one in areas] if not label else [],
            "region",
        ),
        *counted(
            "no-label",
            "warning",
            "have no class: they are left out",
            "Give them a name or a group in ImageJ.",
            [one.name for one in areas if not one.label(label)],
            "region",
        ),
        *counted(
            "no-area",
            "note",
            "have no area: lines, angles and points are left out",
            "Draw them as areas if they are to be trained.",
            [f"{one.name} ({one.kind})" for one in every if one.shape is None],
            "region",
        ),
        *counted(
            "other-planes",
            "warning",
            "lie on another slice than the first: they are left out",
            "Save the slices as images of their own, with a set each.",
            [one.name for one in areas if one.plane > 1],
            "region",
        ),
        *without_objects(
            [image.name for image, rois in found.items() if all(one.shape is None for one in rois)],
            "regions with an area",
        ),
    ]
