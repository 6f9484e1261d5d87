"""GeoTIFF and GDAL tags: georeference of a TIFF, its no-data value, and the names of its bands.

Sources: OGC 19-008r4 (GeoTIFF 1.1), and GDAL's documentation of its GTiff driver for its two tags. Tags are
mappings from numbers to values as Pillow (``tag_v2``) and tifffile (``{tag.code: tag.value}``) return them,
so an image keeps its georeference no matter which of the two decodes it, without any other library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from segzoo.interfaces import GeoReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.interfaces import ImageInfo

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION = 33550, 33922, 34264
KEYS, DOUBLES, TEXTS = 34735, 34736, 34737
GDAL_METADATA, GDAL_NODATA = 42112, 42113
#: Georeference tags; a mask with the same tags has the same position as the image.
PLACING = (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, KEYS, DOUBLES, TEXTS)
#: All tags that are read here.
TAGS = (*PLACING, GDAL_METADATA, GDAL_NODATA)
#: GDAL's names of colours that differ from segzoo's.
_COLOURS = {"gray": "grey"} | {name: name for name in ("red", "green", "blue", "alpha")}
#: Key in `segzoo.interfaces.ImageInfo.extra` under which a file's tags from `PLACING` are stored.
EXTRA = "geotiff"

_MODEL, _IS_PROJECTED, _IS_GEOGRAPHIC = 1024, 1, 2
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2
_GEOGRAPHIC, _PROJECTED, _USER_DEFINED = 2048, 3072, 32767
_UNIT = 3076
_PROJECTION, _METHOD = 3074, 3075
_ELLIPSOID, _SEMI_MAJOR, _SEMI_MINOR, _INVERSE_FLATTENING = 2056, 2057, 2058, 2059
_ELLIPSOIDS = {7019: "GRS80", 7022: "intl", 7030: "WGS84"}
_DATUMS = {4258: "+ellps=GRS80", 4267: "+datum=NAD27", 4269: "+datum=NAD83", 4326: "+datum=WGS84"}
#: PROJ's name of a unit, and its length in metres.
_UNITS = {9001: ("m", 1.0), 9002: ("ft", 0.3048), 9003: ("us-ft", 1200 / 3937)}
#: PROJ's name of a projection method, and the keys of its parameters; if a parameter has two keys, the first
#: one present counts.
_METHODS: dict[int, tuple[str, dict[str, tuple[int, ...]]]] = {
    1: ("tmerc", {"lon_0": (3080,), "lat_0": (3081,), "k": (3092,), "x_0": (3082,), "y_0": (3083,)}),
    8: (
        "lcc",
        {
            "lat_1": (3078,),
            "lat_2": (3079,),
            "lon_0": (3084, 3080),
            "lat_0": (3085, 3081),
            "x_0": (3086, 3082),
            "y_0": (3087, 3083),
        },
    ),
    10: (
        "laea",
        {"lon_0": (3088, 3080), "lat_0": (3089, 3081), "x_0": (3082, 3090), "y_0": (3083, 3091)},
    ),
    11: (
        "aea",
        {
            "lat_1": (3078,),
            "lat_2": (3079,),
            "lon_0": (3080, 3088),
            "lat_0": (3081, 3089),
            "x_0": (3082,),
            "y_0": (3083,),
        },
    ),
}


@dataclass(frozen=True, kw_only=True)
class GeoTags:
    """The content of a TIFF's tags.

    Attributes:
        geo: georeference of the image.
        nodata: value of pixels without a measurement.
        bands: name of each band, from its description or colour; empty if the tags give none.
        placing: georeference tags, for `segzoo.interfaces.ImageInfo.extra`.
    """

    geo: GeoReference | None = None
    nodata: float | None = None
    bands: tuple[str, ...] = ()
    placing: Mapping[int, Any] = field(default_factory=dict)


def read_geo_tags(tags: Mapping[int, Any], bands: int = 1) -> GeoTags:
    """Return the content of a TIFF's tags; damaged and unknown tags are ignored.

    Args:
        tags: tag values by number.
        bands: number of bands of the image.
    """
    transform = _transform(tags)
    placed = GeoReference(transform=transform, crs=_crs(tags), metre=_metre(tags)) if transform else None
    return GeoTags(
        geo=placed,
        nodata=_nodata(tags),
        bands=_band_names(tags, bands),
        placing={code: tags[code] for code in PLACING if code in tags} if placed else {},
    )


def described(info: ImageInfo, tags: Mapping[int, Any]) -> ImageInfo:
    """Return the metadata of a TIFF, completed with georeference, band names and no-data value from its tags.

    Args:
        info: metadata whose band names come from the file's photometric interpretation.
        tags: tag values by number.
    """
    found = read_geo_tags(tags, len(info.bands))
    bands = tuple(
        told if told in _COLOURS.values() or (told and name.startswith("band ")) else name
        for name, told in zip(info.bands, found.bands, strict=True)
    )
    extra = {**info.extra, EXTRA: found.placing} if found.placing else info.extra
    return replace(info, geo=found.geo, nodata=found.nodata, bands=bands, extra=extra)


def placing_tags(geo: GeoReference, known: Mapping[int, Any] | None = None) -> dict[int, Any]:
    """Return the georeference tags of a TIFF.

    Args:
        geo: georeference.
        known: tags of the original image, which are copied; without them, tags are made from ``geo``, whose
            reference system is kept if it is an EPSG code.
    """
    if known:
        return {int(code): value for code, value in known.items()}  # JSON turns numeric keys into text
    a, b, c, d, e, f = geo.transform
    tags: dict[int, Any] = {TRANSFORMATION: (a, b, 0.0, c, d, e, 0.0, f, *([0.0] * 7), 1.0)}
    if b == d == 0 and a > 0 > e:
        tags = {PIXEL_SCALE: (a, -e, 0.0), TIE_POINTS: (0.0, 0.0, 0.0, c, f, 0.0)}
    authority, _, code = geo.crs.partition(":")
    if authority == "EPSG" and code.isascii() and code.isdigit() and int(code) < _USER_DEFINED:
        # EPSG's two-dimensional geographic systems have numbers from 4001 to 4999.
        geographic = 4000 < int(code) < 5000
        model, key = (_IS_GEOGRAPHIC, _GEOGRAPHIC) if geographic else (_IS_PROJECTED, _PROJECTED)
        unit = next((number for number, (_, metre) in _UNITS.items() if metre == geo.metre), 0)
        keys = [(_MODEL, model), (_RASTER_TYPE, 1), (key, int(code)), *([(_UNIT, unit)] if unit else [])]
        tags[KEYS] = (1, 1, 0, len(keys), *(part for name, value in keys for part in (name, 0, 1, value)))
    return tags


def _transform(tags: Mapping[int, Any]) -> tuple[float, float, float, float, float, float] | None:
    matrix = _numbers(tags.get(TRANSFORMATION))
    scale, points = _numbers(tags.get(PIXEL_SCALE)), _numbers(tags.get(TIE_POINTS))
    if len(matrix) == 16:
        a, b, c, d, e, f = matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7]
    elif len(scale) >= 2 and len(points) == 6:
        a, b, d, e = scale[0], 0.0, 0.0, -scale[1]
        c, f = points[3] - a * points[0], points[4] - e * points[1]
    else:
        return None
    if not all(map(math.isfinite, (a, b, c, d, e, f))) or a * e == b * d:
        return None
    if geo_keys(tags).get(_RASTER_TYPE) == _PIXEL_IS_POINT:
        # Here tie points are centres of pixels, but segzoo uses their corners.
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return a, b, c, d, e, f


def _crs(tags: Mapping[int, Any]) -> str:
    keys = geo_keys(tags)
    for key in (_PROJECTED, _GEOGRAPHIC):
        code = keys.get(key)
        if isinstance(code, int) and 0 < code < _USER_DEFINED:
            return f"EPSG:{code}"
        if code == _USER_DEFINED:
            return _by_parameters(keys, projected=key == _PROJECTED)
    return ""


def _metre(tags: Mapping[int, Any]) -> float:
    keys = geo_keys(tags)
    return _UNITS.get(keys.get(_UNIT, 0), ("", 0.0))[1] if keys.get(_MODEL) == _IS_PROJECTED else 0.0


def _by_parameters(keys: Mapping[int, Any], *, projected: bool) -> str:
    """Return a reference system without a code as PROJ text; empty if its method is not supported."""
    figure = _figure(keys)
    if not figure:
        return ""
    if not projected:
        return f"+proj=longlat {figure} +no_defs"
    unit = _UNITS.get(keys.get(_UNIT, 9001), ("", 0.0))[0]
    projection = keys.get(_PROJECTION, 0)
    if not unit:
        return ""
    if isinstance(projection, int) and 16001 <= projection <= 16160 and 1 <= projection % 100 <= 60:
        south = " +south" if projection > 16100 else ""
        return f"+proj=utm +zone={projection % 100}{south} {figure} +units=m +no_defs"
    name, parameters = _METHODS.get(keys.get(_METHOD, 0), ("", {}))
    found = {
        word: next((keys[code] for code in codes if code in keys), None) for word, codes in parameters.items()
    }
    told = [f"+{word}={value:.15g}" for word, value in found.items() if isinstance(value, float)]
    return " ".join([f"+proj={name}", *told, figure, f"+units={unit}", "+no_defs"]) if name and told else ""


def _figure(keys: Mapping[int, Any]) -> str:
    """Return the datum or the ellipsoid in PROJ's form."""
    if (known := _DATUMS.get(keys.get(_GEOGRAPHIC, 0))) is not None:
        return known
    if (named := _ELLIPSOIDS.get(keys.get(_ELLIPSOID, 0))) is not None:
        return f"+ellps={named}"
    major = keys.get(_SEMI_MAJOR)
    if not isinstance(major, float):
        return ""
    if isinstance(flattening := keys.get(_INVERSE_FLATTENING), float) and flattening:
        return f"+a={major:.15g} +rf={flattening:.15g}"
    return f"+a={major:.15g} +b={keys.get(_SEMI_MINOR, major):.15g}"


def geo_keys(tags: Mapping[int, Any]) -> dict[int, Any]:
    """Return the values of a TIFF's GeoKeys by number: integers, floats or texts."""
    directory, doubles = _numbers(tags.get(KEYS)), _numbers(tags.get(DOUBLES))
    texts = tags.get(TEXTS, "")
    found: dict[int, Any] = {}
    for start in range(4, len(directory) - 3, 4):
        key, place, count, value = map(int, directory[start : start + 4])
        if place == 0:
            found[key] = value
        elif place == DOUBLES and count and value < len(doubles):
            found[key] = doubles[value]
        elif place == TEXTS and isinstance(texts, str):
            found[key] = texts[value : value + count].rstrip("|\0")
    return found


def _nodata(tags: Mapping[int, Any]) -> float | None:
    try:
        return float(str(tags.get(GDAL_NODATA, "")).strip("\0 \n"))
    except ValueError:
        return None


def _band_names(tags: Mapping[int, Any], bands: int) -> tuple[str, ...]:
    """Return each band's colour or description from GDAL's metadata; empty if it has neither."""
    text = tags.get(GDAL_METADATA, "")
    names = [""] * bands
    if not isinstance(text, str) or "<!" in text:  # entities are never resolved
        return tuple(names)
    try:
        items = list(ElementTree.fromstring(text.strip("\0 \n")).iter("Item"))
    except ElementTree.ParseError:
        return tuple(names)
    for role in ("description", "colorinterp"):  # the colour, which comes last, overrides the description
        for item in items:
            band, name = item.get("sample", ""), (item.text or "").strip()
            if item.get("role") != role or not band.isdecimal() or int(band) >= bands:
                continue
            names[int(band)] = name if role == "description" else _COLOURS.get(name.lower(), names[int(band)])
    return tuple(names)


def _numbers(value: Any) -> Sequence[float]:
    if isinstance(value, int | float):
        return (value,)
    try:
        return tuple(value) if value is not None and not isinstance(value, str | bytes) else ()
    except TypeError:
        return ()
