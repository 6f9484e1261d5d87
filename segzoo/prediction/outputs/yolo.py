"""Label files of Ultralytics YOLO: a line of class number and corners for each object.

Corners are the centres of the outermost pixels, as shares of width and height: Ultralytics cuts them to whole
pixels and draws the line around them too, which gives back exactly the object. YOLO knows no holes: a line
leads from the outline to each hole and back, as Ultralytics' own converters join rings.

The format: https://docs.ultralytics.com/datasets/segment
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.prediction.outputs.outlines import joined_rings
from segzoo.printing import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from segzoo.prediction.outputs.outlines import Outline
    from segzoo.specs import Labels


def class_numbers(labels: Labels) -> dict[int, int]:
    """Return the number of each class but background, counted from 0, as YOLO's are."""
    return {index: number for number, index in enumerate(labels.foreground)}


def label_lines(outlines: Iterable[Outline], labels: Labels, size: tuple[int, int]) -> bytes:
    """Return the lines of a label file.

    Args:
        outlines: the objects, whose outlines run through ``pixels``; each piece has a line of its own.
        labels: of their classes.
        size: (height, width) of the image.
    """
    numbers, lines = class_numbers(labels), []
    for one in outlines:
        for rings in one.polygons:
            shares = (joined_rings(rings) + 0.5) / np.array(size[::-1], float)
            corners = " ".join(f"{share:.7g}" for share in shares.ravel().tolist())
            lines.append(f"{numbers[one.label]} {corners}\n")
    return "".join(lines).encode()


def data_yaml(labels: Labels, parts: Mapping[str, str]) -> bytes:
    """Return the YAML file that describes a data set.

    Args:
        labels: the classes; background has no number.
        parts: the folder of images of ``train``, ``val`` and ``test``.
    """
    # What JSON quotes, YAML reads; without a path, folders are those beside the file.
    lines = [f"{part}: {as_json(folder)}" for part, folder in parts.items()]
    lines.append("names:")
    lines += [f"  {number}: {as_json(labels.classes[i])}" for i, number in class_numbers(labels).items()]
    return ("\n".join(lines) + "\n").encode()
