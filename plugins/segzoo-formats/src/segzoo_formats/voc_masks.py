"""Your own images with masks in Pascal VOC's folders: ``JPEGImages`` and ``SegmentationClass``.

Masks are PNG files with a palette, whose values are the classes' indices, or pictures in colours. Values of
255, and the colour 224, 224, 192, are ignored. Lists in ``ImageSets/Segmentation`` say which image
belongs to which part.

The folders: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import (
    FOLDERS,
    Pair,
    Pairs,
    as_names,
    by_name,
    check_split,
    divided,
    evenly_spread,
    find_root,
    lines_of,
    listed,
    many,
    read_words,
)
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.images import without_suffix
from segzoo.interfaces import Remark
from segzoo.labels import colour_number, packed, read_mask
from segzoo.specs import VOC_VOID, Labels, Recognition, voc_colour
from segzoo_formats.labelmap import BACKGROUND, IGNORED, read_label_map
from segzoo_formats.search import counted, name_remarks

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance
    from segzoo.labels import Colour

#: Folders of masks; labelme wrote arrays into the second one, and pictures into the first.
_MASKS = ("SegmentationClassPNG", "SegmentationClass")
_IMAGES, _LISTS = "JPEGImages", "ImageSets/Segmentation"
_LABEL_MAP = "labelmap.txt"
_NAMES = ("class_names.txt", "classes.txt", "labels.txt")
#: Masks that are opened to see which values they hold, evenly spread.
_LOOKED_AT = 100
#: Pascal VOC's own classes, in the order of their values, and what its images are called.
VOC_CLASSES = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
#: The value of ignored pixels.
_VOID = 255
#: Pascal VOC 2012 has 2,913 masks, and this is the first; a part of it has as many at least.
_FIRST_2012, _FEWEST_2012 = "2007_000032", 1000
_OWN_NAME = re.compile(r"20(?:0[7-9]|1[0-2])_\d{6}")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``SegmentationClass`` beside ``JPEGImages`` or a label map, here or in ``VOCdevkit``."""
    inner = ["", *glance.folders(), *(f"VOCdevkit/{name}" for name in glance.folders("VOCdevkit"))]
    found = [one for one in inner if _is_root(glance, one) and not _is_voc_2012(glance, one)]
    places = [glance.folder / one for one in found]
    if glance.file or len(places) != 1:  # two datasets side by side are not one
        return None
    root = places[0]
    names = next((name for name in (_LABEL_MAP, *_NAMES) if (root / name).is_file()), "")
    said = f"classes as {names} says" if names else "classes without names"
    lists = [path.name for path in glance.files("*.txt", str(root.relative_to(glance.folder) / _LISTS))]
    parts = f"parts as {listed(lists)} of ImageSets/Segmentation" if lists else "parts made by segzoo"
    told = f"masks in Pascal VOC's folders, {said}, {parts}"
    return Recognition(summary=told, root=root if root != glance.folder else None, masks=True)


def _is_root(glance: Glance, inner: str) -> bool:
    named = any(glance.has(f"{inner}/{name}".lstrip("/")) for name in (_IMAGES, _LABEL_MAP))
    return named and any(glance.files("*.png", f"{inner}/{masks}".lstrip("/")) for masks in _MASKS)


def _is_voc_2012(glance: Glance, inner: str) -> bool:
    """Whether this is Pascal VOC 2012 itself, beyond doubt, and the plug-in that reads it is installed."""
    names = [path.stem for path in glance.files("*.png", f"{inner}/SegmentationClass".lstrip("/"))]
    return (
        len(names) >= _FEWEST_2012
        and names[0] == _FIRST_2012
        and all(map(_OWN_NAME.fullmatch, names))
        and find_spec("segzoo_voc") is not None
    )


def voc_masks(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    scale: float = 1.0,
) -> Pairs:
    """Open images and masks in Pascal VOC's folders.

    Args:
        root: folder that holds ``JPEGImages`` and ``SegmentationClass``, or ``VOCdevkit`` with a folder of
            them. Beside ``labelmap.txt``, as CVAT writes it, images may lie in ``images`` or ``root`` itself.
            What ``ImageSets/Segmentation/train.txt``, ``val.txt`` and ``test.txt`` list belongs to that part;
            without those, the images of other lists, or all with masks, are divided by segzoo.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names by the value in masks, the background's first, also as one text with commas. By default
            ``labelmap.txt`` says them, with their colours; or ``class_names.txt``, ``classes.txt`` or
            ``labels.txt``, one name a line; without those they are Pascal VOC's own where images have
            names as its have, else they are numbered.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the folders are not there, or a list names an image that has no file or no mask.
        OptionError: the split is empty, or it is not clear what the masks' colours mean.
    """
    check_split("voc-masks", split)
    folder = find_root(Path(root), *_MASKS)
    if folder is None or not ((folder / _IMAGES).is_dir() or (folder / _LABEL_MAP).is_file()):
        raise FailureError(f"{root} needs folders {_IMAGES} and SegmentationClass, as Pascal VOC has them")
    place, images = _images(folder)
    masks = by_name(next(path for name in _MASKS if (path := folder / name).is_dir()))
    if not masks:
        raise FailureError(f"{folder} holds no masks: SegmentationClass is empty")
    parts, remarks = _parts(folder, images, masks)
    chosen = list(dict.fromkeys(name for name, part in parts if split in ("all", part)))
    if not chosen:
        raise OptionError(
            f"the split {split!r} of {folder} is empty: none of its {many(len(masks), 'mask')} is in it. "
            f"List images in {folder / _LISTS / split}.txt, one a line"
        )
    _check_there(folder, chosen, images, masks, place)
    paths = [masks[name] for name in sorted({name for name, _ in parts}) if name in masks]
    meaning = _meaning(folder, classes, [paths[index] for index in evenly_spread(len(paths), _LOOKED_AT)])
    return Pairs(
        [Pair(name, images[name], masks[name]) for name in chosen],
        meaning.labels,
        scale=scale,
        ignore_colour=meaning.ignored,
        decode=meaning.decode,
        remarks=[*remarks, *meaning.remarks],
    )


def _images(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Return the folder of images, and its images: CVAT exports masks without them, and people add them."""
    places = [place for name in (_IMAGES, "images", "Images", "") if (place := folder / name).is_dir()]
    return places[0], by_name(places[0])


# Which image belongs to which part.


def _parts(
    folder: Path, images: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[list[tuple[str, str]], list[Remark]]:
    """Return each name with its part, and what is remarkable of the lists."""
    lists = {path.stem.lower(): _listed(path, images) for path in sorted((folder / _LISTS).glob("*.txt"))}
    told = {part: [name for word in words for name in lists.get(word, ())] for part, words in FOLDERS.items()}
    remarks: list[Remark] = []
    for part, names in told.items():
        # Pascal VOC's own test images have no masks, and often are not there.
        known = part == "test" or all(name in images for name in names)
        if names and known and not any(name in masks for name in names):
            what = f"have no mask and stand in {part}.txt: the list is not read"
            remarks += counted("no-masks", "note", what, "", names, "image")
            names.clear()
    listed_names = {name for names in lists.values() for name in names}
    rest = []
    if not told["train"] and not told["val"]:
        taken = set(told["test"])
        rest = [name for name in sorted(listed_names or masks) if name not in taken]
        if rest and listed_names:
            rest = [name for name in rest if name in masks]
    parts = [(name, part) for part, names in told.items() for name in names]
    for name, part in zip(rest, divided(rest), strict=True) if rest else ():
        parts.append((name, "train" if part == "test" and told["test"] else part))
    several = [name for name, times in Counter(name for name, _ in parts).items() if times > 1]
    what = "are in several parts: scores are then of images that were trained on"
    remarks += counted("in-several-parts", "warning", what, "", several, "image")
    unlisted = sorted({*masks} - {name for name, _ in parts})
    what = "are in no list of a part: they are not read"
    return parts, remarks + counted("no-part", "note", what, "", unlisted, "mask")


def _listed(path: Path, images: Mapping[str, Path]) -> list[str]:
    """Return the names that a list holds, each once."""
    try:
        lines = [line.strip() for line in lines_of(read_words(path))]
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror}") from error
    folded = {name.casefold(): name for name in images}
    return list(dict.fromkeys(_called(line, images, folded) for line in lines if line))


def _called(line: str, images: Mapping[str, Path], folded: Mapping[str, str]) -> str:
    """Return the image that a line names: by its name, a path, or a path and that of its mask."""
    whole = line.replace("\\", "/")
    for text in (whole, whole.split()[0]):
        inner = text.rpartition(f"{_IMAGES}/")[2]
        for name in (inner, without_suffix(Path(inner)).as_posix()):
            if name in images or name.casefold() in folded:
                return name if name in images else folded[name.casefold()]
    return whole


def _check_there(
    folder: Path, names: Sequence[str], images: Mapping[str, Path], masks: Mapping[str, Path], place: Path
) -> None:
    for files, inner, what in ((images, place, "image"), (masks, "SegmentationClass", "mask")):
        gone = [name for name in names if name not in files]
        if gone:
            raise FailureError(
                f"{len(gone)} of the {len(names)} images have no {what} in {folder / inner}: {listed(gone)}. "
                f"Add what is missing, or take it out of {_LISTS}; CVAT exports images where 'Save images' "
                "is ticked"
            )


# Which class a value or a colour is.


@dataclass(frozen=True)
class _Meaning:
    labels: Labels
    ignored: Colour | None = None
    decode: Callable[[NDArray[Any], str], NDArray[Any]] | None = None
    remarks: tuple[Remark, ...] = ()


def _meaning(folder: Path, classes: Sequence[str] | str, masks: Sequence[Path]) -> _Meaning:
    path = folder / _LABEL_MAP
    if path.is_file():
        if classes:
            raise OptionError(
                f"{path} names the classes and their colours: leave out data.classes, or change the file"
            )
        said = read_label_map(path)
        alike = tuple(name_remarks(said.labels.classes))
        return _Meaning(said.labels, said.ignored, said.decode, alike)
    found, names = _values(masks), _names(folder, classes)
    count = max(found - {_VOID}, default=0) + 1
    if not names and count <= len(VOC_CLASSES) and all(_OWN_NAME.fullmatch(mask.stem) for mask in masks):
        names = VOC_CLASSES
    if found <= {0, _VOID} and _VOID in found and len(names) <= 2:
        # Nothing but void would leave nothing to train on: 255 is the class here.
        names = ["background", *(names or ["foreground"])][-2:]
        return _Meaning(Labels(classes=tuple(names), values=(0, _VOID)))
    if not names and count > _VOID:
        raise OptionError(
            f"masks of {folder} hold values up to {count - 1}, which may number objects: name the classes "
            f"with data.classes=..., or in {folder / _NAMES[0]}"
        )
    if not names:
        names = ["background", *(f"class {value}" for value in range(1, max(count, 2)))]
        return _Meaning(_labels(names, True), VOC_VOID, remarks=(_unnamed(folder, len(names)),))
    if names[0].lower() not in BACKGROUND and (count == len(names) + 1 or len(names) == 1):
        names = ["background", *names]
    behind = names[0].lower() in BACKGROUND
    labels = _labels(["background", *names[1:]] if behind else names, behind or bool(classes))
    return _Meaning(labels, VOC_VOID, remarks=tuple(name_remarks(labels.classes)))


def _labels(names: Sequence[str], background: bool) -> Labels:
    palette = tuple(map(voc_colour, range(len(names)))) if len(names) < _VOID else ()
    labels = Labels(classes=tuple(names), palette=palette, background=0 if background else None)
    return replace(labels, ignore_index=labels.unused_index)


def _names(folder: Path, classes: Sequence[str] | str) -> list[str]:
    """Return the names of the classes, ordered by value; empty if neither a person nor a file names them."""
    if classes:
        return as_names(classes)
    path = next((path for name in _NAMES if (path := folder / name).is_file()), None)
    if path is None:
        return []
    names = [name for line in lines_of(read_words(path)) if (name := line.strip()) and name not in IGNORED]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise FailureError(f"{path} lists {listed(twice)} more than once: each class needs a name of its own")
    return names


def _values(masks: Sequence[Path]) -> set[int]:
    """Return the values that masks hold; a colour is the value that it has in Pascal VOC's palette.

    Raises:
        OptionError: there are other colours.
    """
    palette = [voc_colour(value) for value in range(256)]
    numbers = {colour_number(colour): value for value, colour in enumerate(palette)}
    found: set[int] = set()
    for path in masks:
        with suppress(MaskError):  # reading the sample says what is wrong
            values = read_mask(path, colours=True, palette=palette)
            if values.ndim == 2:
                found.update(map(int, np.unique(values)))
                continue
            strange = [code for code in np.unique(packed(values)).tolist() if code not in numbers]
            if strange:
                shown = listed([(code & 255, code >> 8 & 255, code >> 16) for code in strange])
                lossy = path.suffix.lower() in (".jpg", ".jpeg")
                advice = "JPEG changes colours: save masks as PNG. Else say" if lossy else "Say"
                raise OptionError(
                    f"{path} holds colours that are none of Pascal VOC's: {shown}. {advice} which class "
                    f"each is in {path.parent.parent / _LABEL_MAP}, a line for each: road:128,64,128::"
                )
            found.update(numbers[code] for code in np.unique(packed(values)).tolist())
    return found


def _unnamed(folder: Path, count: int) -> Remark:
    return Remark(
        kind="no-class-names",
        severity="note",
        what=f"nothing says what the {count} classes are called",
        advice=f"write their names into {folder / _NAMES[0]}, one a line, the background's first",
    )
