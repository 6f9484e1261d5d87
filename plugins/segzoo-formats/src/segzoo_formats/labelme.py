"""Images annotated with labelme: the shapes of its JSON files, drawn into masks.

Shapes are drawn in the order of the file, so that later ones lie on earlier ones. A point or a line
is drawn 10 pixels across. Shapes labelled ``__ignore__`` are
neither trained on nor scored.

The files: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from segzoo import json_text
from segzoo.datasets.splits import FOLDERS, check_split, split_of
from segzoo.errors import FailureError, ImageError, MaskError, OptionError
from segzoo.files import lines_of, read_words
from segzoo.images import read_bytes, read_with_info
from segzoo.interfaces import Sample
from segzoo.specs import Labels

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo

SPLITS = ("train", "val", "test", "all")
IGNORED, BACKGROUND = "__ignore__", "_background_"
#: Bytes of a file, which may hold its image too.
_MOST_BYTES = 1 << 30
#: Pixels across a point, and across a line.
_WIDTH = 10
#: How many files are looked into for labels when none are named.
_LOOK = 20


def labelme(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] = (),
    overlapping: bool = False,
) -> LabelmeDataset:
    """Open a folder of labelme's files.

    Args:
        root: holds ``.json`` files, or folders ``train``, ``val`` and ``test`` of them; without those the
            split is by a hash of the name.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: the labels in the order of their classes, without the background; by default those
            in ``labels.txt``, one a line.
        overlapping: whether a pixel has the class of every shape that it lies in, instead of the last one's.

    Raises:
        FailureError: there are no such files.
        OptionError: the classes are not given, or the split is empty.
    """
    check_split("labelme", split, SPLITS)
    root = Path(root)
    files = _divided(root)
    if not files:
        raise FailureError(f"{root} holds no .json files of labelme")
    names = tuple(classes) or _told(root) or _ask([path for _, path in files])
    if isinstance(classes, str):
        raise OptionError(f"classes must be a list of labels, such as [{classes!r}]")
    inner = tuple(name for name in names if name not in (IGNORED, BACKGROUND))
    labels = Labels(classes=inner if overlapping else ("background", *inner), overlapping=overlapping)
    labels = replace(labels, ignore_index=labels.unused_index)
    chosen = [path for part, path in files if split in ("all", part)]
    if not chosen:
        raise OptionError(f"the split {split!r} of {root} is empty: none of its {len(files)} files is in it")
    return LabelmeDataset(root, chosen, labels)


class LabelmeDataset:
    """Samples with instances, unless classes overlap: shapes of one label and one group are one object."""

    def __init__(self, root: Path, paths: Sequence[Path], labels: Labels) -> None:
        self.labels = labels
        self.paths = list(paths)
        self.names = [path.relative_to(root).with_suffix("").as_posix() for path in paths]

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that a sample is made of."""
        path = self.paths[index]
        image = path.parent / str(_read(path).get("imagePath", "")).replace("\\", "/")
        return (path, image) if image.is_file() else (path,)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Draw one sample.

        Raises:
            ImageError: the image is neither beside the file nor inside, or cannot be read.
            MaskError: the file is none of labelme's, or a shape has an unknown label or kind.
        """
        path = self.paths[index]
        data = _read(path)
        image, info = _image(path, data)
        size = image.shape[:2]
        if self.labels.overlapping:
            mask = self._planes(path, data, size)
            return Sample(image=image, mask=mask, name=self.names[index], info=info)
        mask, instances = np.zeros(size, self.labels.index_type), np.zeros(size, np.int32)
        objects: dict[tuple[str, Any], int] = {}
        for number, shape in enumerate(data["shapes"]):
            one = _shape(path, number, shape)
            region = _drawn(one, size)
            mask[region] = self._class(path, one.label)
            if one.label in (IGNORED, BACKGROUND):
                instances[region] = 0
                continue
            group = number if one.group is None else ("group", one.group)
            instances[region] = objects.setdefault((one.label, group), len(objects) + 1)
        return Sample(image=image, mask=mask, name=self.names[index], instances=instances, info=info)

    def _planes(self, path: Path, data: dict[str, Any], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the shapes of each class, ``(K, H, W)``; what is ignored or background is so for all."""
        planes = np.zeros((len(self.labels.classes), *size), np.uint8)
        for number, shape in enumerate(data["shapes"]):
            one = _shape(path, number, shape)
            region = _drawn(one, size)
            if one.label in (IGNORED, BACKGROUND):
                planes[:, region] = self.labels.unused_index if one.label == IGNORED else 0
            else:
                planes[self._class(path, one.label), region] = 1
        return planes

    def _class(self, path: Path, label: str) -> int:
        if label == IGNORED:
            return self.labels.unused_index
        if label == BACKGROUND:
            return 0
        if label not in self.labels.classes:
            known = ", ".join(self.labels.classes[index] for index in self.labels.foreground)
            raise MaskError(
                f"{path} has a shape labelled {label!r}, and the classes are {known}: add it, or mend"
            )
        return self.labels.classes.index(label)


@dataclass(frozen=True)
class _Shape:
    label: str
    kind: str
    points: list[tuple[float, float]]
    group: Any
    mask: NDArray[np.bool_] | None


def _divided(root: Path) -> list[tuple[str, Path]]:
    inside = [
        (part, path)
        for part, words in FOLDERS.items()
        for word in words
        for path in sorted((root / word).rglob("*.json"))
    ]
    if inside:
        return inside
    paths = sorted(root.rglob("*.json"))
    return [(split_of(path.relative_to(root).with_suffix("").as_posix()), path) for path in paths]


def _told(root: Path) -> tuple[str, ...]:
    for name in ("labels.txt", "class_names.txt"):
        if (root / name).is_file():
            lines = lines_of(read_words(root / name))
            return tuple(line.strip() for line in lines if line.strip())
    return ()


def _ask(paths: Sequence[Path]) -> tuple[str, ...]:
    found = {str(shape.get("label")) for path in paths[:_LOOK] for shape in _read(path)["shapes"]}
    raise OptionError(
        f"say what the classes are: classes={sorted(found)} are the labels in the first"
        f" {len(paths[:_LOOK])} files; or write them to {paths[0].parent / 'labels.txt'}, one a line"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json_text.read(path, most=_MOST_BYTES)
    except FileNotFoundError as error:
        raise MaskError(f"there is no {path} any more: put it back, or open the data set anew") from error
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise MaskError(f"{path} cannot be read as JSON: {told}") from error
    shapes = data.get("shapes") if isinstance(data, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise MaskError(f"{path} is no file of labelme's: it has no list of shapes. Move it away")
    return data


def _image(path: Path, data: dict[str, Any]) -> tuple[NDArray[Any], ImageInfo]:
    if data.get("imageData"):
        try:
            return read_bytes(base64.b64decode(data["imageData"]), f"{path}: the image inside")
        except (TypeError, ValueError) as error:  # it is no text, or not base64
            raise ImageError(f"{path}: the image inside is damaged: {error}") from error
    name = str(data.get("imagePath", "")).replace("\\", "/")
    beside = path.parent / name
    if not name or not beside.is_file():
        raise ImageError(f"{path} says that its image is {name!r}, and there is no {beside}: put it there")
    return read_with_info(beside)


def _shape(path: Path, number: int, shape: dict[str, Any]) -> _Shape:
    try:
        points = [(float(x), float(y)) for x, y in shape["points"]]
        kind = str(shape.get("shape_type") or "polygon")
        mask = _stencil(shape["mask"]) if kind == "mask" else None
        drawn = _Shape(str(shape["label"]), kind, points, shape.get("group_id"), mask)
    except (KeyError, TypeError, ValueError, ImageError) as error:
        raise MaskError(f"{path}: shape {number} is none of labelme's ({error}): draw it again") from error
    least = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "point": 1, "mask": 2}
    if len(points) < least.get(kind, 1) or not all(map(math.isfinite, sum(points, ()))):
        raise MaskError(f"{path}: shape {number}, a {kind}, has {len(points)} points: draw it again")
    if kind not in least and kind != "points":
        raise MaskError(f"{path}: shape {number} is a {kind!r}; known are {', '.join(least)}")
    return drawn


def _stencil(text: str) -> NDArray[np.bool_]:
    return np.asarray((read_bytes(base64.b64decode(text), "its mask")[0] > 0).any(axis=2))


def _drawn(shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where a shape is, as ``(H, W)``."""
    height, width = size
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    first = shape.points[0]
    if shape.mask is not None:
        _paste(canvas, shape.mask, first)
    elif shape.kind == "polygon":
        draw.polygon(shape.points, fill=1, outline=1)
    elif shape.kind == "rectangle":
        (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(*shape.points[:2], strict=True))
        draw.rectangle((x0, y0, x1, y1), fill=1, outline=1)
    elif shape.kind == "circle":
        radius = math.dist(*shape.points[:2])
        draw.ellipse(_box(first, radius), fill=1, outline=1)
    elif shape.kind in ("line", "linestrip"):
        draw.line(shape.points, fill=1, width=_WIDTH)
    else:
        for point in shape.points:
            draw.ellipse(_box(point, _WIDTH / 2), fill=1, outline=1)
    return np.asarray(canvas)


def _box(centre: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y = centre
    return x - radius, y - radius, x + radius, y + radius


def _paste(canvas: Image.Image, stencil: NDArray[np.bool_], corner: tuple[float, float]) -> None:
    canvas.paste(Image.fromarray(stencil), (int(corner[0]), int(corner[1])))
