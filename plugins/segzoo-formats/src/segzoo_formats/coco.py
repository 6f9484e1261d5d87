"""Images annotated as COCO has them: polygons and run-length encoded masks of objects, in one JSON file.

A polygon holds the pixels whose centres lie inside it, by the even-odd rule. Objects are drawn in the order
of the file, so that later ones lie on earlier ones; or in the plane of their class, where classes overlap.
Crowds (``iscrowd``) are neither trained on nor scored, where no object lies on them.

The format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import json_text
from segzoo.datasets.splits import FOLDERS, check_split, split_of
from segzoo.errors import FailureError, MaskError, OptionError, did_you_mean
from segzoo.images import read_with_info
from segzoo.interfaces import Sample
from segzoo.options import listed
from segzoo.specs import Labels

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

SPLITS = ("train", "val", "test", "all")
#: Largest file in bytes; that of COCO's own training images has half of them.
_MOST_BYTES = 1 << 30
#: Patterns for the file of each split, and for the one file of data without splits.
_PARTS = ("annotations/instances_{}*.json", "annotations/{}*.json", "{}/_annotations.coco.json", "{}.json")
_WHOLE = ("annotations/*.json", "*.json")


def coco(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    annotations: str = "",
    classes: Sequence[str] = (),
    overlapping: bool = False,
) -> CocoDataset:
    """Open images with the objects of a COCO file.

    Args:
        root: holds ``annotations/instances_train*.json`` and so on, ``train/_annotations.coco.json``,
            ``train.json``, or one file for all, whose images are then divided by a hash of their names.
            Images lie beside the file, in ``root``, in ``images``, or in folders that are called as the part
            or the file is.
        split: ``train``, ``val``, ``test`` or ``all``.
        annotations: the file below ``root`` that holds all images, where there are several.
        classes: names of the categories that are wanted, in this order; by default all, by their ids. What
            belongs to others is background.
        overlapping: whether a pixel has the class of every object that it lies in, instead of the last one's.

    Raises:
        FailureError: there is no such file, it is none of COCO's, or images that it lists are not there.
        OptionError: there is no such category, or the split is empty.
    """
    check_split("coco", split, SPLITS)
    root = Path(root)
    files = [_File(root, part, path) for part, path in _files(root, annotations)]
    names = _names(files, classes)
    labels = Labels(classes=names if overlapping else ("background", *names), overlapping=overlapping)
    labels = replace(labels, ignore_index=labels.unused_index)
    found = [image for file in files for image in file.images(labels) if split in ("all", image.part)]
    if not found:
        raise OptionError(f"the split {split!r} of {root} is empty: none of its images falls into it")
    gone = [image for image in found if not image.path.is_file()]
    if gone:
        shown = listed([image.listed for image in gone])
        raise FailureError(
            f"{len(gone)} of the {len(found)} images that {gone[0].source} lists are not there: {shown}. Add "
            "them, or take them out of the file"
        )
    return CocoDataset(found, labels)


@dataclass(frozen=True)
class _Object:
    """One annotation: its class, its shape as the file has it, and whether it is a crowd."""

    number: Any
    index: int
    shape: Any
    crowd: bool


@dataclass(frozen=True)
class _Listed:
    """An image that a file lists, with its objects."""

    name: str
    part: str
    listed: str
    path: Path
    source: Path
    size: tuple[int, int] | None
    objects: tuple[_Object, ...]


class CocoDataset:
    """Samples with instances, unless classes overlap: each annotation is an object."""

    def __init__(self, images: Sequence[_Listed], labels: Labels) -> None:
        self.labels, self._images = labels, list(images)
        self.names = [image.name for image in images]
        name, times = Counter(self.names).most_common(1)[0]
        if times > 1:
            raise FailureError(f"{images[0].source}: {times} images are called {name!r}: rename all but one")

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that a sample is made of."""
        return self._images[index].path, self._images[index].source

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """Draw one sample.

        Raises:
            ImageError: the image cannot be read.
            MaskError: an object has no shape that COCO has, or the image has another size than is said of it.
        """
        one = self._images[index]
        image, info = read_with_info(one.path)
        size = image.shape[0], image.shape[1]
        if one.size not in (None, size):
            raise MaskError(
                f"{one.source} says that {one.listed} is {one.size} (height, width), and it is {size}: the "
                "file may belong to other images, or the image's EXIF data turns it"
            )
        sample = Sample(image=image, mask=np.empty(0, np.uint8), name=one.name, info=info)
        if self.labels.overlapping:
            return replace(sample, mask=self._planes(one, size))
        mask, instances = np.zeros(size, self.labels.index_type), np.zeros(size, np.int32)
        for number, (item, region) in enumerate(_drawn(one, size), start=1):
            mask[region] = self.labels.unused_index if item.crowd else item.index
            instances[region] = 0 if item.crowd else number
        return replace(sample, mask=mask, instances=instances)

    def _planes(self, one: _Listed, size: tuple[int, int]) -> NDArray[np.uint8]:
        planes = np.zeros((len(self.labels.classes), *size), np.uint8)
        for item, region in _drawn(one, size):
            planes[item.index][region] = self.labels.unused_index if item.crowd else 1
        return planes


class _File:
    """One file of COCO's.

    Raises:
        FailureError: it cannot be read, or is none.
    """

    def __init__(self, root: Path, part: str, path: Path) -> None:
        self.root, self.part, self.path = root, part, path
        try:
            data = json_text.read(path, most=_MOST_BYTES)
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise FailureError(f"{path} cannot be read as JSON: {told}") from error
        self._data = {key: self._table(data, key) for key in ("images", "annotations", "categories")}
        self.categories = {one.get("id"): str(one.get("name")) for one in self._data["categories"]}

    def _table(self, data: Any, key: str) -> list[dict[str, Any]]:
        rows = data.get(key) if isinstance(data, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FailureError(f"{self.path} is not in the COCO format: it has no list of {key}")
        return rows

    def images(self, labels: Labels) -> Iterator[_Listed]:
        """Yield its images with the objects of the classes."""
        index = {name: number for number, name in enumerate(labels.classes) if number != labels.background}
        objects: dict[Any, list[_Object]] = {}
        for one in self._data["annotations"]:
            if one.get("category_id") not in self.categories:
                raise FailureError(
                    f"{self.path}: annotation {one.get('id')} is of category {one.get('category_id')!r}, "
                    "which the file does not list"
                )
            number = index.get(self.categories[one["category_id"]])
            if number is not None:
                made = _Object(one.get("id"), number, one.get("segmentation"), bool(one.get("iscrowd")))
                objects.setdefault(one.get("image_id"), []).append(made)
        for one in self._data["images"]:
            file_name = str(one.get("file_name", "")).replace("\\", "/")
            name = PurePosixPath(file_name).with_suffix("").as_posix() if file_name else ""
            if not name:
                raise FailureError(f"{self.path}: image {one.get('id')} has no file_name")
            height, width = one.get("height"), one.get("width")
            size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
            yield _Listed(
                name=f"{self.part}/{name}" if self.part else name,
                part=self.part or split_of(name),
                listed=file_name,
                path=self._found(file_name),
                source=self.path,
                size=size,
                objects=tuple(objects.get(one.get("id"), ())),
            )

    def _found(self, name: str) -> Path:
        """Return where an image lies; beside the file where it lies nowhere."""
        words = [*FOLDERS.get(self.part, ()), self.path.stem, self.path.stem.removeprefix("instances_")]
        folders = [self.path.parent, self.root, self.root / "images"]
        folders += [folder / word for folder in (self.root, self.root / "images") for word in words]
        return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _files(root: Path, told: str) -> list[tuple[str, Path]]:
    """Return each split with its file; for data without splits, the one file and no name."""
    if told:
        return [("", root / told)]
    parts = []
    for part, words in FOLDERS.items():
        patterns = (pattern.format(word) for word in words for pattern in _PARTS)
        found = next((path for pattern in patterns for path in sorted(root.glob(pattern))), None)
        parts += [(part, found)] if found is not None else []
    if parts:
        return parts
    whole = [path for pattern in _WHOLE for path in sorted(root.glob(pattern))]
    if len(whole) != 1:
        there = listed([path.relative_to(root).as_posix() for path in whole]) or "none"
        raise FailureError(
            f"{root} needs one JSON file of COCO's, or one for each part, such as "
            f"annotations/instances_train.json; there is {there}. Say which: annotations=..."
        )
    return [("", whole[0])]


def _names(files: Sequence[_File], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes, and see that all files call their categories alike."""
    first = files[0]
    known = tuple(
        first.categories[key] for key in sorted(first.categories, key=lambda key: (str(type(key)), key))
    )
    for other in files[1:]:
        if other.categories != first.categories:
            raise FailureError(
                f"{other.path} has other categories than {first.path}: ids and names must be alike"
            )
    if isinstance(wanted, str):
        wanted = [name.strip() for name in wanted.split(",")]
    for name in wanted:
        if name not in known:
            raise OptionError(f"{first.path} has no category {name!r}{did_you_mean(name, known)}")
    return tuple(wanted) or known


def _drawn(one: _Listed, size: tuple[int, int]) -> Iterator[tuple[_Object, NDArray[np.bool_]]]:
    """Yield each object of an image and where it is, crowds first."""
    for item in sorted(one.objects, key=lambda item: not item.crowd):
        where = f"{one.source}: annotation {item.number} of {one.listed}"
        if isinstance(item.shape, dict):
            yield item, _from_runs(item.shape, size, where)
        elif isinstance(item.shape, list) and item.shape:
            yield item, _from_polygons(item.shape, size, where)
        else:
            raise MaskError(f"{where} has no segmentation: a box alone is no mask. Take it out, or draw it")


def _from_polygons(rings: Sequence[Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie inside any of the polygons, each ``[x, y, x, y, ...]``."""
    region = np.zeros(size, np.bool_)
    for ring in rings:
        numbers = isinstance(ring, list) and all(
            isinstance(value, int | float) and math.isfinite(value) for value in ring
        )
        if not numbers or len(ring) < 6 or len(ring) % 2:
            raise MaskError(f"{where}: a polygon is at least three points [x, y, x, y, ...], finite numbers")
        region |= _filled(np.array(ring, float).reshape(-1, 2), size)
    return region


def _filled(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie inside a polygon: to the right of an odd number of its edges."""
    height, width = size
    crossings = np.zeros((height, width + 1), np.int32)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        top, bottom = sorted((y0, y1))
        rows = np.arange(max(math.ceil(top - 0.5), 0), min(math.ceil(bottom - 0.5), height))
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.ceil(x - 0.5).clip(0, width).astype(np.int64)
            np.add.at(crossings, (rows, columns), 1)
    return (crossings.cumsum(axis=1)[:, :width] % 2).astype(np.bool_)


def _from_runs(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the pixels of runs: outside, inside, outside, ..., column by column."""
    counts, said = shape.get("counts"), shape.get("size")
    if said is not None and said != list(size):
        raise MaskError(f"{where}: its runs are of an image of {said}, and this one is {list(size)}")
    runs: list[Any] = (
        _counts(counts) if isinstance(counts, str) else counts if isinstance(counts, list) else []
    )
    whole = all(type(count) is int and count >= 0 for count in runs)
    if not whole or sum(runs) != size[0] * size[1]:
        raise MaskError(f"{where}: its runs do not fill the image: the file is damaged, or of other images")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(size[1], size[0]).T


def _counts(text: str) -> list[int]:
    """Return the counts of COCO's string; `segzoo.prediction.outputs.coco.compress_runs` writes such."""
    counts: list[int] = []
    value = place = 0
    for letter in text:
        digit = ord(letter) - 48
        value |= (digit & 31) << 5 * place
        place += 1
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << 5 * place
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = place = 0
    return counts
