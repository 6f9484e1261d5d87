"""Objects as polygons in GeoJSON, for maps and other programs.

For georeferenced images, coordinates are longitude and latitude, as RFC 7946 requires, or those of the
image's own reference system. For other images they are pixels: x to the right, y down, from the top left
corner of the upright image.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.distribution import extra_line
from segzoo.prediction.outputs.ground import LONGITUDES, needs_pyproj, pixel_areas, project, urn
from segzoo.prediction.outputs.interface import Band, Output, to_json
from segzoo.prediction.outputs.outlines import find_outlines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.interfaces import GeoReference, ImageInfo
    from segzoo.prediction.outputs.interface import Coordinates
    from segzoo.prediction.postprocessing import Instances
    from segzoo.specs import Labels

_PIXELS = "pixels; x to the right, y down, from the top left corner of the image"
_UNNAMED = "coordinates of the image's transform; its file does not name the reference system"
#: Decimals of a coordinate; in degrees, the last is a tenth of a millimetre.
_DECIMALS = 9


class GeoJson(Output):
    """A FeatureCollection with one polygon per object."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        instances = found.instances(options.connectivity)
        return to_json(
            to_geojson(instances, found.labels, found.info, options.geojson_crs, simplify=options.simplify)
        )


def to_geojson(
    instances: Instances,
    labels: Labels,
    info: ImageInfo | None = None,
    coordinates: Coordinates = "degrees",
    *,
    simplify: float = 0.0,
) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection with one polygon per object, holes included.

    Coordinates other than longitude and latitude are declared in the file: by ``crs``, as in GeoJSON of 2008,
    or as text in ``coordinates``. Rings have the orientation that RFC 7946 requires.

    Args:
        instances: the objects.
        labels: labels of their classes.
        info: metadata of the image's file.
        coordinates: ``degrees``, those of the ``image``, or ``pixels``. For degrees, the image's own
            coordinates are used if the file names no reference system, or, with a warning, if pyproj is not
            installed.
        simplify: largest distance in pixels between a polygon and a corner that is left out.
    """
    geo = None if info is None or coordinates == "pixels" or info.orientation != 1 else info.geo
    told: dict[str, Any] = {"coordinates": _PIXELS}
    crs = ""
    if geo is not None:
        crs = _system(geo, coordinates)
        named = {"crs": {"type": "name", "properties": {"name": urn(geo.crs)}}}
        told = {} if crs else named if geo.crs else {"coordinates": _UNNAMED}
    polygons = [one.polygons[0] for one in find_outlines(instances, simplify=simplify)]
    objects = zip(polygons, instances.classes.tolist(), instances.areas.tolist(), strict=True)
    areas = _areas(instances, info)
    return {
        "type": "FeatureCollection",
        **told,
        "features": [
            {
                "type": "Feature",
                "id": number,
                "geometry": {"type": "Polygon", "coordinates": [_closed(ring, geo, crs) for ring in rings]},
                "properties": {"class": labels.classes[index], "index": index, "pixels": area}
                | {unit: sizes[number - 1] for unit, sizes in areas.items()},
            }
            for number, (rings, index, area) in enumerate(objects, start=1)
        ],
    }


def _system(geo: GeoReference, coordinates: Coordinates) -> str:
    """Return the reference system of the coordinates; empty for the image's own."""
    if coordinates == "image" or not geo.crs:
        return ""
    if needs_pyproj(geo, LONGITUDES):
        warnings.warn(
            f"geojson has coordinates in {geo.crs}, the image's own system, because longitude and latitude "
            f"need pyproj: {extra_line('geo')}",
            stacklevel=2,
        )
        return ""
    return LONGITUDES


def _areas(instances: Instances, info: ImageInfo | None) -> dict[str, list[float]]:
    """Return the area of each object by unit, if the pixel size is known."""
    numbers = instances.numbers
    sizes = pixel_areas(info, numbers.shape[-1])
    if sizes is None or not len(instances.areas):
        return {}
    if sizes.same is not None:
        found = instances.areas * sizes.same
    else:
        weights = np.broadcast_to(sizes.rows(0, numbers.shape[-2])[:, None], numbers.shape)
        found = np.bincount(numbers.ravel(), weights=weights.ravel())[1:]
    return {sizes.unit: [float(f"{area:.10g}") for area in found.tolist()]}


def _closed(ring: NDArray[np.int64], geo: GeoReference | None, crs: str) -> list[list[float]]:
    if geo is None:
        points: list[list[float]] = ring.tolist()
    else:
        a, b, _, d, e, _ = geo.transform
        # A ring that is counterclockwise in pixel coordinates is clockwise on a map whose y axis points up.
        points = project(geo, ring if a * e > b * d else ring[::-1], crs).round(_DECIMALS).tolist()
    return [*points, points[0]]
