"""The one rule for which bands of an image a network gets, and in which order.

Bands that the user chose are used. Otherwise a network for colour images gets red, green and blue, or grey;
any other network gets all bands. A band is dropped only if the file declares it as alpha and the network has
no input for it; `BandChoice.dropped` names it, so that callers can report it once per run.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import ImageError, OptionError
from segzoo.options import listed, many
from segzoo.specs import parse_bands
from segzoo.specs.pictures import is_band_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import ImageInfo
    from segzoo.specs import Preprocessing


class BandsError(ImageError):
    """The bands of an image do not fit; the option ``bands`` chooses others."""

    option = "bands"


#: Names of colour bands, in the order of a colour image.
COLOURS = ("red", "green", "blue")
GREY = "grey"
#: Number of band names that an error lists.
_LISTED = 12


@dataclass(frozen=True)
class BandChoice:
    """The bands of an image that are used.

    Attributes:
        indices: indices of the bands, from 0, in the order used; an index may be repeated.
        names: names of the network's input, one per band.
        luminance: whether the three bands are combined into one, as Pillow converts colour to grey.
        dropped: name of the alpha band that is dropped; empty if there is none.
    """

    indices: tuple[int, ...]
    names: tuple[str, ...]
    luminance: bool = False
    dropped: str = ""


def select_bands(
    pixels: NDArray[Any], info: ImageInfo | None, preprocessing: Preprocessing, in_channels: int
) -> NDArray[Any]:
    """Return ``(H, W, in_channels)``: the bands that a network gets, in its order, in the image's own type.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)`` with all bands of the image, of any type. If possible, a view is
            returned.
        info: metadata of the image's file; without it, no band is alpha and bands have no names.
        preprocessing: preprocessing whose ``bands`` and ``channels`` define the bands.
        in_channels: number of bands that the network expects.

    Raises:
        ImageError: the image's bands do not fit; the message lists them and says how to choose.
        OptionError: the number of chosen bands is not the network's, or the preprocessing is for another
            number of bands.
    """
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    try:
        choice = choose_bands(pixels.shape[2], info, preprocessing, in_channels)
    except ImageError as error:
        if info is None and pixels.shape[0] == in_channels < pixels.shape[2]:
            raise ImageError(
                f"an array of shape {pixels.shape} is (H, W, C) with {pixels.shape[2]} bands, but the "
                f"network expects {in_channels}: if bands come first, pass layout='CHW' or "
                "array.transpose(1, 2, 0)"
            ) from error
        raise
    return take_bands(pixels, choice)


def choose_bands(
    count: int, info: ImageInfo | None, preprocessing: Preprocessing, in_channels: int
) -> BandChoice:
    """Return which of an image's bands `select_bands` uses, without looking at its pixels.

    Args:
        count: number of bands of the image.
        info: metadata of its file; see `select_bands`.
        preprocessing: preprocessing; see `select_bands`.
        in_channels: number of bands that the network expects.

    Raises:
        ImageError: the image's bands do not fit; see `select_bands`.
        OptionError: the number of chosen bands is not the network's, or the preprocessing is for another
            number of bands.
    """
    names = band_names(count, info)
    wanted = preprocessing.channels
    if preprocessing.bands:
        chosen = chosen_bands(preprocessing.bands, names)
        chosen = _fitted(chosen, preprocessing, in_channels)
        return BandChoice(chosen, tuple(names[index] for index in chosen))
    if wanted != "any" and in_channels != (1 if wanted == "grey" else 3):
        raise OptionError(
            f"the network expects {in_channels} bands, but its config has channels={wanted!r}: correct "
            "preprocessing.channels in config.json"
        )
    choice = _any(names, info, in_channels) if wanted == "any" else _colours(names, info, wanted)
    if choice is None or len(choice.names) != in_channels:
        raise BandsError(_unfit(names, wanted, in_channels))
    return choice


def with_bands(
    preprocessing: Preprocessing, bands: str | int | Sequence[str | int], in_channels: int
) -> Preprocessing:
    """Return a network's preprocessing with the bands that the user chose.

    Args:
        preprocessing: preprocessing of the network.
        bands: bands, in any form that `parse_bands` accepts. If the network is for colour images, they are
            its red, green and blue; a single band is grey.
        in_channels: number of bands that the network expects.

    Raises:
        OptionError: these are not bands, or their number is not the network's.
    """
    chosen = replace(preprocessing, bands=parse_bands(bands))
    _fitted(range(len(chosen.bands)), chosen, in_channels)
    return chosen


def take_bands(pixels: NDArray[Any], choice: BandChoice) -> NDArray[Any]:
    """Return ``(H, W, C)`` with the bands of a choice; if possible, a view of ``pixels``.

    Args:
        pixels: ``(H, W, C)`` with all bands of the image, or some of its rows.
        choice: bands to use, from `choose_bands`.
    """
    first, count = choice.indices[0], len(choice.indices)
    if choice.indices == tuple(range(first, first + count)):
        taken = pixels if count == pixels.shape[2] else pixels[..., first : first + count]
    elif choice.indices == tuple(range(first, first - count, -1)):
        taken = pixels[..., first::-1] if first + 1 == count else pixels[..., first : first - count : -1]
    else:
        taken = np.take(pixels, choice.indices, axis=2)
    return _luminance(taken) if choice.luminance else taken


def band_names(count: int, info: ImageInfo | None) -> tuple[str, ...]:
    """Return a name for each of an image's bands: ``"band 1"`` and so on if the file does not name them.

    Args:
        count: number of bands of the image.
        info: metadata of its file, if it has one.
    """
    if info is not None and len(info.bands) == count:
        return info.bands
    return names_of_bands(count, colours=False)


def names_of_bands(count: int, *, colours: bool = True) -> tuple[str, ...]:
    """Return default names for bands: grey, colours, or ``"band 1"`` and so on.

    Args:
        count: number of bands.
        colours: whether one band is grey, and three are red, green and blue.
    """
    known = {1: (GREY,), 3: COLOURS} if colours else {}
    return known.get(count) or tuple(map(_unnamed, range(count)))


def alpha_band(count: int, info: ImageInfo | None) -> int | None:
    """Return the index of the band that an image's file declares as alpha, if there is one.

    Args:
        count: number of bands of the image.
        info: metadata of the image's file.
    """
    return info.alpha if info is not None and len(info.bands) == count else None


def colour_bands(choice: BandChoice, preprocessing: Preprocessing) -> tuple[int, ...]:
    """Return which bands of a choice are colours: red, green and blue in this order, or those present.

    Bands are colours by name. Bands without names that were not chosen are colours if the network is for
    colour images, or if there are one or three.

    Args:
        choice: bands of an image.
        preprocessing: preprocessing for which they were chosen.
    """
    names = [name.casefold() for name in choice.names]
    unnamed = all(name == _unnamed(index) for index, name in zip(choice.indices, names, strict=False))
    if unnamed and not preprocessing.bands:
        if len(names) not in (1, 3):
            return ()
        return (2, 1, 0) if preprocessing.channels == "bgr" else tuple(range(len(names)))
    if len(set(names)) == 1 and names[0] == GREY:
        return tuple(range(len(names)))
    colours = tuple(names.index(colour) for colour in COLOURS if colour in names)
    return colours or tuple(index for index, name in enumerate(names) if name == GREY)


def told_alpha(count: int, in_channels: int) -> str:
    """Return the message, given once per run, about dropped alpha bands.

    Args:
        count: number of images whose alpha was dropped.
        in_channels: number of bands that the network expects.
    """
    return (
        f"the alpha channel of {many(count, 'image')} was ignored: the network takes "
        f"{many(in_channels, 'band')}"
    )


def to_channels(image: NDArray[Any], preprocessing: Preprocessing) -> NDArray[Any]:
    """Return the result of `select_bands` for an image without alpha; kept for old plug-ins.

    Raises:
        ImageError: the image's bands do not fit; see `select_bands`.
    """
    warnings.warn("segzoo.images.to_channels is now select_bands", DeprecationWarning, stacklevel=2)
    wanted = {"any": image.shape[2], "grey": 1}.get(preprocessing.channels, 3)
    return select_bands(image, None, preprocessing, wanted)


def chosen_bands(bands: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of bands that are given by number from 1 or by name.

    Args:
        bands: bands, from `segzoo.specs.parse_bands`.
        names: names of all bands of an image.

    Raises:
        ImageError: there is no such band, or several have its name; the message lists the bands.
    """
    return tuple(_index(band, names) for band in bands)


def _unnamed(index: int) -> str:
    return f"band {index + 1}"


def _fitted(chosen: Sequence[int], preprocessing: Preprocessing, in_channels: int) -> tuple[int, ...]:
    """Return chosen bands in the network's order: grey repeated for colours, and reversed for BGR."""
    bands, colours = tuple(chosen), preprocessing.channels in ("rgb", "bgr")
    if len(bands) == 1 and colours:
        bands *= 3
    if len(bands) != in_channels:
        said, names = many(len(preprocessing.bands), "band", "are"), ",".join(preprocessing.bands)
        raise OptionError(f"{said} chosen ({names}), but the network takes {in_channels}: choose as many")
    return bands[::-1] if preprocessing.channels == "bgr" else bands


def _any(names: Sequence[str], info: ImageInfo | None, in_channels: int) -> BandChoice | None:
    """Return all bands, or all except alpha, if their number is the network's."""
    indices = tuple(range(len(names)))
    if len(names) == in_channels:
        return BandChoice(indices, tuple(names))
    return _without_alpha(indices, names, info)


def _colours(names: Sequence[str], info: ImageInfo | None, wanted: str) -> BandChoice | None:
    """Return the bands that are red, green and blue, or grey, in the order of ``wanted``."""
    choice = _without_alpha(tuple(range(len(names))), names, info)
    if len(choice.indices) not in (1, 3):
        return None
    indices = choice.indices
    if len(indices) == 1:
        return choice if wanted == "grey" else replace(choice, indices=indices * 3, names=choice.names * 3)
    if set(choice.names) == set(COLOURS):  # in any order
        indices = tuple(names.index(colour) for colour in COLOURS)
    if wanted == "grey":
        return BandChoice(indices, (GREY,), luminance=True, dropped=choice.dropped)
    indices = indices[::-1] if wanted == "bgr" else indices
    return BandChoice(indices, tuple(names[index] for index in indices), dropped=choice.dropped)


def _without_alpha(indices: tuple[int, ...], names: Sequence[str], info: ImageInfo | None) -> BandChoice:
    alpha = alpha_band(len(names), info)
    kept = tuple(index for index in indices if index != alpha)
    return BandChoice(
        kept, tuple(names[index] for index in kept), dropped="" if alpha is None else names[alpha]
    )


def _index(band: str, names: Sequence[str]) -> int:
    """Return the index of a band that is given by number from 1 or by name."""
    if is_band_number(band):
        if 1 <= int(band) <= len(names):
            return int(band) - 1
        raise BandsError(f"there is no band {band}: the image has {_listed(names)}")
    found = [index for index, name in enumerate(names) if name.strip().casefold() == band.casefold()]
    if len(found) > 1:
        numbers = ", ".join(str(index + 1) for index in found)
        raise BandsError(f"the bands {numbers} are all called {band!r}: choose by number")
    if not found:
        unnamed = all(name == _unnamed(index) for index, name in enumerate(names))
        how = "; they have no names, so choose by number" if unnamed else ""
        raise BandsError(f"no band is called {band!r}: the image has {_listed(names)}{how}")
    return found[0]


def _unfit(names: Sequence[str], wanted: str, in_channels: int) -> str:
    """Return the error message for an image whose bands do not fit a network."""
    kind = {"any": "", "grey": " (grey)"}.get(wanted, " (red, green, blue)")
    told = f"the image has {_listed(names)}, but the network takes {in_channels}{kind}"
    if len(names) < in_channels and wanted not in ("rgb", "bgr"):
        return f"{told}: use images with more bands, or another network (in_channels={len(names)})"
    if len(names) < in_channels:
        return (
            f"{told}: choose one with --bands 1 (bands=1 in Python), which is used as grey, or use another "
            f"network (in_channels={len(names)})"
        )
    numbers = [str(number) for number in range(1, in_channels + 1)]
    if in_channels == 3 and wanted != "any" and set(COLOURS) <= set(names):
        numbers = [str(names.index(colour) + 1) for colour in COLOURS]
    return (
        f"{told}: choose with --bands {','.join(numbers)}, with bands=({', '.join(numbers)}"
        f"{',' if in_channels == 1 else ''}) in Python, or with data.bands=[{','.join(numbers)}] in training"
    )


def _listed(names: Sequence[str]) -> str:
    """Return the number of bands and their names as text."""
    return f"{many(len(names), 'band')} ({listed(names, _LISTED)})"


def _luminance(colours: NDArray[Any]) -> NDArray[Any]:
    """Return ``(H, W, 1)`` from red, green and blue, in their type, with Pillow's weights (ITU-R 601-2)."""
    if colours.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L"))[..., None]
    if colours.dtype.kind == "f":
        return colours @ np.array([[0.299], [0.587], [0.114]], colours.dtype)
    # In steps of 2 ** -16, as in Pillow; 32 bits hold the sum of 16-bit values.
    wide = colours.astype(np.uint32 if colours.dtype == np.uint16 else np.int64)
    grey = wide[..., :1] * 19595 + wide[..., 1:2] * 38470 + wide[..., 2:] * 7471 + 0x8000
    return (grey >> 16).astype(colours.dtype)
