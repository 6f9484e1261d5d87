"""Label Studio's tasks with predictions: polygons in per cent, and brush masks for objects with holes.

A task's image is given as a file below the root of Label Studio's local storage; where yours lie elsewhere,
replace ``/data/local-files/?d=``. The project's labelling needs the tags ``polygon`` and ``brush``::

    <View><Image name="image" value="$image"/>
    <PolygonLabels name="polygon" toName="image"><Label value="cell"/></PolygonLabels>
    <BrushLabels name="brush" toName="image"><Label value="cell"/></BrushLabels></View>

The format: https://labelstud.io/guide/predictions
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import numpy as np

import segzoo.json_text as json_text
from segzoo.prediction.outputs import Output, find_outlines, to_json
from segzoo_formats.brush import encode_brush

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segzoo.prediction.outputs import Band, Outline, Written
    from segzoo.specs import Labels

_LOCAL = "/data/local-files/?d="


class LabelStudio(Output):
    """A list of one task."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        outlines = find_outlines(found.instances(options.connectivity), simplify=options.simplify)
        results = [
            _result(number, one, found.labels, found.size) for number, one in enumerate(outlines, start=1)
        ]
        predictions = [{"model_version": "segzoo", "result": results}]
        return to_json([{"data": {"image": _address(band.file_name)}, "predictions": predictions}])


def join(file: BinaryIO, files: Iterable[Written], labels: Labels) -> None:
    """Write the tasks of all images of a run."""
    del labels
    file.write(b"[")
    for number, one in enumerate(files):
        (task,) = json_text.read(one.path)
        task["data"]["image"] = _address(one.image)
        file.write((b",\n" if number else b"\n") + to_json(task).rstrip(b"\n"))
    file.write(b"\n]\n")


def _address(image: str) -> str:
    return _LOCAL + quote(image, errors="surrogateescape")


def _result(number: int, one: Outline, labels: Labels, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    name = labels.classes[one.label]
    if one.is_plain:
        kind = "polygon"
        points = (one.polygons[0][0] * 100 / np.array([width, height])).tolist()
        value: dict[str, Any] = {"points": points, "closed": True, "polygonlabels": [name]}
    else:
        kind, mask = "brush", np.zeros(size, np.bool_)
        left, top, columns, rows = one.box
        mask[top : top + rows, left : left + columns] = one.inside
        value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [name]}
    return {
        "id": f"object-{number}",
        "from_name": kind,
        "to_name": "image",
        "type": f"{kind}labels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }
