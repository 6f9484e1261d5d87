"""Images annotated in the way of COCO: objects as polygons or runs in JSON, or panoptic masks.

Polygons cover the pixels that pycocotools covers. A smaller object covers a larger one, regardless of their
order in the file; if classes overlap, each has its own mask. Pixels in a crowd (``iscrowd``), or in the box
of an object without an outline, are ignored unless another object covers them.

A file is read once to index the positions of its annotations. Those of an image are read again when it is
drawn, so files of gigabytes take little memory, and no shapes are sent to workers.

The format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

import segzoo.json_text as json_text
from segzoo.datasets import (
    FOLDERS,
    AnnotatedImage,
    AnnotatedImages,
    Glance,
    check_split,
    class_labels,
    listed,
    many,
)
from segzoo.errors import FailureError, OptionError
from segzoo.interfaces import Remark
from segzoo.specs import Recognition
from segzoo_formats.coco_index import (
    MASKS,
    OTHERS,
    Category,
    File,
    Index,
    Listed,
    categories_of,
    chosen_files,
    found_files,
    indexed,
    seen_categories,
)
from segzoo_formats.coco_regions import Source, regions_of, segments_of
from segzoo_formats.search import (
    Images,
    counted,
    name_remarks,
    of_split,
    parted,
    parts_in_words,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray


_EMPTY = re.compile(r'"segmentation"\s*:\s*(\[\s*\]|null)')
_FULL = re.compile(r'"segmentation"\s*:\s*(\[\s*[^\s\]]|\{)')


def coco(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    annotations: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the objects of COCO files.

    Args:
        root: a folder that holds ``annotations/instances_train*.json`` and so on,
            ``train/_annotations.coco.json``, ``train.json``, or one file for all, whose images are then
            divided by their names; or such a file itself. Images lie where the file says, in folders that are
            called as the part, or anywhere below ``root``.
        split: ``train``, ``val``, ``test`` or ``all``.
        annotations: which files below ``root`` are read, where there are several: a path, or a pattern such
            as ``annotations/stuff_*.json``. By default instances come before panoptic masks, stuff and
            keypoints.
        classes: names of the categories that are wanted, in this order; by default all, by their ids. What
            belongs to others is background.
        overlapping: whether a pixel has the class of every object that it lies in, instead of that of the
            smallest.

    Raises:
        FailureError: there is no such file, it is none of COCO's or has no masks, or images are missing.
        OptionError: there is no such category, the split is empty, or several files may be meant.
    """
    check_split("coco", split)
    root = Path(root)
    files = chosen_files(Glance(root), annotations)
    folder = _folder(root)
    wanted = [file for file in files if split in ("all", file.part) or not file.part]
    if not wanted:
        there = " and ".join(file.part for file in files)
        raise OptionError(
            f"the split {split!r} of {root} is empty: there are files for {there}"
            + (". Training validates with a part of train: split.share=0.1 split.of=train" * (split == "val"))
        )
    names = _Names(files)
    labels = class_labels(names.classes, classes, overlapping=overlapping, source=root)
    label = {name: index for index, name in enumerate(labels.classes) if index != labels.background}
    label |= {"background": 0} if labels.background == 0 else {}
    every, twice = _images(wanted, folder, names, label)
    images = of_split(every, split, root)
    indices = [indexed(file.path) for file in wanted]
    # One part may have no outline; where no part has any, these are boxes for a detector.
    outlined = any(index.outlined for index in indices) or any(indexed(one.path).outlined for one in files)
    if not outlined and any(len(index.spans) for index in indices):
        raise FailureError(
            f"{listed([str(index.path) for index in indices])}: none of the "
            f"{many(sum(len(index.spans) for index in indices), 'object')} has an outline, they are boxes, "
            "and a box is no mask. Draw outlines, or export with segmentation"
        )
    remarks = partial(_remarks, tuple(wanted), names.remarks, tuple(_empty(images)), twice)
    return AnnotatedImages(images, labels, order="area", remarks=remarks)


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a JSON file of COCO, or a folder with such files."""
    if glance.file is not None and glance.file.suffix.lower() != ".json":
        return None
    found = found_files(glance)
    kind = next((kind for kind in MASKS if kind in found), None)
    if kind is None:
        other = next((kind for kind in OTHERS if kind in found), None)
        return Recognition(summary=f"COCO {OTHERS[other]}: they are no masks") if other else None
    try:
        files = chosen_files(glance, "")
    except OptionError:
        names = [path.relative_to(glance.folder).as_posix() for path in found[kind]]
        every = "**/*.json" if any("/" in name for name in names) else "*.json"
        return Recognition(
            summary=f"{MASKS[kind]} in {len(names)} files, of which data.annotations={names[0]} takes one",
            choices={f"{MASKS[kind]} of {name}": {"annotations": name} for name in names}
            | {f"{MASKS[kind]} of all {len(names)} files": {"annotations": every}},
        )
    texts = [glance.samples(file.path) for file in files]
    if any(map(_EMPTY.search, texts)) and not any(map(_FULL.search, texts)):
        return Recognition(summary=f"COCO {OTHERS['boxes']}: they are no masks")
    said, classes = MASKS[kind], _class_count(texts[0])
    said += f", {many(classes, 'class')}" if classes else ""
    parts = [file.part for file in files if file.part]
    if parts:
        said += f", {parts_in_words(parts)} as the files say"
    others = [one for one in MASKS if one in found and one != kind]
    if others:
        first = found[others[0]][0].relative_to(glance.folder)
        pattern = first.with_name(f"{others[0]}_*.json" if first.name.startswith(others[0]) else first.name)
        said += f"; there is {' and '.join(others)} too, such as data.annotations={pattern.as_posix()}"
    # The masks of panoptic annotations are image files.
    return Recognition(summary=said, masks=kind == "panoptic")


def _folder(root: Path) -> Path:
    """Return the folder that images lie below."""
    folder = root.parent if root.is_file() else root
    return folder.parent if folder.name.lower() == "annotations" else folder


def _class_count(text: str) -> int:
    """Return how many classes a file seems to have, without Roboflow's supercategory; 0 where unknown."""
    found = (seen_categories(text) or {}).values()
    parents = {one.parent for one in found}
    return sum(one.parent != "none" or one.name not in parents for one in found)


class _Names:
    """What the classes of some files are called.

    A category that nothing is annotated with is left out where others name it as their supercategory, which
    is what Roboflow lists first, or where another one has its name.

    Args:
        files: all files of the dataset, so that the classes of its parts are the same.

    Attributes:
        classes: in the order of their ids.
        of: the class of each category of a file.
        remarks: what the person should know of them.

    Raises:
        FailureError: there are no categories.
    """

    def __init__(self, files: Sequence[File]) -> None:
        paths = [file.path for file in files]
        found = {path: categories_of(path) for path in paths}
        self.of: dict[Path, dict[Any, str]] = {}
        spare: dict[str, None] = {}
        alike: dict[str, None] = {}
        for path, categories in found.items():
            left = {
                key
                for key in _candidates(categories)
                if not any(
                    key in indexed(one).used for one in paths if found[one].get(key) == categories[key]
                )
            }
            # If all categories of one name are unused, one stays.
            names = Counter(one.name for key, one in categories.items() if key not in left)
            parents = {one.parent for one in categories.values() if one.parent != one.name}
            for key in sorted(left, key=_order):
                if not names[categories[key].name] and categories[key].name not in parents:
                    left.discard(key)
                    names[categories[key].name] += 1
            spare |= {f"{categories[key].name} (id {key})": None for key in sorted(left, key=_order)}
            self.of[path] = {}
            for key in sorted(categories, key=_order):
                name = categories[key].name
                if key not in left:
                    self.of[path][key] = f"{name}-{key}" if names[name] > 1 else name
                    alike |= {self.of[path][key]: None} if names[name] > 1 else {}
        self.classes = list(dict.fromkeys(name for one in self.of.values() for name in one.values()))
        if not self.classes:
            raise FailureError(f"{listed([str(path) for path in paths])}: no categories are listed")
        self.remarks = tuple(self._told(list(spare), list(alike)))

    def _told(self, spare: Sequence[str], alike: Sequence[str]) -> Iterator[Remark]:
        yield from counted(
            "unused-category",
            "note",
            "are left out: unused, and the supercategory or the namesake of another one",
            "",
            spare,
            "category",
        )
        if alike:
            yield Remark(
                kind="classes-alike",
                severity="warning",
                what=f"categories have the same name; their ids tell them apart: {listed(alike)}",
                advice="They are trained as different classes. Merge or rename them in the tool.",
                count=len(alike),
                examples=tuple(alike[:8]),
            )
        yield from name_remarks(self.classes)
        sets = {path: set(names.values()) for path, names in self.of.items()}
        missing = [
            f"{path}: {listed(sorted(set(self.classes) - names))}"
            for path, names in sets.items()
            if names != set(self.classes)
        ]
        yield from counted(
            "categories-differ", "note", "do not list all classes of the others", "", missing, "file"
        )


def _order(key: Any) -> tuple[str, Any]:
    return type(key).__name__, key


def _candidates(categories: Mapping[Any, Category]) -> list[Any]:
    """Return the ids of categories that are left out if nothing is annotated with them."""
    names = Counter(one.name for one in categories.values())
    return [
        key
        for key, one in categories.items()
        if names[one.name] > 1
        or any(other.parent == one.name and other.name != one.name for other in categories.values())
    ]


def _images(
    files: Sequence[File], folder: Path, names: _Names, label: Mapping[str, int]
) -> tuple[list[AnnotatedImage], tuple[str, ...]]:
    """Return the images that files list, each once, with their annotations, and which were listed twice."""
    below = Images(folder)
    found: dict[tuple[str, Path], tuple[str, Listed, list[Source], list[Path]]] = {}
    panoptic, twice = False, []
    for file in files:
        index = indexed(file.path)
        panoptic |= index.panoptic
        labels = {key: label[name] for key, name in names.of[file.path].items() if name in label}
        kept = np.array([key in labels for key in index.used] + [True], np.bool_)
        spans = _grouped(index, kept[index.kinds])
        search = _Search(below, file)
        for place, one in enumerate(index.images.values()):
            path = search.find(one.name)
            key = (file.part, path)
            twice += [one.name] if key in found else []
            called, _, sources, masks = found.setdefault(key, (one.name, one, [], []))
            if called != one.name:
                raise FailureError(
                    f"{file.path} lists {called} and {one.name}, and only {path} has that name: add the other"
                )
            sources.append((file.path, spans[place], labels))
            masks += [index.masks[place]] if place in index.masks else []
    gone = [str(mask) for *_, masks in found.values() for mask in masks if not mask.is_file()]
    if gone:
        raise FailureError(
            f"{many(len(gone), 'mask')} that {files[0].path} lists are not there: {listed(gone, 4)}. Add them"
        )
    said = [_called(name, path, folder) for (_, path), (name, *_) in found.items()]
    plain = [path.with_suffix("").as_posix() for path in said]
    times = Counter(zip((part for part, _ in found), plain, strict=True))
    called = []
    for name, path, (part, _) in zip(plain, said, found, strict=True):
        own = path.as_posix() if times[part, name] > 1 else name
        called.append(f"{part}/{own}" if part else own)
    parts = parted(called, [part for part, _ in found])
    draw = segments_of if panoptic else regions_of
    images = [
        AnnotatedImage(
            name=name,
            part=part,
            image=path,
            source=sources[0][0],
            regions=partial(draw, tuple(sources), one.name, one.size),
            size=one.size,
            others=tuple(masks),
        )
        for name, part, ((_, path), (_, one, sources, masks)) in zip(
            called, parts, found.items(), strict=True
        )
    ]
    return images, tuple(twice)


def _called(name: str, path: Path, folder: Path) -> PurePosixPath:
    """Return what an image is called: as its file says, or where it lies if that is another computer's."""
    said = PurePosixPath(name)
    if not {"/", ".."} & set(said.parts):
        return said
    inner = PurePosixPath(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name)
    return inner.relative_to("images") if inner.parts[0] == "images" else inner


def _empty(images: Sequence[AnnotatedImage]) -> Iterator[str]:
    for one in images:
        sources: Sequence[Source] = one.regions.args[0]  # pyright: ignore[reportFunctionMemberAccess]
        if not any(len(spans) for _, spans, _ in sources):
            yield one.name


def _grouped(index: Index, kept: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return where the annotations of each image lie, in their order."""
    owners, spans = index.owners[kept], index.spans[kept]
    order = np.argsort(owners, kind="stable")
    cuts = np.searchsorted(owners[order], np.arange(len(index.images) + 1))
    return [spans[order[first:last]] for first, last in pairwise(cuts)]


class _Search:
    """Finds the images of a file."""

    def __init__(self, below: Images, file: File) -> None:
        self.below, self.beside = below, file.path.parent
        root, stem = below.root, file.path.stem
        words = [*FOLDERS.get(file.part, ()), stem, stem.rpartition("_")[2]]
        self.places = [self.beside, root, root / "images"]
        self.places += [folder / word for folder in (root, root / "images") for word in words]
        self.places = [place for place in dict.fromkeys(self.places) if place.is_dir()]
        self.listed: dict[Path, set[str]] = {}

    def find(self, name: str) -> Path:
        """Return the file of an image; if it is missing, the path it would have next to the JSON file."""
        for place in self.places:
            if self._has(place / name):
                return place / name
        return self.below.find(name, self.beside) or self.beside / name.lstrip("/")

    def _has(self, path: Path) -> bool:
        folder = path.parent
        if folder not in self.listed:
            self.listed[folder] = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
        return path.name in self.listed[folder]


def _remarks(
    files: Sequence[File], about_names: Sequence[Remark], empty: Sequence[str], twice: Sequence[str]
) -> list[Remark]:
    indices = [indexed(file.path) for file in files]

    def every(what: Callable[[Index], Sequence[str]]) -> list[str]:
        return [one for index in indices for one in what(index)]

    remarks = [*about_names]
    remarks += without_objects(empty)
    remarks += counted(
        "boxes",
        "warning",
        "have a box and no outline",
        "What lies in them is neither trained on nor scored. Draw their outlines.",
        every(lambda index: index.boxes),
        "object",
    )
    remarks += counted(
        "no-area",
        "warning",
        "have too few points to cover a pixel",
        "Draw them again in the tool, or delete them.",
        every(lambda index: index.flat),
        "object",
    )
    remarks += counted(
        "outside",
        "warning",
        "lie outside the image",
        "They may belong to an image of another size.",
        every(_outside),
        "object",
    )
    remarks += counted(
        "listed-twice",
        "warning",
        "are listed twice",
        "Their objects were taken together.",
        [*twice, *every(lambda index: index.twice)],
        "image",
    )
    remarks += counted(
        "unlisted-images",
        "warning",
        "are of images that the file does not list",
        "They are left out.",
        every(lambda index: [index.path.name] * int((index.owners < 0).sum())),
        "annotation",
    )
    crowds = sum(index.crowds for index in indices)
    if crowds:
        what = f"{many(crowds, 'object', 'are')} marked as crowds: neither trained on nor scored"
        remarks.append(Remark(kind="crowds", severity="note", what=what, count=crowds))
    return remarks


def _outside(index: Index) -> list[str]:
    """Return the annotations none of whose corners can lie in the image."""
    found, images = [], list(index.images.values())
    with index.path.open("rb") as file:
        for place in index.doubtful:
            owner = images[index.owners[place]] if index.owners[place] >= 0 else None
            if owner is None or owner.size is None:
                continue
            start, stop = index.spans[place].tolist()
            file.seek(start)
            one = json_text.parse(file.read(stop - start))
            if _is_outside(one.get("segmentation"), owner.size):
                found.append(f"{index.path.name}: annotation {one.get('id')} of {owner.name}")
    return found


def _is_outside(rings: Any, size: tuple[int, int]) -> bool:
    try:
        points = np.concatenate([np.array(ring, float).reshape(-1, 2) for ring in rings])
    except (TypeError, ValueError):
        return False
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((high <= 0).any() or (low >= size[::-1]).any())
