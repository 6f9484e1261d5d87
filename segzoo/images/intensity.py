"""Scale the values of a file to the numbers that mean and std are applied to.

This is the only place where values are scaled. It takes arrays ``(H, W, C)`` of any type, with the bands of
the network's input, and returns **uint8** (0 to 255, which count as 0 to 1) or **float32** (0 to 1, or
unbounded after ``standard``). There are two steps: `scaling_for` finds how one image is scaled,
`Scaling.apply` scales it. An image larger than memory is measured by `scaling_of_rows` and scaled a few rows
at a time, with equal values.

Measurements are robust if possible: ``uint8`` mode finds the bit depth that all but isolated bright pixels
need (`_Bits`); percentiles of one image are exact for integers of up to 16 bits (`_Histogram`), and computed
from a million pixels for other types and for many images (`_Sample`). NaN, infinity and the file's ``nodata``
value are not measurements: they are ignored and become 0, which is the lowest value, or the mean after
``standard``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.errors import ImageError
from segzoo.specs import BandStatistics, Intensity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

#: Number of values processed at a time, so that measuring takes little memory in addition to the image.
AT_ONCE = 1 << 20
#: Number of pixels for percentiles of types with more than 16 bits.
_SAMPLED = 1 << 20
#: 2 ** 32 divided by the golden ratio: its multiples are spread evenly, in rows and columns of any length.
_SPREAD = 2_654_435_769
#: From this many pixels on, a table of all 16-bit values is faster than arithmetic.
_WORTH_A_TABLE = 1 << 16

#: Floats count as 0 to 1 if all but isolated pixels are in this range; values below 0 and above 1 are
#: clipped.
_UNIT = (-0.25, 2.0)
#: Floats above that range, but not above this value, are neither 0 to 1 nor 0 to 255, and are refused.
_NEITHER = 16.0
#: Bright values may be ignored if they are fewer than one in this many; the second is for adjacent ones.
_SINGLE, _SIDE_BY_SIDE = 1_000, 100_000

_NOTHING = "no pixel holds a measurement: all are NaN, infinite or the file's no-data value"


class IntensityError(ImageError):
    """The values of an image do not suit the intensity rule; the option ``intensity`` chooses another."""

    option = "intensity"


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How the values of one image, or of all images of a run, are scaled.

    Attributes:
        dtype: type of the values, as named by numpy; other types are scaled equally, perhaps more slowly.
        low: value that becomes 0, once or per band.
        high: value that becomes 1, or the byte 255, once or per band.
        result: ``uint8`` or ``float32``.
        clip: whether values beyond these become 0 and 1.
        nodata: value of pixels without a measurement, in addition to NaN and infinity.
        told: description of the scaling; empty if 8-bit values do not change.
    """

    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    result: Literal["uint8", "float32"] = "float32"
    clip: bool = True
    nodata: float | None = None
    told: str = ""

    @property
    def is_identity(self) -> bool:
        """Whether values do not change: 8-bit values in ``uint8`` mode."""
        return self.result == "uint8" and self.dtype == "uint8"

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Return ``(H, W, C)`` in the type that ``result`` names; unchanged 8-bit values are not copied.

        Args:
            pixels: ``(H, W, C)``: the image that was measured, or some of its rows.

        Raises:
            ImageError: its number of bands differs from what was measured.
        """
        if len(self.low) not in (1, pixels.shape[2]):
            raise ImageError(
                f"the image has {pixels.shape[2]} bands, but intensity was measured for {len(self.low)}"
            )
        if self.result == "uint8" and pixels.dtype == np.uint8:
            return pixels
        if pixels.dtype == np.bool_:
            bytes_ = pixels.astype(np.uint8) * np.uint8(255)
            return bytes_ if self.result == "uint8" else pixels.astype(np.float32)
        if _is_short(pixels.dtype) and (pixels.size >= _WORTH_A_TABLE or "_table" in self.__dict__):
            return self._looked_up(pixels)
        found = np.empty(pixels.shape, self.result)
        for rows in _chunks(pixels):
            found[rows] = self._computed(pixels[rows])
        return found

    def _looked_up(self, pixels: NDArray[Any]) -> NDArray[Any]:
        native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        if str(native.dtype) != self.dtype:
            return replace(self, dtype=str(native.dtype)).apply(pixels)
        places = native.view(f"uint{8 * native.itemsize}")
        if self._table.shape[1] == 1:
            return self._table[:, 0][places]
        found = np.empty(pixels.shape, self.result)
        for band in range(pixels.shape[2]):
            found[..., band] = self._table[:, band][places[..., band]]
        return found

    @cached_property
    def _table(self) -> NDArray[Any]:
        """The scaled value of each value of a type of up to 16 bits, ``(values, bands or 1)``."""
        dtype = np.dtype(self.dtype)
        values = np.arange(1 << 8 * dtype.itemsize).astype(f"uint{8 * dtype.itemsize}").view(dtype)
        return np.asfortranarray(self._computed(np.repeat(values[None, :, None], len(self.low), axis=2))[0])

    def _computed(self, pixels: NDArray[Any]) -> NDArray[Any]:
        gone = _without_value(pixels, self.nodata)
        if gone is not None:
            pixels = np.where(gone, pixels.dtype.type(0), pixels)
        if self.result == "uint8":
            found = np.rint(pixels * (255 / self.high[0])).clip(0, 255).astype(np.uint8)
        else:
            # float32 holds every float32 value exactly, but not every 32-bit integer.
            wide = np.float32 if pixels.dtype.kind == "f" and pixels.itemsize <= 4 else np.float64
            low, high = np.array(self.low, wide), np.array(self.high, wide)
            found = (pixels - low) / np.where(high > low, high - low, wide(1))
            if self.clip:
                # If the range is a single value, larger values are white: almost all pixels are equal.
                found = np.where(high > low, found, pixels > low).clip(0, 1)
            found = found.astype(np.float32)
        if gone is not None:
            found[gone] = 0
        return found


def scaling_for(intensity: Intensity, image: NDArray[Any], *, nodata: float | None = None) -> Scaling:
    """Return how an image is scaled; it is measured if ``intensity`` requires it.

    Args:
        intensity: intensity rule.
        image: ``(H, W, C)``, with the bands of the network's input.
        nodata: value of pixels without a measurement, if the file declares one.

    Raises:
        ImageError: this rule cannot scale the values, such as negative ones in ``uint8`` mode.
    """
    return scaling_of_rows(intensity, [image], dtype=image.dtype, nodata=nodata)


def scaling_of_rows(
    intensity: Intensity,
    rows: Iterable[NDArray[Any]],
    *,
    dtype: np.dtype[Any],
    nodata: float | None = None,
) -> Scaling:
    """Return the result of `scaling_for` for an image that arrives in rows.

    Args:
        intensity: intensity rule.
        rows: rows ``(h, W, C)`` of the image from the top; not read if nothing is measured.
        dtype: type of their values.
        nodata: value of pixels without a measurement, if the file declares one.

    Raises:
        ImageError: this rule cannot scale the values; see `scaling_for`.
    """
    if dtype.kind not in "iufb":
        raise ImageError(f"pixels must be integers, floats or booleans, got an array of {dtype}")
    beyond = ""
    measured = intensity.measured
    if not measured:
        measure = _measure(intensity, dtype)
        for part in rows if not isinstance(measure, _Known) else ():
            for some in _chunks(part):
                measure.add(part[some], nodata)
        measured, beyond = tuple(measure.values()), measure.beyond
    low, high = (tuple(pair[side] for pair in measured) for side in (0, 1))
    if intensity.mode == "standard":
        # One standard deviation above the mean becomes 1.
        high = tuple(mean + std for mean, std in measured)
    result: Literal["uint8", "float32"] = "uint8" if intensity.mode == "uint8" else "float32"
    return Scaling(
        dtype=str(dtype.newbyteorder("=")),
        low=low,
        high=high,
        result=result,
        clip=intensity.mode != "standard",
        nodata=nodata,
        told=_told(intensity, measured, dtype) + beyond,
    )


def measured_over(
    intensity: Intensity,
    images: Iterable[NDArray[Any] | tuple[NDArray[Any], float | None]],
    *,
    nodata: float | None = None,
) -> Intensity:
    """Return an intensity rule with the values that it measures over all images; other rules do not change.

    Args:
        intensity: intensity rule; only one with ``over="data"`` is measured, and only once.
        images: images ``(H, W, C)`` with the bands of the network's input, or pairs of an image and its
            ``nodata`` value; iterated once.
        nodata: value of pixels without a measurement, for images without their own.

    Raises:
        ImageError: values cannot be scaled (see `scaling_for`), or images differ in bands.
    """
    if intensity.over != "data" or intensity.measured:
        return intensity
    measure: _Measure | None = None
    for given in images:
        image, own = given if isinstance(given, tuple) else (given, nodata)
        measure = measure or _measure(intensity, image.dtype)
        for rows in _chunks(image):
            measure.add(image[rows], own)
    if measure is None:
        return intensity
    return replace(intensity, measured=tuple(measure.values()))


def measure_bands(images: Iterable[NDArray[Any]]) -> tuple[BandStatistics, ...]:
    """Return the statistics of images per band.

    Args:
        images: images ``(H, W, C)`` from `Scaling.apply`, uint8 or float32; iterated once, with memory for a
            million pixels.

    Raises:
        ImageError: images differ in bands.
    """
    moments, sample = _Moments("band", limits=True), _Sample((1, 99), "band")
    for image in images:
        for rows in _chunks(image):
            part = image[rows]
            part = part.astype(np.float32) / np.float32(255) if part.dtype == np.uint8 else part
            moments.add(part, None)
            sample.add(part, None)
    if moments.count is None:
        return ()
    return tuple(
        BandStatistics(minimum=least, low=low, high=high, maximum=most, mean=mean, std=std)
        for (least, most), (low, high), (mean, std) in zip(
            moments.limits(), sample.values(), moments.values(), strict=True
        )
    )


def missing(pixels: NDArray[Any], nodata: float | None = None) -> NDArray[np.bool_] | None:
    """Return ``(H, W)``, true where an image has no measurement; ``None`` if it has one everywhere.

    A pixel has no measurement if a band is NaN or infinite there, or if all bands have the value ``nodata``.
    A single band may reach that value by chance.

    Args:
        pixels: ``(H, W, C)`` as in the file.
        nodata: value that the file declares for pixels without a measurement.
    """
    gone = np.zeros(pixels.shape[:2], np.bool_)
    if pixels.dtype.kind == "f":
        gone |= ~np.isfinite(pixels).all(axis=2)
    if nodata is not None and np.isfinite(nodata):
        gone |= (pixels == nodata).all(axis=2)
    return gone if gone.any() else None


def _measure(intensity: Intensity, dtype: np.dtype[Any]) -> _Measure:
    """Return what measures low and high, or mean and standard deviation, once or per band."""
    if intensity.mode == "range":
        return _Known(intensity.low, intensity.high)
    if intensity.mode == "dtype":
        return _Known(*_full_range(dtype))
    if intensity.mode == "uint8" and (dtype in (np.uint8, np.bool_)) and intensity.over == "image":
        return _Known(0.0, 255.0)
    if intensity.mode == "standard":
        return _Moments(intensity.per)
    if intensity.mode == "percentiles":
        # Images of a run may differ in type, so they cannot share a histogram.
        kind = _Histogram if _is_short(dtype) and intensity.over == "image" else _Sample
        return kind((intensity.low, intensity.high), intensity.per)
    return _Bits()


def _full_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype == np.bool_:
        return 0.0, 1.0
    if dtype.kind == "f":
        raise IntensityError(
            f"intensity dtype needs integers, whose type has a full range, but values are {dtype}: give the "
            "range instead, such as range:0,1"
        )
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


def _told(intensity: Intensity, measured: tuple[tuple[float, float], ...], dtype: np.dtype[Any]) -> str:
    if intensity.mode == "uint8":
        low, high = measured[0]
        return "" if dtype in (np.uint8, np.bool_) else f"values of {low:g} to {high:g} become 0 to 255"
    kept = measured[:4]
    if intensity.mode == "standard":
        told = ", ".join(f"mean {mean:.4g} and standard deviation {std:.4g}" for mean, std in kept)
        told = f"{told} become 0 and 1"
    else:
        told = f"values of {', '.join(f'{low:.6g} to {high:.6g}' for low, high in kept)} become 0 to 1"
    return told + (f" (and {len(measured) - 4} more bands)" if len(measured) > 4 else "")


def _is_short(dtype: np.dtype[Any]) -> bool:
    """Whether a type is an integer of at most 16 bits."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def _chunks(image: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of rows with about `AT_ONCE` values."""
    step = max(1, AT_ONCE // max(1, image[:1].size))
    for top in range(0, len(image), step):
        yield slice(top, top + step)


def _without_value(pixels: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Return where values are not measurements, in the shape of ``pixels``; ``None`` if all are."""
    gone = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else None
    if nodata is not None and np.isfinite(nodata):
        same = pixels == nodata
        gone = same if gone is None else gone | same
    return gone if gone is not None and gone.any() else None


class _Measure:
    """Statistics of images that are read a few rows at a time."""

    #: Description of the values that are clipped.
    beyond: str = ""

    def add(self, rows: NDArray[Any], nodata: float | None) -> None:
        raise NotImplementedError

    def values(self) -> list[tuple[float, float]]:
        """Return low and high, or mean and standard deviation, once or per band."""
        raise NotImplementedError


class _Known(_Measure):
    """A range that does not depend on the image."""

    def __init__(self, low: float, high: float) -> None:
        self._range = low, high

    def values(self) -> list[tuple[float, float]]:
        return [self._range]


class _Bits(_Measure):
    """The range that ``uint8`` mode scales to 8 bits: 0 to the needed bit depth, in steps of two.

    Files of 12-bit cameras are 16 bits wide but reach only 4095. Bright values that are isolated in their row
    are ignored if they are fewer than one in a thousand: these are hot pixels of the camera, which would
    darken everything else, while even a small cell is wider than a pixel. Floats have two ranges, 0 to 1 and
    0 to 255; values of up to 16 could belong to either, and are refused.
    """

    def __init__(self) -> None:
        self._total, self._least, self._most = 0, np.inf, -np.inf
        self._floats = False
        # Number of values beyond each threshold, and how many of them are adjacent in a row.
        self._beyond: dict[tuple[str, float], list[int]] = {}

    def add(self, rows: NDArray[Any], nodata: float | None) -> None:
        gone = _without_value(rows, nodata)
        if gone is not None:
            rows = np.where(gone, rows.dtype.type(0), rows)
        self._total += rows.size if gone is None else rows.size - int(np.count_nonzero(gone))
        least, most = rows.min(), rows.max()
        self._least, self._most = min(self._least, float(least)), max(self._most, float(most))
        if rows.dtype.kind == "f":
            self._floats = True
            for threshold in (1.0, _UNIT[1], _NEITHER, 255.0):
                if most > threshold:
                    self._count(("above", threshold), rows > threshold)
        elif rows.dtype != np.bool_:
            for bits in (bits for bits in range(62, 7, -2) if int(most) >> bits > 0):
                if self._count(("bits", bits), rows >= rows.dtype.type(1 << bits)) > rows.size // 2:
                    break  # at least as many are beyond the lower thresholds
        for threshold in (0.0, _UNIT[0]):
            if least < threshold:
                self._count(("below", threshold), rows < threshold)

    def _count(self, key: tuple[str, float], beyond: NDArray[np.bool_]) -> int:
        found, count = self._beyond.setdefault(key, [0, 0]), int(np.count_nonzero(beyond))
        found[0] += count
        found[1] += int(np.count_nonzero(beyond[:, 1:] & beyond[:, :-1])) if count > 1 else 0
        return count

    def _few(self, side: str, threshold: float) -> bool:
        alone, beside = self._beyond.get((side, threshold), (0, 0))
        return alone * _SINGLE <= self._total and beside * _SIDE_BY_SIDE <= self._total

    def values(self) -> list[tuple[float, float]]:
        if not self._total:
            raise ImageError(_NOTHING)
        unit = self._floats and self._few("above", _UNIT[1])
        if not self._few("below", _UNIT[0] if unit else 0.0):
            raise IntensityError(
                f"negative values cannot be scaled by the default rule, got {self._least:g} to "
                f"{self._most:g}: {self._advice()}"
            )
        if unit:
            self._tell("above", 1.0)
            return [(0.0, 1.0)]
        if self._floats:
            if self._few("above", _NEITHER) or not self._few("above", 255.0):
                raise IntensityError(
                    "floats cannot be scaled by the default rule unless they are 0 to 1 or 0 to 255, got "
                    f"up to {self._most:g}: {self._advice()}"
                )
            return [(0.0, 255.0)]
        bits = 64
        while bits > 8 and self._few("bits", bits - 2):
            bits -= 2
        self._tell("bits", bits)
        return [(0.0, float(2**bits - 1))]

    def _tell(self, side: str, threshold: float) -> None:
        count = self._beyond.get((side, threshold), (0, 0))[0]
        if count:
            share = f"{100 * count / self._total:.2g} %"
            self.beyond = f" ({share} above, up to {self._most:g}, are clipped)"

    def _advice(self) -> str:
        return (
            f"pass --intensity range:{self._least:g},{self._most:g} (the values that become 0 and 1), "
            "window:CENTRE,WIDTH or percentiles:1,99.8 (data.intensity= in training, intensity= in Python)"
        )


class _Moments(_Measure):
    """Mean and standard deviation, and optionally minimum and maximum, once or per band."""

    def __init__(self, per: str, *, limits: bool = False) -> None:
        self._per, self._limits = per, limits
        self.count: NDArray[np.float64] | None = None

    def add(self, rows: NDArray[Any], nodata: float | None) -> None:
        values = rows.reshape(-1, rows.shape[2] if self._per == "band" else 1)
        gone = _without_value(values, nodata)
        values = values.astype(np.float64)
        if self.count is None:
            bands = values.shape[1]
            self.count, self._mean, self._square = np.zeros(bands), np.zeros(bands), np.zeros(bands)
            self._least, self._most = np.full(bands, np.inf), np.full(bands, -np.inf)
        _check_bands(len(self.count), values.shape[1])
        count = np.full(values.shape[1], len(values))
        if gone is not None:
            values[gone] = 0
            count -= gone.sum(axis=0)
        mean = np.ones(len(values)) @ values / np.maximum(count, 1)
        away = values - mean
        if gone is not None:
            away[gone] = 0
        square = np.einsum("ij,ij->j", away, away)
        # Chan, Golub and LeVeque, 1979: merge the moments of two parts without cancellation.
        both = np.maximum(self.count + count, 1)
        step = mean - self._mean
        self._square += square + step**2 * self.count * count / both
        self._mean += step * count / both
        self.count += count
        if self._limits:
            there: Any = True if gone is None else ~gone
            least = values.min(axis=0, where=there, initial=np.inf)
            self._least = np.minimum(self._least, least)
            self._most = np.maximum(self._most, values.max(axis=0, where=there, initial=-np.inf))

    def values(self) -> list[tuple[float, float]]:
        count = _some(self.count)
        std = np.sqrt(self._square / np.maximum(count, 1))
        return [(float(mean), float(one)) for mean, one in zip(self._mean, std, strict=True)]

    def limits(self) -> list[tuple[float, float]]:
        """Return minimum and maximum; zeros if there is no value."""
        empty = _some(self.count) == 0
        least, most = np.where(empty, 0, self._least), np.where(empty, 0, self._most)
        return [(float(low), float(high)) for low, high in zip(least, most, strict=True)]


class _Histogram(_Measure):
    """Exact percentiles of integers of up to 16 bits, from a histogram."""

    def __init__(self, percentiles: tuple[float, float], per: str) -> None:
        self._percentiles, self._per = percentiles, per
        self._counts: NDArray[np.int64] | None = None
        self._dtype = np.dtype(np.uint8)

    def add(self, rows: NDArray[Any], nodata: float | None) -> None:
        values = rows.reshape(-1, rows.shape[2] if self._per == "band" else 1)
        if self._counts is None:
            self._dtype = rows.dtype
            self._counts = np.zeros((values.shape[1], 1 << 8 * rows.itemsize), np.int64)
        _check_bands(len(self._counts), values.shape[1])
        least = int(np.iinfo(self._dtype).min)
        for counts, band in zip(self._counts, values.T, strict=True):
            # Signed values are counted from the smallest one.
            found = np.bincount(band if least == 0 else band.astype(np.int32) - least, minlength=len(counts))
            if nodata is not None and float(nodata).is_integer() and 0 <= nodata - least < len(counts):
                found[int(nodata) - least] = 0
            counts += found

    def values(self) -> list[tuple[float, float]]:
        least = int(np.iinfo(self._dtype).min)
        return [self._pair(counts, least) for counts in _some(self._counts)]

    def _pair(self, counts: NDArray[np.int64], least: int) -> tuple[float, float]:
        summed = np.cumsum(counts)
        if not summed[-1]:
            return 0.0, 0.0

        def at(percentile: float) -> float:
            # As numpy.percentile does: linear interpolation between the two neighbouring values.
            place = percentile / 100 * (int(summed[-1]) - 1)
            before = int(place)
            after = min(before + 1, int(summed[-1]) - 1)
            first, second = np.searchsorted(summed, [before, after], side="right")
            return float(least + first + (second - first) * (place - before))

        return at(self._percentiles[0]), at(self._percentiles[1])


class _Sample(_Measure):
    """Percentiles of any type, from at most `_SAMPLED` pixels spread evenly over all.

    The choice of pixels depends only on their number, so equal images give equal values, in rows of any
    height.
    """

    def __init__(self, percentiles: tuple[float, float], per: str) -> None:
        self._percentiles, self._per = percentiles, per
        self._parts: list[tuple[NDArray[np.uint32], NDArray[Any]]] = []
        self._kept, self._position, self._limit = 0, 0, 1 << 32

    def add(self, rows: NDArray[Any], nodata: float | None) -> None:
        values = rows.reshape(-1, rows.shape[2])
        if self._parts:
            _check_bands(self._parts[0][1].shape[1], values.shape[1])
        where = np.arange(self._position, self._position + len(values), dtype=np.uint64)
        where = (where * np.uint64(_SPREAD)).astype(np.uint32)  # modulo 2 ** 32
        self._position += len(values)
        chosen = slice(None) if self._limit == 1 << 32 else where < self._limit
        part = values[chosen].astype(np.float64)
        gone = _without_value(values[chosen], nodata)
        if gone is not None:
            part[gone] = np.nan
        self._parts.append((where[chosen], part))
        self._kept += len(part)
        while self._kept > _SAMPLED:
            self._limit //= 2
            kept = [where < self._limit for where, _ in self._parts]
            self._parts = [(at[keep], one[keep]) for keep, (at, one) in zip(kept, self._parts, strict=True)]
            self._kept = sum(len(one) for _, one in self._parts)

    def values(self) -> list[tuple[float, float]]:
        values = np.concatenate([part for _, part in self._parts] or [np.empty((0, 1))])
        values = values if self._per == "band" else values.reshape(-1, 1)
        finite = [band[np.isfinite(band)] for band in values.T]
        if not any(len(band) for band in finite):
            raise ImageError(_NOTHING)
        pairs = [np.percentile(band, self._percentiles) if len(band) else (0.0, 0.0) for band in finite]
        return [(float(low), float(high)) for low, high in pairs]


def _some(count: NDArray[Any] | None) -> NDArray[Any]:
    """Return counts of values; raise an error if there is no value."""
    if count is None or not count.any():
        raise ImageError(_NOTHING)
    return count


def _check_bands(known: int, given: int) -> None:
    if known != given:
        raise ImageError(f"images that are measured together need equal bands, got {known} and {given}")
