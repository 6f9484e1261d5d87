"""Segmentations as text: COCO and GeoJSON for other programs, areas for a table.

Polygons are in pixels: x to the right, y down, from the top left corner of the upright image.
"""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

from segzoo.prediction.rendering.polygons import trace_polygons
from segzoo.prediction.rendering.runs import compress_runs, count_runs
from segzoo.printing import as_json, csv_cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segzoo.prediction.postprocessing import Instances
    from segzoo.specs import Labels

_PIXELS = "pixels; x to the right, y down, from the top left corner of the image"


def to_coco(
    instances: Instances, labels: Labels, file_name: str, shapes: Literal["rle", "polygons"] = "rle"
) -> dict[str, Any]:
    """Return a COCO data set of one image, with an annotation per object.

    A category's id is its class index. ``rle`` is COCO's compressed run-length encoding. COCO's
    polygons know no holes: with ``polygons``, an object that has one is written as ``rle`` all the same.

    Args:
        instances: the objects.
        labels: of their classes.
        file_name: of the image.
        shapes: how objects are written.
    """
    height, width = instances.numbers.shape
    strings = compress_runs(count_runs(instances.numbers))
    segments: list[Any] = [{"size": [height, width], "counts": string} for string in strings]
    if shapes == "polygons":
        for place, rings in enumerate(trace_polygons(instances.numbers, instances.connectivity)):
            if len(rings) == 1:
                segments[place] = [rings[0].ravel().tolist()]
    objects = zip(
        segments,
        instances.classes.tolist(),
        instances.areas.tolist(),
        instances.boxes().tolist(),
        strict=True,
    )
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels.classes) if i],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": category,
                "segmentation": segment,
                "area": area,
                "bbox": box,
                "iscrowd": 0,
            }
            for number, (segment, category, area, box) in enumerate(objects, start=1)
        ],
    }


def to_geojson(instances: Instances, labels: Labels) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection with a polygon per object, holes included.

    Coordinates are pixels, not degrees, which ``coordinates`` says in the file; rings run as RFC 7946
    wants them by their numbers.
    """
    polygons = trace_polygons(instances.numbers, instances.connectivity)
    objects = zip(polygons, instances.classes.tolist(), instances.areas.tolist(), strict=True)
    return {
        "type": "FeatureCollection",
        "coordinates": _PIXELS,
        "features": [
            {
                "type": "Feature",
                "id": number,
                "geometry": {"type": "Polygon", "coordinates": [_closed(ring) for ring in rings]},
                "properties": {"class": labels.classes[index], "index": index, "pixels": area},
            }
            for number, (rings, index, area) in enumerate(objects, start=1)
        ],
    }


def to_json(data: dict[str, Any]) -> bytes:
    """Return the text of a JSON file."""
    return (as_json(data, separators=(",", ":")) + "\n").encode()


def areas_to_csv(mask: NDArray[np.uint8], labels: Labels, areas: dict[str, int]) -> bytes:
    """Return a table with a row per class: name, index, pixels, and share of the image."""
    table = StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["class", "index", "pixels", "share"])
    for index, name in enumerate(labels.classes):
        rows.writerow([csv_cell(name), index, areas[name], f"{areas[name] / mask.size:.6g}"])
    return table.getvalue().encode()


def _closed(ring: NDArray[np.int64]) -> list[list[int]]:
    points = ring.tolist()
    return [*points, points[0]]
