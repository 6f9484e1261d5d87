"""The facts about one file: its size, bands and values. Files are read once, as training reads them.

Facts are small, so that those of ten thousand files fit in memory; pixels are never kept.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.data_check.objects import FEWEST, look_at_values
from segzoo.errors import ImageError, MissingExtraError
from segzoo.files import regular
from segzoo.images import band_names, choose_bands, open_image, take_bands, upright_colours
from segzoo.images.intensity import missing, scaling_for
from segzoo.labels import packed, read_mask
from segzoo.specs import Intensity, default_preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.data_check.objects import ValueFacts
    from segzoo.interfaces import ImageInfo

#: Side of the grey thumbnail by which images are compared.
SKETCH = 32
#: If a mask has more values than this, they are only counted.
MOST_VALUES = 256
#: Maximum number of colours that are counted in one mask.
_MOST_COLOURS = 4096
#: Minimum number of pixels per side that are averaged for a cell of a thumbnail.
_AVERAGED = 2
_LARGE = 32_000_000
#: Only one image above ``_LARGE`` pixels is decoded at a time, so that memory stays bounded.
_large_one = threading.Lock()


@dataclass(frozen=True, slots=True)
class BandFacts:
    """The values of one band that training uses.

    Attributes:
        low: lowest value in the file.
        high: highest value in the file.
        mean: mean of values in [0, 1], as training scales them; NaN if they have no fixed scale.
        square: mean of their squares.
    """

    low: float
    high: float
    mean: float
    square: float


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image.

    Attributes:
        size: ``(height, width)``, upright.
        stored: ``(height, width)`` before any EXIF rotation.
        dtype: NumPy name of its data type.
        bands: name of each band, with palettes resolved.
        alpha: index of the band that is declared as opacity, if there is one.
        coding: colour coding, if not red, green and blue, such as ``CMYK``.
        format: format of the file, such as ``PNG``.
        frames: number of pages of a TIFF or frames of a GIF.
        turn: EXIF orientation; 1 is upright.
        digest: hash of the bytes.
        sketch: ``(32, 32)`` uint8, a grey thumbnail.
        tint: mean difference between its colours, in levels of 255; 0 if it is grey.
        uniform: whether all its pixels are equal.
        names: names of the bands that training uses; one if it is grey.
        taken: their values; only for images in the sample.
        scaled: how their values become 0 to 255, in words; empty if they do not change.
        unscaled: why their values have no fixed scale.
        empty: share of the pixels without a measurement.
        problem: why it cannot be read; all other fields have no meaning then.
        extra: how to install a missing package, if that is the problem.
    """

    size: tuple[int, int] = (0, 0)
    stored: tuple[int, int] = (0, 0)
    dtype: str = ""
    bands: tuple[str, ...] = ()
    alpha: int | None = None
    coding: str = ""
    format: str = ""
    frames: int = 1
    turn: int = 1
    digest: bytes = b""
    sketch: NDArray[np.uint8] | None = None
    tint: float = 0.0
    uniform: bool = False
    names: tuple[str, ...] = ()
    taken: tuple[BandFacts, ...] = ()
    scaled: str = ""
    unscaled: str = ""
    empty: float = 0.0
    problem: str = ""
    extra: str = ""

    @property
    def channels(self) -> int:
        """Number of channels for a network: three for grey and colour images, else all bands but alpha."""
        return _channels(len(self.bands), self.alpha)


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """One mask.

    Attributes:
        size: ``(height, width)``, as stored; masks are never rotated.
        dtype: NumPy name of its data type.
        values: pixels of each value; empty if the file holds colours, or more than `MOST_VALUES`
            values.
        colours: pixels of each colour, if the file holds colours; empty if there are too many.
        palette: the colour of each value that occurs, if the file has a palette.
        distinct: number of different values or colours.
        coloured: whether the file holds colours instead of one value per pixel.
        numbers: number of values other than 0, or colours other than black; 0 unless all values are
            non-negative integers.
        highest: highest value, 0 if there is none.
        zeros: pixels of value 0, or black.
        looks: arrangement of the values in the mask, if they may number objects; only for masks in the
            sample.
        problem: why it cannot be read; all other fields have no meaning then.
        extra: how to install a missing package, if that is the problem.
    """

    size: tuple[int, int] = (0, 0)
    dtype: str = ""
    format: str = ""
    frames: int = 1
    turn: int = 1
    values: dict[int, int] = field(default_factory=dict)
    colours: dict[tuple[int, int, int], int] = field(default_factory=dict)
    palette: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    distinct: int = 0
    coloured: bool = False
    numbers: int = 0
    highest: int = 0
    zeros: int = 0
    looks: ValueFacts | None = None
    problem: str = ""
    extra: str = ""


def look_at_image(path: Path, *, measure: bool, page: int | None = None) -> ImageFacts:
    """Read an image; ``measure`` decodes a JPEG at full size, and measures its values."""
    return _guarded(path, lambda: _image(path, page, measure), ImageFacts)


def look_at_mask(path: Path, *, measure: bool = True, page: int | None = None) -> MaskFacts:
    """Read a mask and count its values; ``measure`` also measures their arrangement, for possible objects."""
    return _guarded(path, lambda: _mask(path, page, measure), MaskFacts)


def _guarded(path: Path, look: Callable[[], Any], facts: type[Any]) -> Any:
    """Return the facts about a file, or facts that contain only the problem."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return look()
    except MissingExtraError as error:
        told = _without_name(str(error), path)
        return facts(problem=told, extra=told)
    except ImageError as error:
        return facts(problem=_without_name(str(error), path))


def _without_name(told: str, path: Path) -> str:
    """Return an error message without the file name at its beginning, which a finding shows anyway."""
    rest = told.removeprefix(str(path)).lstrip(": ").removeprefix("cannot be read: ")
    rest = f"it {rest}" if rest.startswith(("is ", "does ", "has ", "holds ")) else rest
    return rest or told


def _image(path: Path, page: int | None, measure: bool) -> ImageFacts:
    # Decoded at a smaller size if only the thumbnail is needed; the whole file is still read, so damage is
    # found.
    smallest = None if measure else (_AVERAGED * SKETCH, _AVERAGED * SKETCH)
    with open_image(path) as image, _alone(image.info):
        stored = image.read(page or 0, smallest=smallest)
        info = image.info
        digest = digest_of(stored) if page is not None or path.is_dir() else _digest_of_file(path)
        pixels, upright = upright_colours(stored, info)
        facts = facts_of(pixels, upright, measure=measure)
    return replace(
        facts,
        size=(upright.height, upright.width),
        stored=(info.height, info.width),
        format=info.format,
        frames=info.pages,
        turn=info.orientation,
        digest=digest,
    )


def facts_of(pixels: NDArray[Any], info: ImageInfo | None, *, measure: bool) -> ImageFacts:
    """Return the facts of an image in memory.

    Args:
        pixels: ``(H, W, C)`` of any type, upright, with all bands.
        info: metadata of its file, if there is one.
        measure: whether its values are measured.

    Raises:
        ImageError: a network cannot use its bands.
    """
    alpha = None if info is None else info.alpha
    nodata = None if info is None else info.nodata
    bands, levels, taken, scaled, unscaled = _scaled(pixels, info)
    sketch, tint = _sketch(levels, SKETCH)
    gone = missing(pixels, nodata) if measure else None
    return ImageFacts(
        size=pixels.shape[:2],
        stored=pixels.shape[:2],
        dtype=str(pixels.dtype),
        bands=band_names(pixels.shape[2], info),
        alpha=alpha,
        coding="" if info is None else str(info.extra.get("coding", "")),
        sketch=sketch,
        tint=tint,
        uniform=bool(levels.min() == levels.max()),
        names=taken,
        taken=_measured(bands, levels, scaled=not unscaled) if measure else (),
        scaled=scaled,
        unscaled=unscaled,
        empty=0.0 if gone is None else float(gone.mean()),
    )


def _scaled(
    pixels: NDArray[Any], info: ImageInfo | None
) -> tuple[NDArray[Any], NDArray[np.uint8], tuple[str, ...], str, str]:
    """Return the bands that training uses, unchanged and as levels, their names, and how they are scaled."""
    names = band_names(pixels.shape[2], info)
    wanted = _channels(len(names), None if info is None else info.alpha)
    choice = choose_bands(len(names), info, default_preprocessing(wanted), wanted)
    bands = take_bands(pixels, choice)
    if len(set(choice.indices)) == 1:  # grey, which a colour network gets three times
        bands = bands[..., :1]
    taken = choice.names[: bands.shape[2]]
    try:
        scaling = scaling_for(Intensity(), bands, nodata=None if info is None else info.nodata)
        return bands, scaling.apply(bands).astype(np.uint8, copy=False), taken, scaling.told, ""
    except ImageError as error:
        return bands, _stretched(bands), taken, "", str(error)


def look_again(path: Path, side: int, *, page: int | None = None) -> NDArray[np.uint8] | None:
    """Return a grey thumbnail of an image, ``(side, side)``; ``None`` if it can no longer be read."""
    try:
        with warnings.catch_warnings(), open_image(path) as image, _alone(image.info):
            warnings.simplefilter("ignore")
            pixels, upright = upright_colours(
                image.read(page or 0, smallest=(_AVERAGED * side, _AVERAGED * side)), image.info
            )
        return grey_of(pixels, upright, side)
    except (ImageError, MissingExtraError):
        return None


def grey_of(pixels: NDArray[Any], info: ImageInfo | None, side: int) -> NDArray[np.uint8]:
    """Return a grey thumbnail of an image in memory; arguments as in `facts_of`."""
    return _sketch(_scaled(pixels, info)[1], side)[0]


def _channels(count: int, alpha: int | None) -> int:
    kept = count - (alpha is not None)
    return 3 if kept in (1, 3) else kept


def _measured(bands: NDArray[Any], levels: NDArray[np.uint8], *, scaled: bool) -> tuple[BandFacts, ...]:
    found = []
    steps = np.arange(256) / 255
    for index, shares in enumerate(_histograms(levels) / levels[..., 0].size):
        band = bands[..., index]
        known = band[np.isfinite(band)] if band.dtype.kind == "f" else band
        low, high = (float(known.min()), float(known.max())) if known.size else (nan, nan)
        mean, square = (float(shares @ steps), float(shares @ steps**2)) if scaled else (nan, nan)
        found.append(BandFacts(low, high, mean, square))
    return tuple(found)


def _histograms(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return ``(C, 256)``: the frequency of each value in each band."""
    if levels.shape[2] in (1, 3):
        image = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
        return np.array(image.histogram(), np.float64).reshape(-1, 256)
    bands = np.moveaxis(levels, -1, 0)
    return np.array([np.bincount(band.ravel(), minlength=256) for band in bands], np.float64)


def _stretched(bands: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values without a fixed scale as grey levels, to compare images."""
    wide = np.nan_to_num(bands.astype(np.float64), posinf=0, neginf=0)
    low, high = wide.min(), wide.max()
    return np.rint((wide - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def _sketch(levels: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """Return a grey thumbnail, and the mean difference between the image's colours in levels."""
    coloured = levels.shape[2] == 3
    small = Image.fromarray(levels if coloured else levels.mean(axis=2).astype(np.uint8))
    small = small.resize((side, side), Image.Resampling.BOX, reducing_gap=2)
    if not coloured:
        return np.asarray(small), 0.0
    colours = np.asarray(small)
    return np.asarray(small.convert("L")), float((colours.max(axis=2) - colours.min(axis=2)).mean())


def _alone(info: ImageInfo) -> AbstractContextManager[Any]:
    return _large_one if info.height * info.width > _LARGE else nullcontext()


def digest_of(pixels: NDArray[Any]) -> bytes:
    """Return a hash of an image's values."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def _digest_of_file(path: Path) -> bytes:
    with regular(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _mask(path: Path, page: int | None, measure: bool) -> MaskFacts:
    with open_image(path) as image, _alone(image.info):
        info = image.info
        values = read_mask(path, page=page, colours=True)
        facts = mask_facts(values, measure=measure)
    return replace(
        facts,
        dtype=info.dtype,
        palette={value: info.palette[value] for value in facts.values if 0 <= value < len(info.palette)},
        format=info.format,
        frames=info.pages,
        turn=info.orientation,
    )


def mask_facts(values: NDArray[Any], *, measure: bool) -> MaskFacts:
    """Return the facts of a mask in memory.

    Args:
        values: ``(H, W)``, or ``(H, W, 3)`` colours, as `segzoo.labels.read_mask` returns them.
        measure: whether the arrangement of the values is measured.
    """
    told: dict[str, Any] = {"size": values.shape[:2], "dtype": str(values.dtype)}
    if values.ndim == 3:
        return _coloured(values, told, measure)
    if values.dtype == np.uint8:
        every = _histograms(values[..., None])[0].astype(np.int64)
        found = np.flatnonzero(every)
        counts = every[found]
    else:
        found, counts = np.unique(values, return_counts=True)
    if values.dtype.kind == "f":  # floats with integer values are integers here
        return MaskFacts(**told, distinct=len(found))
    kept = zip(found.tolist(), counts.tolist(), strict=True) if len(found) <= MOST_VALUES else ()
    told |= {"values": dict(kept), "distinct": len(found)}
    if found[0] < 0:
        return MaskFacts(**told)
    zeros = int(counts[0]) if found[0] == 0 else 0
    numbers = len(found) - (zeros > 0)
    looks = look_at_values(values) if measure and numbers >= FEWEST else None
    return MaskFacts(**told, numbers=numbers, highest=int(found[-1]), zeros=zeros, looks=looks)


def _coloured(values: NDArray[Any], told: dict[str, Any], measure: bool) -> MaskFacts:
    found = Image.fromarray(values).getcolors(_MOST_COLOURS) if values.dtype == np.uint8 else None
    if found is None:
        return MaskFacts(**told, distinct=_MOST_COLOURS + 1, coloured=True)
    colours: dict[Any, int] = {colour: count for count, colour in found}
    kept = colours if len(colours) <= MOST_VALUES else {}
    zeros = colours.get((0, 0, 0), 0)
    numbers = len(colours) - (zeros > 0)
    looks = look_at_values(packed(values)) if measure and numbers >= FEWEST else None
    told |= {"numbers": numbers, "zeros": zeros, "looks": looks}
    return MaskFacts(**told, colours=kept, distinct=len(colours), coloured=True)
