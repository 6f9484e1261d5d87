"""The size of an image's pixels, and the position of the image on the ground.

Map projections are computed by PROJ, through pyproj, which is an extra; sizes that the file gives in metres
or millimetres do not need it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.distribution import extra_line
from segzoo.errors import missing_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segzoo.interfaces import GeoReference, ImageInfo

#: Units of area by unit of length.
_SQUARES = {"m": "square metres", "mm": "square millimetres", "um": "square micrometres"}
#: Projected systems with wrong areas: at 40 degrees, a metre of Web Mercator is only 0.77 m on the ground.
_UNTRUE = ("EPSG:3857", "EPSG:3395", "EPSG:3785", "EPSG:900913")
LONGITUDES = "EPSG:4326"


@dataclass(frozen=True)
class PixelAreas:
    """The area of an image's pixels.

    Attributes:
        unit: unit in words, such as ``"square metres"``.
        same: area of every pixel; ``None`` if it differs between rows.
        rows: maps the first and last row (excluded) to the area of one pixel in each of them.
    """

    unit: str
    same: float | None
    rows: Callable[[int, int], NDArray[np.float64]]


def pixel_areas(info: ImageInfo | None, width: int) -> PixelAreas | None:
    """Return the area of an image's pixels; ``None`` if unknown, with a warning if only pyproj is missing.

    In a projected system, the area follows from the transform. In degrees and in Web Mercator, the area on
    the ellipsoid is computed for the middle column of each row.

    Args:
        info: metadata of the file.
        width: width of the image in pixels.
    """
    if info is None:
        return None
    if info.geo is None:
        if info.pixel_size is None or info.unit not in _SQUARES:
            return None
        return _constant(_SQUARES[info.unit], info.pixel_size[0] * info.pixel_size[1])
    geo = info.geo
    if not geo.crs:
        return None
    if geo.metre and geo.crs not in _UNTRUE:
        a, b, _, d, e, _ = geo.transform
        return _constant(_SQUARES["m"], abs(a * e - b * d) * geo.metre**2)
    pyproj = _pyproj()
    if pyproj is None:
        warnings.warn(
            f"areas are given only in pixels, because square metres in {_short(geo.crs)} need pyproj: "
            f"{extra_line('geo')}",
            stacklevel=2,
        )
        return None
    ellipsoid = pyproj.CRS(geo.crs).get_geod()
    if ellipsoid is None:
        return None

    def rows(top: int, bottom: int) -> NDArray[np.float64]:
        left = width / 2 - 0.5
        corners = np.array([[left, 0], [left + 1, 0], [left + 1, 1], [left, 1]])
        found = np.empty(bottom - top)
        for row in range(top, bottom):
            points = project(geo, corners + np.array([0, row]), LONGITUDES)
            found[row - top] = abs(ellipsoid.polygon_area_perimeter(*points.T)[0])
        return found

    return PixelAreas(_SQUARES["m"], None, rows)


def _constant(unit: str, area: float) -> PixelAreas:
    return PixelAreas(unit, area, lambda top, bottom: np.full(bottom - top, area))


def project(geo: GeoReference, points: NDArray[Any], crs: str = "") -> NDArray[np.float64]:
    """Return the map coordinates of points of an image.

    Args:
        geo: georeference of the image.
        points: ``(n, 2)`` of x and y in pixels, from the top left corner of the image.
        crs: target reference system; that of the image if empty.

    Returns:
        ``(n, 2)``: x and y, or longitude and latitude.

    Raises:
        MissingExtraError: the target system differs, and pyproj is not installed.
    """
    a, b, c, d, e, f = geo.transform
    x, y = np.asarray(points, np.float64).T
    placed = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
    if not crs or crs == geo.crs:
        return placed
    return np.stack(_transformer(geo.crs, crs).transform(*placed.T), axis=1)


def needs_pyproj(geo: GeoReference, crs: str) -> bool:
    """Whether `project` would need pyproj but it is not installed."""
    return bool(crs) and crs != geo.crs and _pyproj() is None


@lru_cache(maxsize=16)
def _transformer(before: str, after: str) -> Any:
    pyproj = _pyproj()
    if pyproj is None:
        raise missing_extra(f"coordinates in {after} need pyproj", "geo")
    return pyproj.Transformer.from_crs(before, after, always_xy=True)


def _pyproj() -> Any:
    try:
        return import_module("pyproj")
    except ImportError:
        return None


def urn(crs: str) -> str:
    """Return the URN of a reference system, as GeoJSON of 2008 names it."""
    authority, _, code = crs.partition(":")
    return f"urn:ogc:def:crs:{authority}::{code}" if authority == "EPSG" else crs


def _short(crs: str) -> str:
    return crs if len(crs) < 40 else f"{crs[:36]}..."
