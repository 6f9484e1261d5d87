"""Files of labelme: polygons through the outermost pixels, and masks for objects with holes.

labelme draws polygons with Pillow, the line around them too. A file belongs into the folder of its image.

The format: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from segzoo.prediction.outputs import Output, find_outlines, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segzoo.prediction.outputs import Band, Outline, Written
    from segzoo.specs import Labels

_VERSION = "5.5.0"


class Labelme(Output):
    """A file of labelme's, without the image in it."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        instances = found.instances(options.connectivity)
        outlines = find_outlines(instances, simplify=options.simplify, course="pixels")
        height, width = found.size
        return to_json(
            {
                "version": _VERSION,
                "flags": {},
                "shapes": [_shape(one, found.labels.classes[one.label]) for one in outlines],
                "imagePath": band.file_name,
                "imageData": None,
                "imageHeight": height,
                "imageWidth": width,
            }
        )


def join(file: BinaryIO, files: Iterable[Written], labels: Labels) -> None:
    """Write ``labels.txt``, which labelme takes with ``--labels``: a class a line."""
    del files
    names = ["__ignore__", "_background_", *(labels.classes[index] for index in labels.foreground)]
    file.write("".join(f"{name}\n" for name in names).encode("utf-8", "backslashreplace"))


def _shape(one: Outline, label: str) -> dict[str, Any]:
    shape: dict[str, Any] = {"label": label, "group_id": None, "description": "", "flags": {}}
    if one.is_plain and _has_area(one):
        points = one.polygons[0][0].astype(float).tolist()
        return {**shape, "points": points, "shape_type": "polygon", "mask": None}
    left, top, width, height = one.box
    points = [[float(left), float(top)], [float(left + width - 1), float(top + height - 1)]]
    file = BytesIO()
    Image.fromarray(one.inside).save(file, "PNG")
    mask = base64.b64encode(file.getvalue()).decode()
    return {**shape, "points": points, "shape_type": "mask", "mask": mask}


def _has_area(one: Outline) -> bool:
    """Whether the outline encloses an area: labelme refuses to draw others."""
    x, y = one.polygons[0][0].T
    return bool(np.dot(x, np.roll(y, -1)) != np.dot(np.roll(x, -1), y))
