"""Images annotated with CVAT: its XML files, for images and for video.

Polygons, masks, boxes and ellipses are drawn, as CVAT's own mask export does, by ``z_order`` and then in the
order of the file. Lines, points, cuboids and skeletons have no area and are left out. Files are read as a
stream; a document type, which could make a small file expand to gigabytes, is refused.

The files: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import numpy as np

from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Box,
    Ellipse,
    Polygon,
    Region,
    Several,
    Stencil,
    check_split,
    class_labels,
    listed,
    many,
    regular,
)
from segzoo.errors import FailureError, did_you_mean
from segzoo.specs import Recognition
from segzoo_formats.drawing import corners, finite, not_drawn, turned
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
from segzoo_formats.xml_text import check_plain

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from segzoo.datasets import Glance, Shape
    from segzoo.interfaces import Remark

#: Shapes that cover pixels, with what says where they lie.
_DRAWN = {
    "polygon": ("points",),
    "mask": ("rle", "left", "top", "width", "height"),
    "box": ("xtl", "ytl", "xbr", "ybr"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}
#: Shapes without area.
_FLAT = ("polyline", "points", "cuboid", "skeleton")
#: Pixels that the box of a mask may have.
_MOST_PIXELS = 1 << 30
_FRAME = re.compile(r"(?:frame_?)?0*(\d+)", re.IGNORECASE)
_LABEL = re.compile(r"<label>\s*<name>([^<]*)</name>")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file of CVAT: an XML file begins with its metadata and labels."""
    files = [path for path in _candidates(files_below(glance, "*.xml")) if _is_ours(glance.head(path))]
    if not files:
        return None
    head = glance.head(files[0])
    kind = "video" if "<mode>interpolation</mode>" in head and "<image " not in head else "images"
    labels = many(len(set(_LABEL.findall(head))), "label")
    return Recognition(summary=f"CVAT for {kind}, {labels}{several_files(len(files))}")


def _is_ours(head: str) -> bool:
    return "<annotations>" in head and "<version>" in head and ("<meta>" in head or "<image " in head)


def _candidates(paths: Sequence[Path]) -> list[Path]:
    """Return a few XML files of each folder, those that CVAT names before others."""
    return sorted(few(sorted(paths, key=lambda path: not path.name.startswith("annotations"))))


def cvat(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    annotations: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the shapes of CVAT's XML files.

    Args:
        root: a file ``annotations.xml``, or a folder that holds one or several of CVAT's XML files, also in
            folders below. Images lie in ``images``, next to the files, or anywhere below the folder. The
            parts are the subsets of the project, or the names of files and folders (``train.xml``,
            ``val/...``); without those the images are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        annotations: the one XML file below ``root`` that is read, if there are several.
        classes: the labels to use, in this order; all others are background. By default all
            labels, in the order of the files.
        overlapping: whether a pixel has the class of every shape that it lies in, instead of the last one's.

    Raises:
        FailureError: a file is damaged or not CVAT's, a shape has a label that is not listed, or images are
            missing.
        OptionError: a class is not listed, or the split is empty.
    """
    check_split("cvat", split)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    files = [_File(path) for path in _files(root, annotations)]
    names = list(dict.fromkeys(label for one in files for label in one.labels))
    labels = class_labels(names, classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    images = Images(folder)
    entries = [(one, entry) for one in files for entry in one.entries(images)]
    if not entries:
        raise FailureError(f"{root} lists no images: CVAT's file has neither images nor frames")
    called = [_called(one, entry, folder) for one, entry in entries]
    said = [entry.part or one.part(folder) for one, entry in entries]
    found = [
        AnnotatedImage(
            name,
            part,
            entry.file or one.path.parent / PurePosixPath(entry.name).name,
            one.path,
            partial(_regions, one.path, entry.name, tuple(entry.shapes), dict(index)),
            entry.size,
        )
        for (one, entry), name, part in zip(entries, called, parted(called, said), strict=True)
    ]
    return AnnotatedImages(
        of_split(found, split, root),
        labels,
        remarks=[*_remarks(files, [one for _, one in entries], names), *apart(called, said)],
    )


def _files(root: Path, annotations: str) -> list[Path]:
    if annotations or root.is_file():
        return [root / annotations if annotations else root]
    found = [path for path in files_of(root, ".xml") if _is_ours(begins(path))]
    if not found:
        raise FailureError(f"{root} holds no XML file of CVAT, such as annotations.xml")
    return found


class _Drawn(NamedTuple):
    """A shape as the file has it: its kind, its attributes and its label."""

    kind: str
    label: str
    said: Mapping[str, str]


@dataclass
class _Entry:
    """An image or a frame, with its shapes."""

    name: str
    part: str = ""
    subset: str = ""
    size: tuple[int, int] | None = None
    shapes: list[_Drawn] = field(default_factory=list)
    file: Path | None = None


class _File:
    """One XML file of CVAT's.

    Args:
        path: XML file to read.

    Raises:
        FailureError: it cannot be read, is not CVAT's, or a shape has a label that is not listed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.labels: list[str] = []
        self.flat: list[str] = []
        self.bare: list[str] = []
        self._images: list[_Entry] = []
        self._frames: dict[int, _Entry] = defaultdict(lambda: _Entry(""))
        #: Frames that lie between two of a track, in which CVAT would have to say where the shape is.
        self._gaps: list[tuple[int, int]] = []
        self.left_out: list[int] = []
        self._size: tuple[int, int] | None = None
        try:
            for event in _elements(path):
                self._take(event)
        except ElementTree.ParseError as error:
            raise FailureError(f"{path} is no XML file, or damaged: {error}") from error
        except OSError as error:
            raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error
        if not (self._images or self._frames or self.labels):
            raise FailureError(f"{path} is not CVAT's: it has neither labels nor images")

    def part(self, folder: Path) -> str:
        """Return the part that the name of the file or of a folder says."""
        return part_of(self.path.relative_to(folder).as_posix()) or part_named(self.path.stem)

    def entries(self, images: Images) -> Iterator[_Entry]:
        """Yield its images, with the files that they lie in; of a video all frames that lie there."""
        for entry in self._images:
            entry.file = self._found(images, entry)
            yield entry
        if self._frames or not self._images:
            yield from self._of_video(images)

    def _found(self, images: Images, entry: _Entry) -> Path | None:
        # A project's export has a folder for each subset, which is no part of the image's name.
        said = f"{entry.subset}/{entry.name}" if entry.subset else entry.name
        return images.find(said, self.path.parent)

    def _of_video(self, images: Images) -> Iterator[_Entry]:
        there = {int(found[1]): path for path in images.every if (found := _FRAME.fullmatch(path.stem))}
        if self._frames and not there:
            raise FailureError(
                f"{self.path} annotates a video, and no frames lie below {images.root}: put them there as "
                "frame_000000.png and so on, with the numbers of the file; or export 'CVAT for images' with "
                "'Save images'"
            )
        between = {number for number in there for first, last in self._gaps if first < number < last}
        self.left_out += sorted(between)
        for number in sorted({*there, *self._frames} - between):
            entry = self._frames[number]
            entry.name, entry.file, entry.size = f"frame_{number:06}", there.get(number), self._size
            yield entry

    def _take(self, element: ElementTree.Element) -> None:
        if element.tag == "label":
            name = (element.findtext("name") or "").strip()
            if name and element.find("parent") is None and name not in self.labels:
                self.labels.append(name)
        elif element.tag == "original_size":
            self._size = _whole(element.findtext("height")), _whole(element.findtext("width"))
        elif element.tag == "image":
            self._images.append(self._image(element))
        elif element.tag == "track":
            self._track(element)

    def _image(self, element: ElementTree.Element) -> _Entry:
        said = element.attrib
        name = plain_path(said.get("name", ""))
        if not name:
            raise FailureError(f"{self.path}: image {said.get('id')} has no name")
        size, subset = (_whole(said.get("height")), _whole(said.get("width"))), said.get("subset", "")
        entry = _Entry(name, part_named(subset) or part_of(name), subset, size if all(size) else None)
        for shape in element:
            self._add(entry, shape, shape.get("label", ""), entry.name)
        return entry

    def _track(self, element: ElementTree.Element) -> None:
        shown: list[tuple[int, bool]] = []
        for shape in element:
            frame, outside = _whole(shape.get("frame")), shape.get("outside") == "1"
            shown.append((frame, outside))
            if not outside:
                self._add(self._frames[frame], shape, element.get("label", ""), f"frame {frame}")
        shown.sort()
        for (first, outside), (last, _) in pairwise(shown):
            if not outside and last > first + 1:
                self._gaps.append((first, last))

    def _add(self, entry: _Entry, shape: ElementTree.Element, label: str, where: str) -> None:
        if shape.tag in _DRAWN and not label.strip():
            self.bare.append(f"{where}: {shape.tag}")
        elif shape.tag in _FLAT:
            self.flat.append(f"{where}: {shape.tag} {label!r}")
        elif shape.tag in _DRAWN:
            if label not in self.labels:
                raise FailureError(
                    f"{self.path}: a {shape.tag} in {where} has the label {label!r}, which the file does not "
                    f"list: there is {listed(self.labels)}{did_you_mean(label, self.labels)}"
                )
            wanted = (*_DRAWN[shape.tag], "z_order", "group_id", "rotation")
            said = {key: value for key in wanted if (value := shape.get(key))}
            entry.shapes.append(_Drawn(shape.tag, label, said))


def _elements(path: Path) -> Iterator[ElementTree.Element]:
    """Yield the elements of a file that matter, each forgotten after it.

    Raises:
        FailureError: the file has a document type.
    """
    check_plain(path)
    levels: list[ElementTree.Element] = []
    for event, element in ElementTree.iterparse(regular(path), events=("start", "end")):
        if event == "start":
            levels.append(element)
            continue
        levels.pop()
        if element.tag in ("image", "track", "label", "original_size"):
            yield element
        if element.tag in ("image", "track") and levels:
            levels[-1].remove(element)


def _whole(text: str | None) -> int:
    """Return an integer of at least 0; 0 where the text is none."""
    return int(text) if text and text.strip().isdecimal() else 0


def _called(one: _File, entry: _Entry, folder: Path) -> str:
    """Return a unique name: several tasks may have images with the same name."""
    name = PurePosixPath(entry.name).with_suffix("").as_posix()
    inner = one.path.parent.relative_to(folder).as_posix()
    name = name if inner == "." else f"{inner}/{name}"
    return f"{entry.part}/{name}" if entry.part and not part_of(name) else name


def _remarks(files: Sequence[_File], entries: Sequence[_Entry], names: Sequence[str]) -> list[Remark]:
    shapes = [(entry, shape) for entry in entries for shape in entry.shapes]
    boxes = [f"{entry.name}: {shape.label!r}" for entry, shape in shapes if shape.kind == "box"]
    alone = len(boxes) == len(shapes)
    return [
        *name_remarks(names),
        *counted(
            "boxes",
            "warning" if alone else "note",
            "are drawn as rectangles" + (": no shape says more than a box" if alone else ""),
            "Boxes are no outlines: a model learns rectangles from them. Draw polygons or masks.",
            boxes,
            "box",
        ),
        *counted(
            "no-area",
            "note",
            "have no area: lines, points, cuboids and skeletons are left out",
            "Draw them as polygons or masks if they are to be trained.",
            [one for file in files for one in file.flat],
        ),
        *too_few_corners(
            [
                f"{entry.name}: {shape.label!r}"
                for entry, shape in shapes
                if shape.kind == "polygon" and shape.said.get("points", "").count(";") < 2
            ],
            "CVAT",
        ),
        *counted(
            "no-label",
            "warning",
            "have no label: they are left out",
            "Give them a label in CVAT, or delete them.",
            [one for file in files for one in file.bare],
        ),
        *without_objects([entry.name for entry in entries if not entry.shapes], "shapes"),
        *counted(
            "between-keyframes",
            "warning",
            "lie between two keyframes of a track, of which the file says nothing: left out",
            "Export all frames from CVAT to train on them.",
            [f"frame {number}" for file in files for number in file.left_out],
            "frame",
        ),
    ]


def _regions(source: Path, image: str, shapes: Sequence[_Drawn], index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image."""
    regions = []
    for number, one in enumerate(shapes):
        if one.label not in index and one.label != "background":
            continue
        try:
            shape = _SHAPES[one.kind](one.said)
            layer, group = int(one.said.get("z_order", 0)), one.said.get("group_id", "0")
        except (KeyError, ValueError, OverflowError) as error:
            where = f"{source}: shape {number} of {image}, a {one.kind} {one.label!r},"
            raise not_drawn(where, error) from error
        group = None if group == "0" else group
        regions.append(Region(shape, index.get(one.label), layer, group, erases=one.label == "background"))
    return regions


def _polygon(said: Mapping[str, str]) -> Shape:
    points = corners(pair.split(",") for pair in said["points"].split(";") if pair.strip())
    return Polygon([points], RULE) if len(points) > 2 else Several(())


def _mask(said: Mapping[str, str]) -> Shape:
    """Return a mask: runs outside, inside, outside, ..., row by row, within its box."""
    left, top, width, height = (int(finite(said, key)) for key in ("left", "top", "width", "height"))
    if width * height > _MOST_PIXELS:
        raise ValueError(f"its box of {width} x {height} pixels is larger than any image")
    runs = np.array([int(run) for run in said["rle"].split(",")], np.int64)
    # Each is compared too: a sum of huge runs may begin anew at 0.
    strange = (runs < 0).any() or (runs > width * height).any()
    if strange or width < 0 or height < 0 or int(runs.sum()) != width * height:
        raise ValueError(f"its runs do not fill its box of {width} x {height} pixels")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Stencil(inside.reshape(height, width), top, left)


def _box(said: Mapping[str, str]) -> Shape:
    left, top, right, bottom = (finite(said, key) for key in _DRAWN["box"])
    degrees = finite(said, "rotation", 0)
    if not degrees:
        return Box(left, top, right, bottom)
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Polygon([turned(ring, degrees, ring.mean(axis=0))], RULE)


def _ellipse(said: Mapping[str, str]) -> Shape:
    x, y, rx, ry = (finite(said, key) for key in _DRAWN["ellipse"])
    return Ellipse((x, y), (rx, ry), finite(said, "rotation", 0), "centre")


#: CVAT turns polygons into masks with pycocotools.
RULE = "coco"
_SHAPES = {"polygon": _polygon, "mask": _mask, "box": _box, "ellipse": _ellipse}
