"""The output formats of a conversion: the files of one sample, and the files at the end.

``coco``: ``annotations/instances_train.json`` and ``images/train``. ``yolo``: ``images/train``,
``labels/train`` and ``data.yaml``. ``folder``: ``train/images``, ``train/masks`` and ``classes.txt``; masks
hold class indices in the colours of the classes, or each class has a folder of masks if classes overlap.
``voc``: Pascal VOC's ``JPEGImages``, ``SegmentationClass``, ``SegmentationObject``, ``ImageSets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from segzoo.data_conversion.objects import objects_of
from segzoo.errors import OptionError
from segzoo.labels import file_words
from segzoo.options import as_word, many
from segzoo.prediction.outputs.coco import CocoWriter, category_ids, coco_annotation, patch_runs
from segzoo.prediction.outputs.outlines import outline_regions
from segzoo.prediction.outputs.yolo import data_yaml, label_lines
from segzoo.specs import VOC_VOID, voc_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO, Literal

    from numpy.typing import NDArray

    from segzoo.data_conversion.objects import Piece
    from segzoo.interfaces import Dataset, Sample
    from segzoo.prediction.outputs.outlines import Outline
    from segzoo.specs import Labels

#: The value of ignored pixels in masks.
_VOID = 255
#: The colour of ignored pixels, which is Pascal VOC's.
_VOID_COLOUR = list(VOC_VOID)
#: Suffixes of images that Ultralytics reads.
_ULTRALYTICS = (".bmp", ".jpeg", ".jpg", ".jp2", ".mpo", ".png", ".tif", ".tiff", ".webp")
#: Number of values in an 8-bit mask that may stand for classes.
_MOST_CLASSES = 255


@dataclass(frozen=True)
class Item:
    """A sample to convert.

    Attributes:
        dataset: dataset of the sample.
        index: index of the sample in it.
        sample: the sample.
        part: train, val or test.
        name: name of its files, without suffix.
    """

    dataset: Dataset
    index: int
    sample: Sample
    part: str
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the sample."""
        return self.sample.mask.shape[-2], self.sample.mask.shape[-1]


@dataclass(frozen=True)
class Entry:
    """A converted sample, as in the record of the conversion.

    Attributes:
        part: train, val or test.
        name: name of its files.
        image: path of its image, relative to the folder.
        size: (height, width).
        kept: data that the target needs again at the end.
    """

    part: str
    name: str
    image: str
    size: tuple[int, int]
    kept: Any


class Target(Protocol):
    """A format to convert to.

    Attributes:
        reader: name of the dataset that reads it.
    """

    reader: str

    def image(self, part: str, name: str, suffix: str) -> str:
        """Return the path of an image, relative to the folder."""
        ...

    def files(self, item: Item) -> tuple[Mapping[str, bytes], Any]:
        """Return the files of a sample by their paths in the folder, and data for the end."""
        ...

    def summary(
        self, entries: Callable[[], Iterable[Entry]], parts: Iterable[str]
    ) -> Mapping[str, Callable[[BinaryIO], object]]:
        """Return functions that write the files of the whole dataset, by their paths in the folder."""
        ...

    def options(self) -> list[str]:
        """Return the options that `segzoo train` needs, as words."""
        ...

    def notes(self, entries: Iterable[Entry]) -> list[str]:
        """Return what the format cannot store of the samples, one sentence each."""
        ...


class CocoTarget:
    """COCO, with one annotation file for each part; ignored regions are crowds.

    Args:
        labels: the classes.
        shapes: ``rle`` or ``polygons``; objects in several pieces become several polygons, those with holes
            become run lengths.
        simplify: maximum distance of simplified polygons from removed corners, in pixels.
    """

    reader = "coco"

    def __init__(self, labels: Labels, shapes: Literal["rle", "polygons"], simplify: float) -> None:
        self._labels, self._shapes, self._simplify = labels, shapes, simplify
        self._ids = category_ids(labels)

    def image(self, part: str, name: str, suffix: str) -> str:
        """Return the path of an image, relative to the folder."""
        return f"images/{part}/{name}{suffix}"

    def files(self, item: Item) -> tuple[Mapping[str, bytes], Any]:
        """Return no files, but the annotations for the end."""
        objects, void = objects_of(item.dataset, item.index, item.sample)
        found = [self._annotation(one, item.size) for one in self._outlined(objects)]
        return {}, found + [{**self._annotation(one, item.size), "iscrowd": 1} for one in self._plain(void)]

    def _outlined(self, objects: list[Piece]) -> list[Outline]:
        if self._shapes == "rle":
            return self._plain(objects)
        return outline_regions(objects, simplify=self._simplify)

    def _plain(self, pieces: list[Piece]) -> list[Outline]:
        return outline_regions(pieces, trace=False)

    def _annotation(self, one: Outline, size: tuple[int, int]) -> dict[str, Any]:
        if one.polygons and all(len(rings) == 1 for rings in one.polygons):
            shape: Any = [rings[0].ravel().tolist() for rings in one.polygons]
        else:
            shape = {"size": list(size), "counts": patch_runs(one.inside, one.top, one.left, size)}
        return coco_annotation(0, 0, self._ids[one.label], shape, one.area, one.box)

    def summary(
        self, entries: Callable[[], Iterable[Entry]], parts: Iterable[str]
    ) -> Mapping[str, Callable[[BinaryIO], object]]:
        """Return functions that write the annotations of each part."""

        def write(part: str) -> Callable[[BinaryIO], object]:
            def joined(file: BinaryIO) -> None:
                with CocoWriter(file, self._labels) as writer:
                    for one in entries():
                        if one.part == part:
                            writer.add(one.image.removeprefix(f"images/{part}/"), one.size, one.kept)

            return joined

        return {f"annotations/instances_{part}.json": write(part) for part in parts}

    def options(self) -> list[str]:
        """Return the options that `segzoo train` needs."""
        return ["data.overlapping=true"] if self._labels.overlapping else []

    def notes(self, entries: Iterable[Entry]) -> list[str]:
        """Return nothing: the format stores everything."""
        del entries
        return []


class YoloTarget:
    """Ultralytics YOLO, with a line for each piece of an object; it cannot store ignored regions.

    Args:
        labels: the classes.
        simplify: maximum distance of simplified outlines from removed corners, in pixels.
    """

    reader = "yolo"

    def __init__(self, labels: Labels, simplify: float) -> None:
        self._labels, self._simplify, self._alone = labels, simplify, False

    def image(self, part: str, name: str, suffix: str) -> str:
        """Return the path of an image, relative to the folder.

        Raises:
            OptionError: Ultralytics does not read this image format.
        """
        if suffix not in _ULTRALYTICS:
            raise OptionError(
                f"Ultralytics does not read {suffix} images, such as that of {name}: convert to coco or "
                "folder, or save the images as PNG or TIFF"
            )
        return f"images/{part}/{name}{suffix}"

    def files(self, item: Item) -> tuple[Mapping[str, bytes], Any]:
        """Return the label file, and the number of ignored regions that were left out."""
        objects, void = objects_of(item.dataset, item.index, item.sample)
        outlines = outline_regions(objects, simplify=self._simplify, course="pixels")
        lines = label_lines(outlines, self._labels, item.size)
        return {f"labels/{item.part}/{item.name}.txt": lines}, len(void)

    def summary(
        self, entries: Callable[[], Iterable[Entry]], parts: Iterable[str]
    ) -> Mapping[str, Callable[[BinaryIO], object]]:
        """Return a function that writes ``data.yaml``."""
        folders = {part: f"images/{part}" for part in parts}
        self._alone = "val" not in folders
        return {"data.yaml": lambda file: file.write(data_yaml(self._labels, folders))}

    def options(self) -> list[str]:
        """Return the options that `segzoo train` needs."""
        return ["data.overlapping=true"] if self._labels.overlapping else []

    def notes(self, entries: Iterable[Entry]) -> list[str]:
        """Return the number of ignored regions, and whether a part is missing."""
        count = sum(one.kept for one in entries)
        said = f"{many(count, 'ignored region', 'are')} background in the output: YOLO cannot store them"
        alone = "there is no part val, which Ultralytics needs: add one to data.yaml before training"
        return [*([said] if count else []), *([alone] if self._alone else [])]


class FolderTarget:
    """Two folders, ``images`` and ``masks``, for each part.

    Args:
        labels: the classes.
    """

    reader = "folder"

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._words = file_words(labels)

    def image(self, part: str, name: str, suffix: str) -> str:
        """Return the path of an image, relative to the folder."""
        return f"{part}/images/{name}{suffix}"

    def files(self, item: Item) -> tuple[Mapping[str, bytes], Any]:
        """Return the mask, or one for each class if classes overlap."""
        mask, folder = item.sample.mask, f"{item.part}/masks"
        if self._labels.overlapping:
            planes = zip(self._words, mask, strict=True)
            return {f"{folder}/{word}/{item.name}.png": mask_png(plane) for word, plane in planes}, None
        return {f"{folder}/{item.name}.png": mask_png(mask, self._labels)}, None

    def summary(
        self, entries: Callable[[], Iterable[Entry]], parts: Iterable[str]
    ) -> Mapping[str, Callable[[BinaryIO], object]]:
        """Return a function that writes ``classes.txt``."""
        names = "".join(f"{name}\n" for name in self._labels.classes)
        return {"classes.txt": lambda file: file.write(names.encode("utf-8", "backslashreplace"))}

    def options(self) -> list[str]:
        """Return the options that `segzoo train` needs."""
        labels = self._labels
        words = [f"data.classes={as_word(list(labels.classes))}"]
        if labels.overlapping:
            words.append("data.overlapping=true")
        elif labels.background != 0:
            behind = None if labels.background is None else labels.classes[labels.background]
            words.append(f"data.background={as_word(behind or 'none')}")
        if labels.ignore_index is not None:
            words.append(f"data.ignore_index={labels.ignore_index}")
        return words

    def notes(self, entries: Iterable[Entry]) -> list[str]:
        """Return nothing: the format stores everything."""
        del entries
        return []


class VocTarget:
    """Pascal VOC's folders; background is 0 and void 255.

    Args:
        labels: the classes.

    Raises:
        OptionError: classes overlap, or there are more than 8-bit masks can hold.
    """

    reader = "voc-masks"

    def __init__(self, labels: Labels) -> None:
        if labels.overlapping:
            raise OptionError(
                "Pascal VOC has one class per pixel, but these classes overlap: convert to coco, yolo or "
                "folder, or leave out data.overlapping"
            )
        if len(labels.foreground) >= _MOST_CLASSES:
            raise OptionError(
                f"masks of Pascal VOC hold at most {_MOST_CLASSES - 1} classes, but there are "
                f"{len(labels.foreground)}: convert to coco or folder, or choose some with data.classes=..."
            )
        self._labels = labels
        self._values = np.full(max(256, len(labels.classes)) + 1, _VOID, np.uint8)
        for value, index in enumerate(labels.foreground, start=1):
            self._values[index] = value
        if labels.background is not None:
            self._values[labels.background] = 0
        if labels.ignore_index is not None:
            self._values[labels.ignore_index] = _VOID

    def image(self, part: str, name: str, suffix: str) -> str:
        """Return the path of an image, relative to the folder."""
        return f"JPEGImages/{name}{suffix}"

    def files(self, item: Item) -> tuple[Mapping[str, bytes], Any]:
        """Return the masks of classes and of objects."""
        mask = self._values[item.sample.mask]
        objects, _ = objects_of(item.dataset, item.index, item.sample)
        numbers = np.zeros(item.size, np.uint8)
        if len(objects) >= _MOST_CLASSES:
            # An 8-bit mask does not have enough numbers.
            return {f"SegmentationClass/{item.name}.png": _voc_png(mask)}, True
        for number, (_, top, left, inside) in enumerate(objects, start=1):
            rows, columns = inside.shape
            numbers[top : top + rows, left : left + columns][inside] = number
        numbers[mask == 0], numbers[mask == _VOID] = 0, _VOID
        return {
            f"SegmentationClass/{item.name}.png": _voc_png(mask),
            f"SegmentationObject/{item.name}.png": _voc_png(numbers),
        }, None

    def summary(
        self, entries: Callable[[], Iterable[Entry]], parts: Iterable[str]
    ) -> Mapping[str, Callable[[BinaryIO], object]]:
        """Return functions that write the lists of the parts and the names of the classes."""

        def lists(*wanted: str) -> Callable[[BinaryIO], object]:
            def write(file: BinaryIO) -> None:
                for one in entries():
                    if one.part in wanted:
                        file.write(f"{one.name}\n".encode("utf-8", "surrogateescape"))

            return write

        names = ["background", *(self._labels.classes[index] for index in self._labels.foreground)]
        text = "".join(f"{name}\n" for name in names).encode("utf-8", "backslashreplace")
        kept = list(parts)
        found = {f"ImageSets/Segmentation/{part}.txt": lists(part) for part in kept}
        if {"train", "val"} <= {*kept}:
            found["ImageSets/Segmentation/trainval.txt"] = lists("train", "val")
        return {**found, "class_names.txt": lambda file: file.write(text)}

    def options(self) -> list[str]:
        """Return no options."""
        return []

    def notes(self, entries: Iterable[Entry]) -> list[str]:
        """Return how many images have too many objects to number."""
        count = sum(bool(one.kept) for one in entries)
        said = f"{many(count, 'image', 'have')} more than 254 objects: without a mask in SegmentationObject"
        return [said] if count else []


def mask_png(mask: NDArray[Any], labels: Labels | None = None) -> bytes:
    """Return class indices as a PNG, in the colours of the classes if they fit into a palette."""
    file = BytesIO()
    if labels is None:
        Image.fromarray(mask.astype(np.uint8)).save(file, "PNG")
    elif len(labels.classes) > _MOST_CLASSES + 1 or int(mask.max(initial=0)) > _VOID:
        Image.fromarray(mask.astype(np.uint16)).save(file, "PNG")
    else:
        _with_palette(mask, [value for colour in labels.colours for value in colour]).save(file, "PNG")
    return file.getvalue()


def _voc_png(mask: NDArray[np.uint8]) -> bytes:
    """Return a mask in Pascal VOC's colours, which spread the bits of the value over red, green and blue."""
    file, colours = BytesIO(), [level for value in range(256) for level in voc_colour(value)]
    _with_palette(mask, colours).save(file, "PNG")
    return file.getvalue()


def _with_palette(mask: NDArray[Any], colours: list[int]) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8))
    # With a shorter palette the PNG has fewer bits and cannot store void.
    image.putpalette((colours + _VOID_COLOUR * 256)[: 3 * 255] + _VOID_COLOUR)
    return image
