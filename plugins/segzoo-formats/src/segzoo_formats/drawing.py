"""What shapes in annotation files are made of: finite numbers, corners, and masks as pictures in a text."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import MaskError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


def finite(said: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """Return a number of a shape.

    Args:
        said: shape as its file stores it.
        key: key of the number.
        default: value if the number is missing; ``None`` if the number is required.

    Raises:
        KeyError: there is none.
        ValueError: it is no number, or not finite.
    """
    value = float(said[key] if default is None else said.get(key, default))
    if not math.isfinite(value):
        raise ValueError(f"{key} is {value}")
    return value


def corners(points: Iterable[Any]) -> NDArray[np.float64]:
    """Return pairs of x and y as ``(n, 2)``.

    Raises:
        TypeError: a point is no pair.
        ValueError: a point is no pair of numbers, or a number is not finite.
    """
    found = np.array([(float(x), float(y)) for x, y in points]).reshape(-1, 2)
    if not np.isfinite(found).all():
        raise ValueError("a coordinate is not finite")
    return found


def turned(points: NDArray[np.float64], degrees: float, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points turned about a centre, clockwise on a screen.

    Args:
        points: ``(n, 2)`` of x and y.
        degrees: the angle.
        centre: its x and y.
    """
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (points - centre) @ turn + centre


def picture_mask(picture: bytes) -> NDArray[np.bool_]:
    """Return where a PNG is not transparent, ``(H, W)``; one without transparency, where it is not black.

    Raises:
        ValueError: it is no PNG, damaged, or larger than Pillow opens.
    """
    try:
        with Image.open(io.BytesIO(picture), formats=("PNG",)) as image:
            if "A" in image.getbands() or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))[..., 3] > 0
            return np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's own for what is damaged
        raise ValueError(f"its mask is no picture, or too large: {error}") from error


def not_drawn(where: str, error: Exception) -> MaskError:
    """Return the error for a shape that cannot be drawn.

    Args:
        where: the file and the shape in it.
        error: what drawing it raised; a `KeyError` is a part that it lacks.
    """
    told = f"it has no {error}" if isinstance(error, KeyError) else error
    return MaskError(f"{where} cannot be drawn: {told}")
