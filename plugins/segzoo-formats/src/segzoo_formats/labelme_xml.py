"""Images annotated in LabelMe of the MIT, the web tool: an XML file per image.

Polygons and masks are read, what was deleted is left out, and a smaller object lies on a larger one, such as
a part on its whole.

The files: http://labelme.csail.mit.edu
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from segzoo.datasets import (
    AnnotatedImage,
    AnnotatedImages,
    Polygon,
    Region,
    Several,
    Stencil,
    check_split,
    class_labels,
    many,
)
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.images import read_with_info
from segzoo.specs import Recognition
from segzoo_formats.drawing import corners
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
    part_of,
    parted,
    plain_path,
    several_files,
    without_objects,
)
from segzoo_formats.xml_text import check_plain

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance, Patch
    from segzoo.interfaces import Remark

_OBJECT = re.compile(r"<(?:polygon|segm|pt|imagesize)\b")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file of MIT's LabelMe by the beginning of its XML files."""
    files = [path for path in few(files_below(glance, "*.xml")) if _is_ours(glance.head(path))]
    if not files:
        return None
    told = f"LabelMe of the MIT, XML{several_files(len(files))}"
    # The masks of objects are image files, in which others see several sets of masks.
    return Recognition(summary=told, masks=glance.has("Masks"))


def _is_ours(head: str) -> bool:
    begins = "<annotation>" in head[:500] and "<filename>" in head
    return begins and "<bndbox>" not in head and bool(_OBJECT.search(head))


def labelme_xml(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the objects of LabelMe's XML files.

    Args:
        root: a file, or a folder with ``Annotations``, ``Images`` and, where there are any, ``Masks``.
            Folders ``train``, ``val`` and ``test`` are the parts; without those the images are divided by
            their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: the names that are trained, in this order; what has others is background. By default all,
            sorted.
        overlapping: whether a pixel has the class of every object that it lies in, instead of the smallest's.

    Raises:
        FailureError: there are no such files, one is damaged, or images are missing.
        OptionError: a class is in no file, there are no objects, or the split is empty.
    """
    check_split("labelme-xml", split)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    paths = [root] if root.is_file() else [path for path in files_of(root, ".xml") if _is_ours(begins(path))]
    if not paths:
        raise FailureError(f"{root} holds no XML files of LabelMe")
    files = [_read(path) for path in paths]
    found = sorted({one.name for file in files for one in file.objects})
    if not found:
        raise OptionError(f"no object in the {many(len(files), 'file')} of {root} has a name")
    labels = class_labels(found, classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    images = Images(folder)
    names = [file.path.relative_to(folder).with_suffix("").as_posix() for file in files]
    said = [part_of(file.path.relative_to(folder).as_posix()) for file in files]
    entries = [
        file.annotated(name, part, images, index)
        for file, name, part in zip(files, names, parted(names, said), strict=True)
    ]
    remarks = [*name_remarks(found), *_remarks(files), *apart(names, said)]
    return AnnotatedImages(of_split(entries, split, root), labels, order="area", remarks=remarks)


@dataclass(frozen=True)
class _Object:
    """One object: its name, and its corners or the file of its mask."""

    name: str
    corners: NDArray[np.float64]
    mask: str


@dataclass
class _File:
    """One file.

    Attributes:
        path: annotation file.
        image: the path of its image, as it says it.
        size: (height, width), where it says them.
        objects: those that were not deleted.
        bare: how many of them have no name.
        boxes: how many of them are boxes.
    """

    path: Path
    image: str
    size: tuple[int, int] | None
    objects: list[_Object] = field(default_factory=list)
    bare: int = 0
    boxes: int = 0

    def annotated(self, name: str, part: str, images: Images, index: Mapping[str, int]) -> AnnotatedImage:
        """Return the image with what lies in it."""
        image = images.find(self.image, self.path.parent, stem=self.path.stem)
        shapes = []
        for number, one in enumerate(self.objects):
            if one.name in index:
                where = f"{self.path}: object {number}, {one.name!r}"
                shapes.append((index[one.name], self._shape(one, images, where)))
        lost = self.path.parent / Path(self.image).name
        return AnnotatedImage(
            name, part, image or lost, self.path, partial(_regions, tuple(shapes)), self.size
        )

    def _shape(self, one: _Object, images: Images, where: str) -> Polygon | Several | _MaskFile:
        if one.mask:
            # Masks are stored like images, in a folder of the same name.
            said = f"{Path(self.image).parent.as_posix()}/{one.mask}"
            path = images.find(said, self.path.parent)
            if path is None:
                raise FailureError(f"{where} has the mask {one.mask}, which is not there: add it")
            return _MaskFile(path, where)
        return Polygon([one.corners]) if len(one.corners) > 2 else Several(())


@dataclass(frozen=True)
class _MaskFile:
    """A mask in a file of its own, as large as the image: what is not 0 in any band."""

    path: Path
    where: str

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return its pixels.

        Raises:
            MaskError: it has another size than the image.
        """
        inside = np.asarray((read_with_info(self.path)[0] > 0).any(axis=2))
        if inside.shape != size:
            raise MaskError(f"{self.where}: {self.path} is {inside.shape} (height, width), its image {size}")
        return Stencil(inside).draw(size)


def _regions(shapes: Sequence[tuple[int, Polygon | Several | _MaskFile]]) -> list[Region]:
    return [Region(shape, label) for label, shape in shapes]


def _read(path: Path) -> _File:
    try:
        check_plain(path)
        tree = ElementTree.parse(path).getroot()
        said = [tree.findtext(key, "").strip() for key in ("folder", "filename")]
        size = [int(tree.findtext(f"imagesize/{key}", "0").strip() or 0) for key in ("nrows", "ncols")]
        file = _File(
            path, plain_path("/".join(filter(None, said))), (size[0], size[1]) if all(size) else None
        )
        for one in tree.iterfind("object"):
            if one.findtext("deleted", "0").strip() == "1":
                continue
            points = [
                (point.findtext("x", ""), point.findtext("y", "")) for point in one.iterfind("polygon/pt")
            ]
            name, mask = one.findtext("name", "").strip(), one.findtext("segm/mask", "").strip()
            file.bare += not name
            file.boxes += one.findtext("type", "") == "bounding_box" and not mask
            file.objects += [_Object(name, corners(points), mask)] if name else []
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise FailureError(f"{path} is not LabelMe's, or damaged: {error}") from error
    return file


def _remarks(files: Sequence[_File]) -> list[Remark]:
    return [
        *counted(
            "boxes",
            "note",
            "are boxes: they are drawn as rectangles",
            "A model learns rectangles from them. Draw polygons for outlines.",
            [file.path.name for file in files for _ in range(file.boxes)],
            "object",
        ),
        *counted(
            "no-label",
            "warning",
            "have no name: they are left out",
            "Give them a name, or delete them.",
            [file.path.name for file in files for _ in range(file.bare)],
            "object",
        ),
        *counted(
            "no-area",
            "warning",
            "have too few points to cover a pixel",
            "Draw them again, or delete them.",
            [
                file.path.name
                for file in files
                for one in file.objects
                if not one.mask and len(one.corners) < 3
            ],
            "object",
        ),
        *without_objects([file.path.name for file in files if not file.objects]),
    ]
