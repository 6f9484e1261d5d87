"""Images annotated in QuPath: its GeoJSON, one file per image, with the name of the image.

Coordinates are pixels of the whole image, and a polygon has the pixels whose centres lie inside, as in
QuPath. A smaller object covers a larger one that it lies in. ``Ignore*`` is ignored.

The files: https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.images import without_suffix
from segzoo.specs import Recognition
from segzoo_formats.features import AREAS, corners_of, kind_of, properties_of, read_features, shape_of
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
    parts_in_words,
    stems_of,
    too_few_corners,
    without_objects,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.datasets import Glance
    from segzoo.interfaces import Remark

#: Kinds of objects that QuPath has; the empty word takes annotations, or all where there are none.
_KINDS = ("", "all", "annotation", "detection", "cell", "tile", "tmaCore")
_OURS = re.compile(r'"(?:objectType|object_type|isLocked|nucleusGeometry)"')
_FEATURES = re.compile(r'"type"\s*:\s*"Feature(?:Collection)?"')
_IGNORED = "Ignore*"


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file of QuPath: features with the properties of its objects."""
    files = [*files_below(glance, "*.geojson"), *few(files_below(glance, "*.json"))]
    ours = [path for path in files[:20] if _is_ours(glance.head(path), partial(glance.json, path))]
    if not ours:
        return None
    parts = {part_of(path.relative_to(glance.folder).as_posix()) for path in files} - {""}
    divided = f", {parts_in_words(parts)} as the folders say" if parts else ""
    count = many(len([path for path in files if path in ours or path.suffix == ".geojson"]), "file")
    return Recognition(summary=f"QuPath's GeoJSON, {count}{divided}")


def _is_ours(head: str, load: Callable[[], Any]) -> bool:
    """Whether a file is QuPath's, by its beginning; by all of it where that is the corners of one polygon."""
    if head.lstrip()[:1] not in ("[", "{") or not _FEATURES.search(head):
        return False
    if _OURS.search(head):
        return True
    if '"properties"' in head or '"crs"' in head:
        return False
    data = load()
    features = data.get("features", [data]) if isinstance(data, dict) else data
    return isinstance(features, list) and any(
        isinstance(one, dict) and {"objectType", "object_type", "isLocked"} & set(properties_of(one))
        for one in features[:20]
    )


def _load(path: Path) -> Any:
    try:
        return read_features(path)[1]
    except FailureError:
        return None


def qupath(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    objects: str = "",
    unclassified: str = "",
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
) -> AnnotatedImages:
    """Open images with the objects of QuPath's GeoJSON files.

    Args:
        root: a file, or a folder that holds ``.geojson`` files, also in folders below, and images of the same
            names next to them, in ``images`` or in other folders of images. Folders ``train``, ``val`` and
            ``test`` are the parts; without those the images are divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        objects: which objects are read: ``annotation``, ``detection``, ``cell``, ``tile``, ``tmaCore`` or
            ``all``; by default annotations, or all where there are none.
        unclassified: the class of objects without classification; by default they are left out. Where no
            object has a classification, their names are the classes.
        classes: the classes to use, in this order; all others are background. By default all,
            sorted.
        overlapping: whether a pixel has the class of every object that it lies in, instead of the smallest's.

    Raises:
        FailureError: there are no such files, one is damaged, or has no image of its name.
        OptionError: the objects have neither classification nor name, a class is in no file, or the split is
            empty.
    """
    check_split("qupath", split)
    check_choice("objects", objects, _KINDS)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    paths = _files(root)
    facts = {path: Counter(map(_facts, read_features(path)[1])) for path in paths}
    every: Counter[_Facts] = sum(facts.values(), Counter())
    counts: Counter[str] = Counter()
    for one, times in every.items():
        counts[one.type] += times
    wanted = objects or ("annotation" if counts["annotation"] else "all")
    named = not any(one.classification for one in every)
    reading = _Reading(wanted, named, unclassified)
    found = sorted({name for one in every if (name := reading.name(one))} - {_IGNORED})
    if not found:
        raise OptionError(
            f"the objects in {root} have neither a classification nor a name: set their class in QuPath, or "
            "say data.unclassified=NAME if all are of one class"
        )
    labels = class_labels(found, classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    images = Images(folder)
    pairs = _paired(paths, images, root)
    names = [without_suffix(image.relative_to(folder)).as_posix() for image in pairs.values()]
    said = [part_of(path.relative_to(folder).as_posix()) for path in paths]
    entries = [
        AnnotatedImage(name, part, image, path, partial(_regions, path, reading, dict(index)))
        for (path, image), name, part in zip(pairs.items(), names, parted(names, said), strict=True)
    ]
    left = {kind: count for kind, count in counts.items() if wanted not in ("all", kind)}
    remarks = [
        *name_remarks(found),
        *_left_out(left),
        *_remarks(facts, reading, images, pairs),
        *apart(names, said),
    ]
    return AnnotatedImages(of_split(entries, split, root), labels, order="area", remarks=remarks)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    there = files_of(root, ".geojson")
    other = () if there else files_of(root, ".json")
    found = there or [path for path in other if _is_ours(begins(path), partial(_load, path))]
    if not found:
        raise FailureError(f"{root} holds no .geojson files of QuPath")
    return found


def _paired(paths: Sequence[Path], images: Images, root: Path) -> dict[Path, Path]:
    """Return the image of each file.

    Raises:
        FailureError: files have none; the message lists them.
    """
    pairs, alone = {}, []
    for path in paths:
        found = (images.find(stem, path.parent, stem=stem) for stem in stems_of(path))
        image = next((one for one in found if one is not None), None)
        if image is None:
            alone.append(path.name)
        else:
            pairs[path] = image
    if alone:
        raise FailureError(
            f"{root}: {many(len(alone), 'GeoJSON file', 'have')} no image of the same name: {listed(alone)}. "
            "Put the images beside them, or in a folder images"
        )
    return pairs


def _type(feature: Mapping[str, Any]) -> str:
    said = properties_of(feature)
    return str(said.get("objectType") or said.get("object_type") or "annotation").removeprefix("PATH_")


def _classification(feature: Mapping[str, Any]) -> str:
    said = properties_of(feature).get("classification")
    if isinstance(said, dict):
        names = said.get("names")
        said = said.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    return said.strip() if isinstance(said, str) else ""


class _Facts(NamedTuple):
    """What decides whether an object is read, and as which class.

    Attributes:
        type: type of the QuPath object, such as ``annotation``.
        classification: its class; empty where it has none.
        name: name that the person gave it.
        area: whether its geometry has an area.
        flat: whether that has fewer than three corners.
        elsewhere: whether it lies on another plane than the first.
    """

    type: str
    classification: str
    name: str
    area: bool
    flat: bool
    elsewhere: bool


def _facts(feature: Mapping[str, Any]) -> _Facts:
    name, area = properties_of(feature).get("name"), kind_of(feature) in AREAS
    return _Facts(
        _type(feature),
        _classification(feature),
        name.strip() if isinstance(name, str) else "",
        area,
        area and _flat(feature),
        _elsewhere(feature),
    )


@dataclass(frozen=True)
class _Reading:
    """How objects become classes.

    Attributes:
        wanted: the kind of objects that is read, or ``all``.
        named: whether their names are the classes, since none has a classification.
        unclassified: the class of others; empty where they are left out.
    """

    wanted: str
    named: bool
    unclassified: str

    def takes(self, one: _Facts) -> bool:
        """Whether an object is of the kind that is read, and lies on the first plane."""
        return self.wanted in ("all", one.type) and not one.elsewhere

    def name(self, one: _Facts) -> str:
        """Return the class of an object that is read and has an area; empty where it has none."""
        if not self.takes(one) or not one.area:
            return ""
        return (one.name if self.named else one.classification) or self.unclassified


def _regions(path: Path, reading: _Reading, index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image."""
    try:
        features = read_features(path)[1]
    except FailureError as error:
        raise MaskError(str(error)) from error
    regions = []
    for number, one in enumerate(features):
        name = reading.name(_facts(one))
        if name in index or name in (_IGNORED, "background"):
            shape = shape_of(one, f"{path}: feature {number}, {name!r},")
            regions.append(Region(shape, index.get(name), erases=name == "background"))
    return regions


def _left_out(counts: Mapping[str, int]) -> list[Remark]:
    return counted(
        "other-objects",
        "note",
        f"are not read: {listed([many(count, kind) for kind, count in counts.items()])}",
        "Say data.objects=detection, =cell or =all to read them.",
        [kind for kind, count in counts.items() for _ in range(count)],
        "object",
    )


def _remarks(
    facts: Mapping[Path, Counter[_Facts]],
    reading: _Reading,
    images: Images,
    pairs: Mapping[Path, Path],
) -> list[Remark]:
    def having(wanted: Callable[[_Facts], object]) -> list[str]:
        """Return the file of each object that is so."""
        return [
            path.name
            for path, counts in facts.items()
            for one, times in counts.items()
            for _ in range(times if wanted(one) else 0)
        ]

    classified = not reading.named or reading.unclassified
    annotated = set(pairs.values())
    bare = {path for path, counts in facts.items() if not any(map(reading.name, counts))}
    return [
        *counted(
            "no-classification",
            "note",
            "have no classification: their names are the classes",
            "Set the classification in QuPath if names are something else.",
            [] if classified else having(reading.name),
            "object",
        ),
        *counted(
            "no-label",
            "warning",
            "have no class: they are left out",
            "Set their classification in QuPath, or say data.unclassified=NAME.",
            having(lambda one: reading.takes(one) and one.area and not reading.name(one)),
            "object",
        ),
        *counted(
            "no-area",
            "note",
            "have no area: points and lines are left out",
            "Draw them as areas if they are to be trained.",
            having(lambda one: reading.takes(one) and not one.area),
            "object",
        ),
        *too_few_corners(having(lambda one: reading.takes(one) and one.flat), "QuPath"),
        *counted(
            "other-planes",
            "warning",
            "lie on another plane than the first: they are left out",
            "Export the planes as images of their own.",
            having(lambda one: one.elsewhere),
            "object",
        ),
        *without_objects(sorted(path.name for path in bare), "objects that are read", "file"),
        *counted(
            "no-annotation",
            "note",
            "have no GeoJSON file of their name: they are left out",
            "Export their annotations, also where there are none, to train on them.",
            [
                image.name
                for image in images.every
                if image not in annotated and image.parent in {one.parent for one in annotated}
            ],
            "image",
        ),
    ]


def _flat(feature: Mapping[str, Any]) -> bool:
    try:
        return corners_of(feature) < 3
    except (KeyError, TypeError, AttributeError):
        return False  # drawing it says what is wrong


def _elsewhere(feature: Mapping[str, Any]) -> bool:
    plane = (feature.get("geometry") or {}).get("plane")
    return isinstance(plane, dict) and bool(plane.get("z") or plane.get("t"))
