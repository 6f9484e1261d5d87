"""Objects in COCO format, for other programs.

Polygons are in pixels: x to the right, y down, from the top left corner of the upright image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from segzoo import json_text
from segzoo.prediction.outputs.interface import Band, Output, to_json
from segzoo.prediction.outputs.outlines import find_outlines
from segzoo.printing import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from segzoo.prediction.outputs.interface import Written
    from segzoo.prediction.postprocessing import Instances
    from segzoo.specs import Labels


class Coco(Output):
    """A COCO dataset of one image."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        instances = found.instances(options.connectivity)
        return to_json(
            to_coco(instances, found.labels, band.file_name, options.coco, simplify=options.simplify)
        )


def join(file: BinaryIO, files: Iterable[Written], labels: Labels) -> None:
    """Write the COCO dataset of all images of a run, with new ids."""
    with CocoWriter(file, labels) as writer:
        for one in files:
            data = json_text.read(one.path)
            (image,) = data["images"]
            writer.add(one.image, (image["height"], image["width"]), data["annotations"])


class CocoWriter:
    """A COCO dataset that is written image by image.

    Args:
        file: file open for writing.
        labels: labels of the classes.
    """

    def __init__(self, file: BinaryIO, labels: Labels) -> None:
        self._file, self._images, self._annotations = file, 0, 0
        #: The entries of images; annotations are written at once.
        self._told: list[bytes] = []
        head = as_json(coco_head(labels), separators=(",", ":")).removesuffix("}")
        file.write(head.encode() + b',"annotations":[')

    def add(self, file_name: str, size: tuple[int, int], annotations: Iterable[Mapping[str, Any]]) -> None:
        """Add an image with its annotations, which get new ids.

        Args:
            file_name: file name of the image.
            size: (height, width) of the image.
            annotations: annotations; see `coco_annotation`.
        """
        self._images += 1
        height, width = size
        told = {"id": self._images, "file_name": file_name, "height": height, "width": width}
        self._told.append(as_json(told, separators=(",", ":")).encode())
        for one in annotations:
            self._annotations += 1
            mine = {**one, "id": self._annotations, "image_id": self._images}
            comma = b"," if self._annotations > 1 else b""
            self._file.write(comma + b"\n" + as_json(mine, separators=(",", ":")).encode())

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the end of the file, unless an error occurred."""
        if kind is None:
            self._file.write(b'\n],"images":[\n' + b",\n".join(self._told) + b"\n]}\n")


def category_ids(labels: Labels) -> dict[int, int]:
    """Return the id of each class except background: counted from 1 in class order, as in COCO."""
    return {index: number for number, index in enumerate(labels.foreground, start=1)}


def to_coco(
    instances: Instances,
    labels: Labels,
    file_name: str,
    shapes: Literal["rle", "polygons"] = "rle",
    *,
    simplify: float = 0.0,
) -> dict[str, Any]:
    """Return a COCO dataset of one image, with one annotation per object.

    Ids of categories are those of `category_ids`. ``rle`` is COCO's compressed run-length encoding. COCO's
    polygons cannot have holes: an object with a hole is written as ``rle`` even with ``polygons``.

    Args:
        instances: the objects.
        labels: labels of their classes.
        file_name: file name of the image.
        shapes: format of the objects' shapes.
        simplify: largest distance in pixels between a polygon and a corner that is left out.
    """
    height, width = instances.numbers.shape[-2:]
    strings = compress_runs([runs for layer in instances.layers for runs in count_runs(layer)])
    segments: list[Any] = [{"size": [height, width], "counts": string} for string in strings]
    if shapes == "polygons":
        for place, one in enumerate(find_outlines(instances, simplify=simplify)):
            if one.is_plain:
                segments[place] = [one.polygons[0][0].ravel().tolist()]
    objects = zip(
        segments,
        instances.classes.tolist(),
        instances.areas.tolist(),
        instances.boxes().tolist(),
        strict=True,
    )
    ids = category_ids(labels)
    return {
        **coco_head(labels),
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "annotations": [
            coco_annotation(number, 1, ids[label], segment, area, box)
            for number, (segment, label, area, box) in enumerate(objects, start=1)
        ],
    }


def coco_head(labels: Labels) -> dict[str, Any]:
    """Return the parts of a COCO file other than images and annotations."""
    return {
        "info": {"description": "objects by segzoo", "version": "1.0"},
        "licenses": [],
        "categories": [
            {"id": number, "name": labels.classes[index], "supercategory": ""}
            for index, number in category_ids(labels).items()
        ],
    }


def coco_annotation(
    number: int, image: int, category: int, segmentation: Any, area: int, box: Sequence[int]
) -> dict[str, Any]:
    """Return an annotation.

    Args:
        number: id of the annotation.
        image: id of its image.
        category: id of its category.
        segmentation: polygons or run lengths.
        area: area in pixels.
        box: x and y of the top left pixel, width and height.
    """
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "area": area,
        "bbox": list(box),
        "iscrowd": 0,
    }


# COCO's run-length encoding, for all objects of an image in one pass.
#
# Pixels are counted column by column; counts alternate between pixels outside and inside the object. COCO's
# compressed form writes each count (from the fourth on, its difference from the count two before) in digits
# of five bits, least significant first, each as a character from ``0`` on; a sixth bit says that more follow.
# Source: the data format of the COCO dataset (cocodataset.org) and of its API.

#: Number of digits for a 32-bit count and its sign.
_DIGITS = 7


def count_runs(numbers: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Return the run lengths of object 1, 2, ...

    Args:
        numbers: ``(H, W)`` object number of each pixel, 0 for background; numbers are consecutive.
    """
    flat = numbers.ravel(order="F")
    breaks = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([np.zeros(1, np.int64), breaks])[: flat.size]
    ends = np.append(breaks, flat.size)[: flat.size]
    owners = flat[starts]
    inside = np.flatnonzero(owners)
    inside = inside[np.argsort(owners[inside], kind="stable")]
    starts, ends, owners = starts[inside], ends[inside], owners[inside]
    if not len(owners):
        return []
    first = np.append(True, owners[1:] != owners[:-1])
    last = np.append(owners[1:] != owners[:-1], True)
    outside = starts - np.where(first, 0, np.append(0, ends[:-1]))
    rest = np.where(last, flat.size - ends, 0)
    # Pixels outside, pixels inside, and after an object's last run the rest of the image, if any.
    triples = np.stack([outside, ends - starts, rest], axis=1)
    wanted = np.ones(triples.shape, np.bool_)
    wanted[:, 2] = rest > 0
    sizes = np.add.reduceat(wanted.sum(axis=1), np.flatnonzero(first))
    return np.split(triples[wanted], np.cumsum(sizes)[:-1])


def patch_runs(inside: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> str:
    """Return COCO's run-length string of one object.

    Args:
        inside: ``(h, w)`` mask of the object within its bounding box.
        top: first row of the box in the image.
        left: first column of the box.
        size: (height, width) of the image.
    """
    height, width = size
    columns, rows = np.nonzero(inside.T)
    places = (columns + left) * height + rows + top
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    starts = places[np.concatenate([[0], breaks])]
    ends = places[np.concatenate([breaks - 1, [len(places) - 1]])] + 1
    borders = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [height * width]])
    counts = np.diff(borders)
    return compress_runs([counts if counts[-1] else counts[:-1]])[0]


def compress_runs(counts: list[NDArray[np.int64]]) -> list[str]:
    """Return COCO's run-length string of each object."""
    if not counts:
        return []
    values = [np.concatenate([one[:3], one[3:] - one[1:-2]]) for one in counts]
    left = np.concatenate(values)
    digits = np.zeros((len(left), _DIGITS), np.uint8)
    used = np.zeros(digits.shape, np.bool_)
    more = np.ones(len(left), np.bool_)
    for place in range(_DIGITS):
        used[:, place] = more
        digit = left & 31
        left = left >> 5
        # The highest bit of the last digit is the sign.
        more = more & np.where(digit & 16, left != -1, left != 0)
        digits[:, place] = digit + 32 * more + 48
    text = digits[used].tobytes().decode("ascii")
    sizes = np.array([len(one) for one in values])
    ends = np.cumsum(used.sum(axis=1))[np.cumsum(sizes) - 1].tolist()
    return [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
