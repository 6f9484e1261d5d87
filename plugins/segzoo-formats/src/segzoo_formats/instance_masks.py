"""A mask file for each object: ``annotations/IMAGE_CLASS_0.png``, ``IMAGE_CLASS_1.png`` and so on.

Files of this kind are what pycococreator makes COCO files of. Pixels that are not 0 are the object. Where
objects lie on one another, the higher number is on top.

The program: https://github.com/waspinator/pycococreator
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segzoo.datasets import AnnotatedImage, AnnotatedImages, Region, Stencil, check_split, class_labels
from segzoo.errors import FailureError, MaskError
from segzoo.images import has_suffix, open_image, searched_suffixes
from segzoo.labels import read_mask
from segzoo.specs import Recognition
from segzoo_formats.lookup import check_partners
from segzoo_formats.search import (
    index_of,
    name_remarks,
    of_split,
    part_of,
    parted,
    unwrapped,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from segzoo.datasets import Glance

#: What folders of masks are called.
_FOLDERS = ("annotations", "masks", "instances", "instance_masks", "objects", "labels")
_OBJECT = re.compile(r"(?P<label>.+)_(?P<number>\d+)")
#: Masks that are looked at to recognise them.
_LOOKED_AT = 100


@dataclass(frozen=True)
class _Object:
    """One mask: its file, the stem of its image, its class and its number."""

    path: Path
    image: str
    label: str
    number: int


def recognise(glance: Glance) -> Recognition | None:
    """Recognise masks called by an image, a class and a number, of several objects or classes."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file:
        return None
    for parent in ("", *glance.folders()):
        for name in (one for one in glance.folders(parent) if one.lower() in _FOLDERS):
            masks = glance.files("*.png", f"{parent}/{name}".lstrip("/"))[:_LOOKED_AT]
            siblings = (one for one in glance.folders(parent) if one.lower() not in _FOLDERS)
            inner = (parent, *(f"{parent}/{one}".lstrip("/") for one in siblings))
            stems = {path.stem for one in inner for path in glance.files("*.*", one) if _is_image(path)}
            objects = [_object(path, stems) for path in masks]
            found = [one for one in objects if one is not None]
            several = len({one.label for one in found}) > 1 or len({one.image for one in found}) < len(found)
            if found and len(found) == len(objects) and several and _is_binary(masks[0]):
                told = f"a mask file for each object, IMAGE_CLASS_NUMBER.png in {name}"
                return Recognition(summary=told, masks=True)
    return None


def _is_binary(path: Path) -> bool:
    return len(np.unique(read_mask(path))) <= 2


def instance_masks(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images whose objects have a mask file each.

    Args:
        root: folder that holds a folder ``annotations`` (or ``masks``, ``instances``, ``objects``) of files
            ``IMAGE_CLASS_NUMBER.png``, and next to it the images or a folder of them; or folders ``train``,
            ``val`` and ``test`` of that. Without those, the images are divided by segzoo. Images without
            objects are background.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: classes to use, in this order; by default all, in the order of the alphabet.
        overlapping: whether a pixel has the class of every object that it lies in.

    Raises:
        FailureError: there are no such files, or a mask has no image.
        OptionError: there is no such class, or the split is empty.
    """
    check_split("instance-masks", split)
    root = Path(root)
    found = [one for place in _places(root) for one in _read(place, root)]
    if not any(objects for _, _, objects in found):
        raise FailureError(f"{root} holds no masks of objects: expected annotations/IMAGE_CLASS_NUMBER.png")
    names = sorted({one.label for _, _, objects in found for one in objects})
    labels = class_labels(names, classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    inner = [image.relative_to(root).with_suffix("").as_posix() for image, _, _ in found]
    parts = parted(inner, [part_of(folder.relative_to(root).as_posix() + "/") for _, folder, _ in found])
    images = [
        AnnotatedImage(
            name=name,
            part=part,
            image=image,
            source=objects[0].path if objects else folder,
            regions=partial(_regions, image, [one for one in objects if one.label in index], index),
        )
        for name, part, (image, folder, objects) in zip(inner, parts, found, strict=True)
    ]
    remarks = name_remarks(names)
    remarks += without_objects(
        [name for name, (_, _, objects) in zip(inner, found, strict=True) if not objects]
    )
    return AnnotatedImages(of_split(images, split, root), labels, remarks=remarks)


def _places(root: Path) -> list[Path]:
    """Return the folders of masks in the root and in the folders in it."""
    folders = sorted(one for one in root.iterdir() if one.is_dir()) if root.is_dir() else []
    inner = [two for one in folders for two in sorted(one.iterdir()) if two.is_dir()]
    return [one for one in (*folders, *inner) if one.name.lower() in _FOLDERS]


def _read(masks: Path, root: Path) -> list[tuple[Path, Path, list[_Object]]]:
    """Return each image that belongs to a folder of masks, that folder, and the image's objects."""
    beside = [one for one in sorted(masks.parent.iterdir()) if one.is_dir()]
    folders = [masks.parent, *(one for one in beside if one.name.lower() not in _FOLDERS)]
    images: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.iterdir()) if _is_image(path)):
        if path.stem in images:
            raise FailureError(
                f"{images[path.stem]} and {path} have one name: it is not clear whose masks are there"
            )
        images[path.stem] = path
    objects: dict[str, list[_Object]] = {}
    strange = []
    for path in sorted(path for path in masks.iterdir() if _is_image(path)):
        one = _object(path, images)
        if one is None:
            strange.append(path)
        else:
            objects.setdefault(one.image, []).append(one)
    check_partners(root, strange, "image: masks are called IMAGE_CLASS_NUMBER")
    return [
        (image, masks, sorted(objects.get(stem, ()), key=lambda one: one.number))
        for stem, image in images.items()
    ]


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and has_suffix(path, searched_suffixes()) and path.is_file()


def _object(path: Path, images: Iterable[str]) -> _Object | None:
    """Return what the name of a mask says; of two images whose names fit, the longer one is meant."""
    stem = path.stem
    for place in (place for place in range(len(stem) - 1, 0, -1) if stem[place] == "_"):
        said = _OBJECT.fullmatch(stem[place + 1 :])
        if said and stem[:place] in images:
            return _Object(path, stem[:place], said["label"], int(said["number"]))
    return None


def _regions(image: Path, objects: Sequence[_Object], index: dict[str, int]) -> list[Region]:
    """Read the masks of one image.

    Raises:
        MaskError: one cannot be read, or has another size than the image.
    """
    with open_image(image) as opened:
        info = opened.info
    sizes = {(info.height, info.width), (info.width, info.height) if info.orientation > 4 else (-1, -1)}
    regions = []
    for one in objects:
        values = read_mask(one.path)
        if values.shape not in sizes:
            raise MaskError(
                f"{one.path} is {values.shape}, and its image {image} is {info.height, info.width}"
            )
        rows, columns = (np.flatnonzero((values != 0).any(axis=axis)) for axis in (1, 0))
        if len(rows):
            top, left = int(rows[0]), int(columns[0])
            inside = values[top : rows[-1] + 1, left : columns[-1] + 1] != 0
            regions.append(Region(Stencil(inside, top, left), index[one.label]))
    return regions
