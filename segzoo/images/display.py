"""Convert images with any bands and values for display: red, green and blue, or grey, in 8 bits.

This is for display only: the network's input is defined by `segzoo.images.intensity`. 8-bit values do not
change. Other values are stretched between two percentiles of the image, so that a few outliers have no
effect: each band separately, but red, green and blue together, because their proportions define the colour.
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
    """How an image is displayed.

    Attributes:
        bands: indices of the one or three bands that are shown, as grey or as red, green and blue.
        scaling: scaling of their values to 0 to 1; ``None`` if 8-bit values do not change.
        inverted: whether low values are bright.
    """

    bands: tuple[int, ...]
    scaling: Scaling | None = None
    inverted: bool = False

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return ``(H, W, 3)``; 8-bit red, green and blue are returned unchanged.

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
    """Return how an image is displayed.

    Args:
        rows: rows ``(h, W, C)`` of the image from the top, iterated once; for 8-bit images, only the first
            are used.
        info: metadata of the image's file: band names, display window, no-data value.
        bands: bands to show, by number from 1 or by name: one, or three (the first three if there are more);
            by default red, green and blue, else the first three that are not alpha, else the first.

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
    """Return an image for display, ``(H, W, 3)`` uint8; 8-bit images of three bands do not change.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` of any type and with any number of bands.
        info: metadata of the image's file; see `display_for`.
        bands: bands to show; see `display_for`.

    Raises:
        ImageError: there are no such bands.
    """
    pixels = image if image.ndim == 3 else image[..., None]
    return display_for([pixels], info, bands=bands).apply(pixels)


def _shown(count: int, info: ImageInfo | None, bands: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of one or three bands."""
    names = band_names(count, info)
    if bands:
        chosen = chosen_bands(bands, names)
        return chosen[:3] if len(chosen) >= 3 else chosen[:1]
    folded = [name.casefold() for name in names]
    if set(COLOURS) <= set(folded):
        return tuple(folded.index(colour) for colour in COLOURS)
    others = [index for index in range(count) if index != alpha_band(count, info)] or [0]
    return tuple(others[:3]) if len(others) >= 3 else (others[0],)
