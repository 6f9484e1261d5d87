"""Label files of Ultralytics YOLO: one line per object, with its class number and corners.

Corners are the centres of the outermost pixels, as shares of width and height: Ultralytics truncates them to
whole pixels and draws the line around them too, which restores exactly the object. YOLO has no holes: a line
connects the outline with each hole, in the way Ultralytics' own converters join rings.

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
    """Return the number of each class except background, counted from 0, as YOLO requires."""
    return {index: number for number, index in enumerate(labels.foreground)}


def label_lines(outlines: Iterable[Outline], labels: Labels, size: tuple[int, int]) -> bytes:
    """Return the lines of a label file.

    Args:
        outlines: the objects, with outlines through ``pixels``; each piece becomes one line.
        labels: labels of their classes.
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
    """Return the YAML file that describes a dataset.

    Args:
        labels: the classes; background has no number.
        parts: image folder of ``train``, ``val`` and ``test``.
    """
    # YAML accepts JSON's quoting; without a path, folders are relative to the file.
    lines = [f"{part}: {as_json(folder)}" for part, folder in parts.items()]
    lines.append("names:")
    lines += [f"  {number}: {as_json(labels.classes[i])}" for i, number in class_numbers(labels).items()]
    return ("\n".join(lines) + "\n").encode()
