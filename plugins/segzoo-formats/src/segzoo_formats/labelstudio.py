"""Images annotated in Label Studio: its JSON and JSON-MIN exports.

Polygons, rectangles and ellipses are in per cent of the image, brush masks in Label Studio's own run lengths
(`segzoo_formats.brush`). Regions are drawn in the order of the file. Key points and vectors have no area and
are left out.

The files: https://labelstud.io/guide/export and https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

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
    as_names,
    check_flags,
    check_split,
    class_labels,
    listed,
    many,
)
from segzoo.errors import FailureError, ImageError, MaskError, OptionError
from segzoo.images import has_suffix, read_bytes, readable_suffixes, without_suffix
from segzoo.specs import Recognition
from segzoo_formats.brush import decode_brush
from segzoo_formats.drawing import corners, finite, not_drawn, picture_mask, turned
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
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance, Patch, Shape
    from segzoo.interfaces import ImageInfo, Remark

#: What a shape is recognised by, among the keys of its value.
_SHAPES = {
    "rle": "brush",
    "imageDataURL": "bitmask",
    "points": "polygon",
    "radiusX": "ellipse",
    "height": "rectangle",
}
_KIND = re.compile(r'"(?:polygon|rectangle|ellipse|brush|keypoint|bitmask|vector)labels"')
_TASKS = "tasks with predictions"
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
#: What Label Studio takes out of the names of files that are uploaded.
_ODD = re.compile(r"[^-\w.]")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise a folder or a file of Label Studio by the beginning of its JSON files."""
    found = [
        (path, kind) for path in few(files_below(glance, "*.json")) if (kind := _kind(glance.head(path)))
    ]
    if not found:
        return None
    told = f"Label Studio's {found[0][1]}{several_files(len(found))}"
    # Files that were made for an import hold only predictions.
    made = {kind for _, kind in found} == {_TASKS} and not any(
        _annotated(glance.json(path)) for path, _ in found
    )
    return Recognition(summary=told, options={"predictions": True} if made else {})


def _annotated(data: Any) -> bool:
    return not isinstance(data, list) or any(isinstance(row, dict) and row.get("annotations") for row in data)


def _kind(head: str) -> str:
    """Return what a file of Label Studio is, by its beginning; empty where it is none."""
    if head.lstrip()[:1] not in ("[", "{"):
        return ""
    regions = _KIND.search(head) or re.search(r'"format"\s*:\s*"rle"', head)
    annotated, predicted = '"annotations"' in head, '"predictions"' in head
    if annotated and (('"data"' in head and predicted) or (regions and '"result"' in head)):
        return "JSON export"
    if predicted and regions and '"data"' in head:
        return _TASKS
    if regions and '"result"' in head:
        return "JSON export" if '"task"' in head else "predictions, which name no image"
    return "JSON-MIN export" if regions else ""


def labelstudio(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    overlapping: bool = False,
    predictions: bool = False,
) -> AnnotatedImages:
    """Open images with the regions of Label Studio's exports.

    Of several annotations of an image the one marked as ground truth is taken, else the one changed last;
    cancelled ones are left out, and so are images without any.

    Args:
        root: a ``.json`` file of an export, or a folder that holds some. Images lie next to the file, in
            ``images`` or anywhere below, under the names that they were uploaded or imported with. The parts
            are the names of files and folders (``train.json``, ``val/...``); without those the images are
            divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: the labels to use, in this order; all others are background. By default all
            labels of regions with an area, sorted.
        overlapping: whether a pixel has the class of every region that it lies in, instead of the last one's.
        predictions: whether images without annotations take their latest prediction.

    Raises:
        FailureError: a file is damaged or names no images, two tasks are of one image, or images are missing.
        OptionError: a class is in no file, there are no regions, or the split is empty.
    """
    check_split("labelstudio", split)
    check_flags(predictions=predictions)
    root = Path(root)
    folder = root.parent if root.is_file() else root
    tasks = [task for path in _files(root) for task in _tasks(path, predictions)]
    kept = [task for task in tasks if task.results is not None]
    if not kept:
        other = (
            "; data.predictions=true takes its predictions" if any(task.predicted for task in tasks) else ""
        )
        raise OptionError(f"{root}: none of its {many(len(tasks), 'task')} has an annotation{other}")
    images = Images(folder)
    for task in kept:
        task.read(images)
    found = sorted({name for task in kept for region in task.regions for name in region.labels})
    if not found and not classes:
        raise OptionError(f"no region in {root} has both a label and an area: there are no classes")
    labels = class_labels(found or as_names(classes), classes, overlapping=overlapping, source=root)
    index = index_of(labels)
    _check_once(kept, folder)
    names = [task.name(folder) for task in kept]
    said = [task.part(folder) for task in kept]
    parts = parted(names, said)
    found_images = [
        task.annotated(name, part, index) for task, name, part in zip(kept, names, parts, strict=True)
    ]
    return AnnotatedImages(
        of_split(found_images, split, root), labels, remarks=[*_remarks(tasks, found), *apart(names, said)]
    )


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = [path for path in files_of(root, ".json") if _kind(begins(path))]
    if not found:
        raise FailureError(f"{root} holds no JSON file that Label Studio exported")
    return found


def _tasks(path: Path, predictions: bool) -> list[_Task]:
    """Return the tasks of a file."""
    data = read_json(path)
    rows = data if isinstance(data, list) else [data]
    if not all(isinstance(row, dict) for row in rows):
        raise FailureError(f"{path} is not Label Studio's: it is no list of tasks")
    if rows and all("result" in row and "data" not in row and "task" not in row for row in rows):
        raise FailureError(
            f"{path} holds predictions without tasks: which image each belongs to is not in the file. Import "
            "them in Label Studio and export the project as JSON, or put each into a task: "
            '{"data": {"image": "name.jpg"}, "predictions": [...]}'
        )
    if any("annotations" in row or "predictions" in row for row in rows):
        return [_of_task(path, row, predictions) for row in rows]
    if any("result" in row for row in rows):  # as a target storage keeps them, one annotation each
        joined: dict[Any, dict[str, Any]] = {}
        for row in rows:
            task = row.get("task") if isinstance(row.get("task"), dict) else {}
            joined.setdefault(task.get("id"), {**task, "annotations": []})["annotations"].append(row)
        return [_of_task(path, row, predictions) for row in joined.values()]
    return _of_min(path, rows)


def _of_task(path: Path, row: Mapping[str, Any], predictions: bool) -> _Task:
    every = [one for one in row.get("annotations") or () if isinstance(one, dict)]
    valid = [one for one in every if not one.get("was_cancelled")]
    predicted = [one for one in row.get("predictions") or () if isinstance(one, dict)]
    data = row.get("data")
    if not isinstance(data, dict):
        raise FailureError(f"{path} is not Label Studio's: task {row.get('id')} has no data with its image")
    task = _Task(path, row.get("id"), {"file_upload": row.get("file_upload"), **data})
    task.cancelled, task.several, task.predicted = len(every) > len(valid), len(valid) > 1, bool(predicted)
    choice = valid or (predicted if predictions else [])
    if choice:
        results = max(choice, key=_rank).get("result")
        task.results = [one for one in results or () if isinstance(one, dict)]
    return task


def _of_min(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[_Task]:
    """Return the tasks of a JSON-MIN export: a row is an annotation, with regions under names of controls."""
    groups: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row.get("id", ("row", number))].append(row)
    tasks = []
    for number, group in groups.items():
        row = max(group, key=_rank)
        task = _Task(path, number, row, several=len(group) > 1)
        task.results = [
            {"type": "", "value": one, **{key: one.get(key) for key in _SIZES}}
            for value in row.values()
            if isinstance(value, list)
            for one in value
            if isinstance(one, dict)
        ]
        tasks.append(task)
    return tasks


_SIZES = ("original_width", "original_height", "image_rotation", "id")


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str, int]:
    """Return what orders annotations of one task: ground truth, then the last change, is the greatest."""
    changed = str(annotation.get("updated_at") or annotation.get("created_at") or "")
    number = annotation.get("id", annotation.get("annotation_id"))
    return annotation.get("ground_truth") is True, changed, number if isinstance(number, int) else 0


@dataclass(frozen=True)
class _Region:
    """One region; a shape, whose per cent become pixels when it is drawn.

    Attributes:
        kind: kind of its shape.
        labels: at least one.
        value: geometry as the file stores it.
        turned: whether the image was turned while it was drawn.
        where: place of the region, for error messages.
    """

    kind: str
    labels: tuple[str, ...]
    value: Mapping[str, Any]
    turned: bool
    where: str

    def draw(self, size: tuple[int, int]) -> Patch:
        """Return the pixels of the region.

        Raises:
            MaskError: it is damaged, of another image, or was drawn on a turned one.
        """
        if self.turned:
            raise MaskError(
                f"{self.where} was drawn while the image was turned in Label Studio, so that its place is "
                "not certain: turn the image back and draw it again"
            )
        try:
            return _DRAWN[self.kind](self.value, size).draw(size)
        except (KeyError, TypeError, ValueError) as error:
            raise not_drawn(self.where, error) from error


@dataclass
class _Task:
    """One task.

    Attributes:
        path: the file that holds it.
        number: its id.
        data: what names its image, and more.
        results: results of the annotation that is used; ``None`` if there is none.
        several: whether there were several annotations.
        cancelled: whether some were cancelled.
        predicted: whether it has predictions.
        said: what the file calls the image.
        image: the image's file; ``None`` where it is missing.
        size: (height, width) as the file says it.
        regions: those with a label and an area.
        flat: regions without an area, for remarks.
        bare: regions without a label, for remarks.
    """

    path: Path
    number: Any
    data: Mapping[str, Any]
    results: list[dict[str, Any]] | None = None
    several: bool = False
    cancelled: bool = False
    predicted: bool = False
    said: str = ""
    image: Path | None = None
    size: tuple[int, int] | None = None
    regions: list[_Region] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)

    def read(self, images: Images) -> None:
        """Find the image, and sort the regions."""
        self.said = self._reference()
        if not self.said.startswith("data:"):
            self.image = _found(self.said, str(self.data.get("file_upload") or ""), self.path.parent, images)
        names: dict[Any, tuple[str, ...]] = {}
        for one in self.results or ():
            if one.get("id") is not None and (found := _labels(one)):
                names[one["id"]] = found
        seen: set[Any] = set()
        for one in self.results or ():
            self._take(one, names, seen)

    def _reference(self) -> str:
        """Return what the task calls its image."""
        texts = {key: value for key, value in self.data.items() if isinstance(value, str) and value}
        for key in ("image", "img", "image_url", "url"):
            if key in texts:
                return texts[key]
        suffixes = readable_suffixes()
        named = [
            key
            for key, text in texts.items()
            if key != "file_upload"
            and (text.startswith("data:image/") or has_suffix(Path(_inner(text)), suffixes))
        ]
        if len(named) > 1:
            raise FailureError(
                f"{self.path}: task {self.number} has {len(named)} images ({listed(named)}): which one the "
                "regions belong to is not certain. Call it 'image'"
            )
        if not named and "file_upload" not in texts:
            raise FailureError(f"{self.path}: task {self.number} names no image in its data")
        return texts[named[0]] if named else texts["file_upload"]

    def _take(self, one: Mapping[str, Any], names: Mapping[Any, tuple[str, ...]], seen: set[Any]) -> None:
        value = one.get("value")
        if not isinstance(value, dict):
            return
        height, width = one.get("original_height"), one.get("original_width")
        if type(height) is int and type(width) is int and height > 0 < width:
            self.size = self.size or (height, width)
        kind = next((kind for key, kind in _SHAPES.items() if key in value), "")
        labels = _labels(one) or names.get(one.get("id"), ())
        said = f"{kind or str(one.get('type') or 'region')} of {self._short()}"
        if "keypointlabels" in value or not kind or value.get("closed") is False or "vertices" in value:
            if "x" in value or "points" in value or "vertices" in value:
                self.flat.append(said)
        elif not labels:
            self.bare.append(said)
        elif one.get("id") is None or (one["id"], kind) not in seen:
            # With separate tags for shapes and labels, a region stands twice under one id.
            seen.add((one.get("id"), kind))
            turned = bool((one.get("image_rotation") or 0) % 360)
            where = f"{self.path}: task {self.number}, {said}, region {len(self.regions)}"
            self.regions.append(_Region(kind, labels, _packed(value), turned, where))

    def _short(self) -> str:
        return "image in the file" if self.said.startswith("data:") else PurePosixPath(_inner(self.said)).name

    def name(self, folder: Path) -> str:
        """Return a name for the sample."""
        if self.image is not None:
            return without_suffix(self.image.relative_to(folder)).as_posix()
        held = self.said.startswith("data:")
        return f"task {self.number}" if held else without_suffix(Path(self._short())).as_posix()

    def part(self, folder: Path) -> str:
        """Return the part that the names of folders, or of the file, say."""
        image = part_of(self.image.relative_to(folder).as_posix()) if self.image else ""
        return image or part_of(self.path.relative_to(folder).as_posix()) or part_named(self.path.stem)

    def annotated(self, name: str, part: str, index: Mapping[str, int]) -> AnnotatedImage:
        """Return the image with what lies in it."""
        where = f"{self.path}: the image of task {self.number}"
        inside = partial(_image_inside, self.said, where) if self.said.startswith("data:") else None
        regions = partial(_regions, tuple(self.regions), dict(index))
        image = self.image or self.path.parent / self._short()
        return AnnotatedImage(name, part, image, self.path, regions, self.size, inside)


def _packed(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a value that takes less memory: codes of brushes are millions of numbers."""
    code = value.get("rle")
    if isinstance(code, list) and all(type(one) is int and 0 <= one < 256 for one in code):
        return {**value, "rle": bytes(code)}
    return value


def _labels(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of a result: the list that is called as its type is."""
    value = one.get("value")
    if not isinstance(value, dict):
        return ()
    keys = [str(one.get("type"))] if str(one.get("type")) in value else list(value)
    lists = [value[key] for key in keys if key.endswith("labels") and isinstance(value.get(key), list)]
    return tuple(str(name) for names in lists for name in names)


def _inner(said: str) -> str:
    """Return the path in a reference: of an address, an upload, a local file or a storage."""
    split = urlsplit(said) if re.match(r"[a-z][a-z0-9+.-]+://|/", said) else None
    if split is None:
        return plain_path(said)
    query = parse_qs(split.query)
    if "d" in query:
        return plain_path(query["d"][0])
    if "fileuri" in query:
        try:
            return _inner(base64.b64decode(query["fileuri"][0] + "==").decode())
        except (binascii.Error, ValueError):
            return said
    return plain_path(split.path)


def _found(said: str, uploaded: str, beside: Path, images: Images) -> Path | None:
    """Return the image of a reference: by its path, its name, or its name before it was uploaded."""
    for text in dict.fromkeys((said, uploaded)):
        inner = _inner(text).lstrip("/")
        for path in dict.fromkeys((inner, unquote(inner))) if inner else ():
            name = PurePosixPath(path).name
            for one in dict.fromkeys((path, name, _UPLOADED.sub("", name, count=1))):
                stem = "" if PurePosixPath(one).suffix else PurePosixPath(one).name
                if one and (image := images.find(one, beside, stem=stem)):
                    return image
            wanted = {name, _UPLOADED.sub("", name, count=1)}
            near = [one for one in images.every if _ODD.sub("", one.name.strip().replace(" ", "_")) in wanted]
            if len(near) == 1:
                return near[0]
    return None


def _check_once(tasks: Sequence[_Task], folder: Path) -> None:
    first: dict[Path, _Task] = {}
    for task in tasks:
        if task.image is None:
            continue
        other = first.setdefault(task.image, task)
        if other is not task:
            raise FailureError(
                f"{task.path}: tasks {other.number} and {task.number} are of one image, "
                f"{task.image.relative_to(folder).as_posix()}: delete one of them in Label Studio, or export "
                "the project again"
            )


def _remarks(tasks: Sequence[_Task], labels: Sequence[str]) -> list[Remark]:
    kept = [task for task in tasks if task.results is not None]
    regions = [(task, region) for task in kept for region in task.regions]
    return [
        *name_remarks(labels),
        *counted(
            "no-annotation",
            "warning",
            "have no annotation that counts, and no place in the dataset",
            "They were not labelled, or their annotations were cancelled.",
            [f"task {task.number}" for task in tasks if task.results is None],
            "task",
        ),
        *counted(
            "several-annotations",
            "warning",
            "have several annotations",
            "The one marked as ground truth is taken, else the one changed last.",
            [f"task {task.number}" for task in kept if task.several],
            "task",
        ),
        *counted(
            "boxes",
            "warning" if all(region.kind == "rectangle" for _, region in regions) else "note",
            "are rectangles",
            "A model learns rectangles from them. Draw polygons or use the brush for outlines.",
            [f"{task.said}: {region.labels[0]!r}" for task, region in regions if region.kind == "rectangle"],
            "region",
        ),
        *counted(
            "no-area",
            "note",
            "have no area: key points and open lines are left out",
            "Draw them as polygons or with the brush if they are to be trained.",
            [one for task in kept for one in task.flat],
            "region",
        ),
        *too_few_corners(
            [
                f"{task.said}: {region.labels[0]!r}"
                for task, region in regions
                if region.kind == "polygon" and len(region.value["points"] or ()) < 3
            ],
            "Label Studio",
        ),
        *counted(
            "no-label",
            "warning",
            "have no label: they are left out",
            "Give them a label in Label Studio, or delete them.",
            [one for task in kept for one in task.bare],
            "region",
        ),
        *without_objects([f"task {task.number}" for task in kept if not task.regions], "regions"),
    ]


def _image_inside(said: str, where: str) -> tuple[NDArray[Any], ImageInfo]:
    try:
        return read_bytes(_data_url(said), where)
    except ValueError as error:
        raise ImageError(f"{where} is damaged: {error}") from error


def _data_url(said: str) -> bytes:
    head, _, code = said.partition(",")
    if not head.endswith(";base64"):
        raise ValueError("it is not base64")
    return base64.b64decode(code, validate=True)


def _regions(regions: Sequence[_Region], index: Mapping[str, int]) -> list[Region]:
    """Return what lies in an image; a region of several labels once for each."""
    return [
        Region(region, index.get(name), erases=name == "background")
        for region in regions
        for name in region.labels
        if name in index or name == "background"
    ]


def _brush(value: Mapping[str, Any], size: tuple[int, int]) -> Shape:
    if value.get("format", "rle") != "rle":
        raise ValueError(f"its format is {value['format']!r}, not 'rle'")
    return Stencil(decode_brush(value["rle"], size))


def _bitmask(value: Mapping[str, Any], size: tuple[int, int]) -> Shape:
    inside = picture_mask(_data_url(value["imageDataURL"]))
    if inside.shape != size:
        raise ValueError(f"its mask is {inside.shape}, and the image {size}")
    return Stencil(inside)


def _polygon(value: Mapping[str, Any], size: tuple[int, int]) -> Shape:
    points = corners(value["points"]) * (size[1] / 100, size[0] / 100)
    return Polygon([points]) if len(points) > 2 else Several(())


def _rectangle(value: Mapping[str, Any], size: tuple[int, int]) -> Shape:
    scale = np.array([size[1] / 100, size[0] / 100])
    x, y, width, height = (finite(value, key) for key in ("x", "y", "width", "height"))
    corner, sides = np.array([x, y]) * scale, np.array([width, height]) * scale
    degrees = float(value.get("rotation") or 0)
    if not degrees:
        return Box(*corner.tolist(), *(corner + sides).tolist())
    # It is turned about its upper left corner, in pixels.
    ring = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sides + corner
    return Polygon([turned(ring, degrees, corner)])


def _ellipse(value: Mapping[str, Any], size: tuple[int, int]) -> Shape:
    x, y, across, down = (finite(value, key) for key in ("x", "y", "radiusX", "radiusY"))
    wide, high = size[1] / 100, size[0] / 100
    degrees = float(value.get("rotation") or 0)
    return Ellipse((x * wide, y * high), (across * wide, down * high), degrees, "centre")


_DRAWN = {
    "brush": _brush,
    "bitmask": _bitmask,
    "polygon": _polygon,
    "rectangle": _rectangle,
    "ellipse": _ellipse,
}
