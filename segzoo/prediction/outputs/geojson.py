"""Objects as polygons in GeoJSON, for other programs.

Polygons are in pixels: x to the right, y down, from the top left corner of the upright image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segzoo.prediction.outputs.interface import Band, Output, to_json
from segzoo.prediction.outputs.polygons import trace_polygons

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segzoo.prediction.postprocessing import Instances
    from segzoo.specs import Labels

_PIXELS = "pixels; x to the right, y down, from the top left corner of the image"


class GeoJson(Output):
    """A FeatureCollection with a polygon per object."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        instances = band.segmentation.instances(band.options.connectivity)
        return to_json(to_geojson(instances, band.segmentation.labels))


def to_geojson(instances: Instances, labels: Labels) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection with a polygon per object, holes included.

    Coordinates are pixels, not degrees, which ``coordinates`` says in the file; rings run as RFC 7946
    wants them by their numbers.
    """
    polygons = [one for layer in instances.layers for one in trace_polygons(layer, instances.connectivity)]
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


def _closed(ring: NDArray[np.int64]) -> list[list[int]]:
    points = ring.tolist()
    return [*points, points[0]]
