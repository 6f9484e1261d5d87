"""Pixels without a measurement: outside a satellite's swath, or where a sensor gave nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unmeasured(pixels: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Return where pixels have no measurement; ``None`` where all have one.

    A pixel has none if all its bands hold ``nodata``, as GDAL reads it: one band of 0 among others is a real
    black. NaN in any band is never a measurement, whether or not the file declares it.

    Args:
        pixels: ``(H, W, C)`` of a file's own type.
        nodata: the value that the file declares; ``None`` for none.

    Returns:
        ``(H, W)``.
    """
    absent = np.zeros(pixels.shape[:2], np.bool_)
    if pixels.dtype.kind == "f":
        np.isnan(pixels).any(axis=2, out=absent)
    if nodata is not None and not math.isnan(nodata):
        value = _of_type(nodata, pixels.dtype)
        if value is not None:
            absent |= (pixels == value).all(axis=2)
    return absent if absent.any() else None


def _of_type(nodata: float, dtype: np.dtype[Any]) -> Any:
    """Return the value as pixels of a type hold it; files spell floats in decimals, which are rounded."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(nodata)
    if dtype.kind in "iu" and float(nodata).is_integer():
        limits = np.iinfo(dtype)
        return dtype.type(int(nodata)) if limits.min <= nodata <= limits.max else None
    return None
