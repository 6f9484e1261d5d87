"""QuPath's GeoJSON: an annotation for each object, with its class as classification.

Coordinates are pixels of the whole image; QuPath fills a polygon where it covers the centres of pixels.

The format: https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from segzoo.prediction.outputs import Output, find_outlines, to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.prediction.outputs import Band, Outline
    from segzoo.specs import Labels


class QuPath(Output):
    """A FeatureCollection of annotations that are not locked."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        outlines = find_outlines(found.instances(options.connectivity), simplify=options.simplify)
        features = [
            _feature(one, found.labels, f"{band.source}#{number}") for number, one in enumerate(outlines)
        ]
        return to_json({"type": "FeatureCollection", "features": features})


def _feature(one: Outline, labels: Labels, name: str) -> dict[str, Any]:
    polygons = [[_closed(ring) for ring in rings] for rings in one.polygons]
    kind, coordinates = ("Polygon", polygons[0]) if len(polygons) == 1 else ("MultiPolygon", polygons)
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, name)),
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": labels.classes[one.label], "color": list(labels.colours[one.label])},
            "isLocked": False,
        },
    }


def _closed(ring: NDArray[Any]) -> list[list[int]]:
    points = ring.tolist()
    return [*points, points[0]]
