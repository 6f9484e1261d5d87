"""Features of GeoJSON: what QuPath's annotations and maps have in common.

The format: RFC 7946
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import Polygon, Several
from segzoo.errors import FailureError, MaskError
from segzoo_formats.json_files import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.datasets import Shape

#: Geometries with an area.
AREAS = ("Polygon", "MultiPolygon", "GeometryCollection")


def read_features(path: Path) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Return everything that a file says except its features, and the features.

    Args:
        path: file that holds a FeatureCollection, a list of features, or one feature.

    Raises:
        FailureError: it cannot be read, or is none of these.
    """
    try:
        stamp = path.stat()
        return _read(path, stamp.st_mtime_ns, stamp.st_size)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise FailureError(f"{path} cannot be read as GeoJSON: {told}") from error


@lru_cache(maxsize=1)
def _read(path: Path, changed: int, size: int) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Return what `read_features` does; kept, since one file may hold the objects of many images."""
    del changed, size
    data = read_json(path)
    whole = data if isinstance(data, dict) else {}
    features = whole.get("features", [data]) if isinstance(data, dict) else data
    if not isinstance(features, list) or not all(
        isinstance(one, dict) and isinstance(one.get("geometry"), dict | None) for one in features
    ):
        raise ValueError("it has no list of features with a geometry")
    return {key: value for key, value in whole.items() if key != "features"}, features


def properties_of(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the properties of a feature; none where it has none."""
    said = feature.get("properties")
    return said if isinstance(said, dict) else {}


def kind_of(feature: Mapping[str, Any]) -> str:
    """Return the type of a feature's geometry; empty where it has none."""
    geometry = feature.get("geometry")
    return str(geometry.get("type")) if isinstance(geometry, dict) else ""


def corners_of(feature: Mapping[str, Any]) -> int:
    """Return the most corners that an outer ring of a feature has, without the last, which closes it."""
    return max((len(rings[0]) - 1 for rings in _polygons(feature["geometry"]) if rings), default=0)


def _polygons(geometry: Mapping[str, Any]) -> list[Any]:
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return [one for inner in geometry.get("geometries") or () for one in _polygons(inner)]
    found = geometry.get("coordinates") or []
    return [found] if kind == "Polygon" else list(found) if kind == "MultiPolygon" else []


def shape_of(
    feature: Mapping[str, Any],
    where: str,
    place: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> Shape:
    """Return the shape of a feature: its polygons, holes cut out.

    Args:
        feature: with a geometry of `AREAS`.
        where: it is, for the error.
        place: turns ``(n, 2)`` coordinates of the file into pixels; they are pixels where it is ``None``.

    Raises:
        MaskError: a coordinate is no finite number.
    """
    shapes = []
    try:
        for rings in _polygons(feature["geometry"]):
            # Coordinates may have a height as a third number.
            made = [np.array([point[:2] for point in ring], float).reshape(-1, 2) for ring in rings]
            if not all(np.isfinite(ring).all() for ring in made):
                raise ValueError("a coordinate is not finite")
            outline, *holes = [ring if place is None else place(ring) for ring in made] or [np.zeros((0, 2))]
            if len(outline) > 2:
                shapes.append(Polygon([outline, *(hole for hole in holes if len(hole) > 2)]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MaskError(f"{where} cannot be drawn: its coordinates are damaged: {error}") from error
    return shapes[0] if len(shapes) == 1 else Several(shapes)
