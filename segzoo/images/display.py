"""Images of any bands and values as people can see them: red, green and blue, or grey, in 8 bits.

For the eye alone: what a network sees is decided by `segzoo.images.intensity`. Bytes stay as they are. Other
values are stretched between two percentiles of the image, which a few outliers do not move: each band by
itself, or red, green and blue alike, as their proportions are the colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import ImageError
from segzoo.images.bands import COLOURS, alpha_band, band_names, chosen_bands
from segzoo.images.intensity import scaling_of_rows
from segzoo.specs import Intensity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from segzoo.images.intensity import Scaling
    from segzoo.interfaces import ImageInfo

#: Percentiles that become black and white.
_BLACK, _WHITE = 1.0, 99.8


@dataclass(frozen=True, kw_only=True)
class Display:
    """How an image is shown.

    Attributes:
        bands: indices of the one or three bands that are shown, as grey or as red, green and blue.
        scaling: from their values to 0 to 1; ``None`` where bytes stay as they are.
        inverted: whether low values are bright.
    """

    bands: tuple[int, ...]
    scaling: Scaling | None = None
    inverted: bool = False

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``(H, W, 3)``; bytes of red, green and blue are returned as they are.

        Args:
            pixels: ``(H, W, C)``: the image, or some of its rows.
        """
        whole = self.bands == (0, 1, 2) and pixels.shape[2] == 3
        seen = pixels if whole else pixels[..., list(self.bands)]
        if self.scaling is not None:
            seen = np.rint(self.scaling.apply(seen) * np.float32(255)).astype(np.uint8)
        if self.inverted:
            seen = np.uint8(255) - seen
        return np.ascontiguousarray(np.repeat(seen, 3, axis=2) if seen.shape[2] == 1 else seen)


def display_for(
    rows: Iterable[NDArray[Any]], info: ImageInfo | None = None, *, bands: Sequence[str] = ()
) -> Display:
    """Return how an image is shown.

    Args:
        rows: the image from the top, some rows ``(h, W, C)`` at a time, gone through once; of bytes, only the
            first of them are asked for.
        info: the metadata of the image's file: names of bands, a window, a value for no data.
        bands: which one or three bands are shown, of more the first three, by number from 1 or by name; where
            empty, red, green and blue, or the first three that are not alpha, or the first.

    Raises:
        ImageError: there are no such bands.
    """
    parts = iter(rows)
    first = next(parts)
    chosen = _shown(first.shape[2], info, bands)
    inverted = info is not None and info.inverted
    if first.dtype == np.uint8:
        return Display(bands=chosen, inverted=inverted)
    names = band_names(first.shape[2], info)
    colours = tuple(names[index].casefold() for index in chosen) == COLOURS
    intensity = Intensity(mode="percentiles", low=_BLACK, high=_WHITE, per="all" if colours else "band")
    if info is not None and info.window is not None and info.window[0] < info.window[1]:
        intensity = Intensity(mode="range", low=info.window[0], high=info.window[1])
    seen = (part[..., list(chosen)] for part in chain([first], parts))
    nodata = None if info is None else info.nodata
    try:
        scaling = scaling_of_rows(intensity, seen, dtype=first.dtype, nodata=nodata)
    except ImageError:  # no pixel has a measurement: the picture is black
        scaling = scaling_of_rows(Intensity(mode="range"), (), dtype=first.dtype, nodata=nodata)
    return Display(bands=chosen, scaling=scaling, inverted=inverted)


def displayed(
    image: NDArray[Any], info: ImageInfo | None = None, *, bands: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Return an image as people can see it, ``(H, W, 3)`` uint8; bytes of three bands stay as they are.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` of any type and any number of bands.
        info: as `display_for`.
        bands: as `display_for`.

    Raises:
        ImageError: as `display_for`.
    """
    pixels = image if image.ndim == 3 else image[..., None]
    return display_for([pixels], info, bands=bands).apply(pixels)


def _shown(count: int, info: ImageInfo | None, bands: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of one band or three."""
    names = band_names(count, info)
    if bands:
        chosen = chosen_bands(bands, names)
        return chosen[:3] if len(chosen) >= 3 else chosen[:1]
    folded = [name.casefold() for name in names]
    if set(COLOURS) <= set(folded):
        return tuple(folded.index(colour) for colour in COLOURS)
    others = [index for index in range(count) if index != alpha_band(count, info)] or [0]
    return tuple(others[:3]) if len(others) >= 3 else (others[0],)
