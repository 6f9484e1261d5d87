"""An image by rows at the network's resolution: resized a few rows at a time.

Pixels equal those that `segzoo.images.resized` computes for the whole image. Pillow resamples along one axis,
rounds to bytes or 32-bit floats, and then resamples along the other. Here Pillow resamples along rows, and
columns are resampled with Pillow's own arithmetic: for bytes, weights in steps of 2 ** -22 are summed as
integers; for floats, 64-bit floats are summed row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from PIL import Image

from segzoo.distribution import meets
from segzoo.images import RESAMPLING, choose_bands, placed, take_bands
from segzoo.images.intensity import scaling_of_rows
from segzoo.images.sizes import fill_of
from segzoo.prediction.tiling.rows import READ_ROWS, in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.images import BandChoice
    from segzoo.images.intensity import Scaling
    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.specs import Intensity, Resize

    Read = Callable[[int, int], NDArray[Any]]
    #: Called with the scaling of an image, its values before, and its values after.
    Look = Callable[[Scaling, NDArray[Any], NDArray[Any]], None]

#: Number of resized rows that are made together.
_GROUP = 8
#: Fractional bits of Pillow's weights.
_BITS = 22
#: Pillow versions that resample columns first if that shrinks the image much more.
_BY_GAIN = ">=13"


def seen_rows(rows: RowSource, config: ModelConfig, look: Look | None = None) -> RowSource:
    """Return an image's rows as the network's input, after its preprocessing: bands, intensity, size.

    Args:
        rows: the image. If its intensity is measured, it is read once before the first row.
        config: config of the network.
        look: called with the scaling, and with rows before and after it.

    Raises:
        ImageError: the image's bands do not fit the network; or, while reading, its values cannot be scaled.
    """
    preprocessing, wanted = config.preprocessing, config.architecture.in_channels
    seen = _Bands(rows, choose_bands(rows.channels, rows.info, preprocessing, wanted))
    seen = _Scaled(seen, preprocessing.intensity, None if rows.info is None else rows.info.nodata, look)
    resize = preprocessing.resize
    return seen if resize is None else ResizedRows(seen, resize)


class ResizedRows:
    """Rows of a resized image, with bars around it if it is letterboxed."""

    info = None

    def __init__(self, rows: RowSource, resize: Resize) -> None:
        (self.height, self.width), self._place = placed(rows.height, rows.width, resize)
        self.channels, self.resident, self.dtype = rows.channels, rows.resident, rows.dtype
        self._rows, self._resize = rows, resize
        self._start()

    def _start(self) -> None:
        self._parts = _parts(self._rows, (self._place.height, self._place.width), self._resize)
        self._position = 0
        self._rest = np.empty((0, self._place.width, self.channels), self.dtype)

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``; starts again from the top if they are above the last ones."""
        place = self._place
        fill = fill_of(self._resize, self.dtype)
        found = np.full((bottom - top, self.width, self.channels), fill, self.dtype)
        first, last = max(top - place.top, 0), min(bottom - place.top, place.height)
        if first < last:
            where = slice(first + place.top - top, last + place.top - top)
            found[where, place.left : place.left + place.width] = self._inside(first, last)
        return found

    def _inside(self, first: int, last: int) -> NDArray[Any]:
        if first < self._position:
            self._start()
        found = [self._rest]
        have = self._position + len(self._rest)
        while have < last:
            if have <= first:
                found, self._position = [], have
            found.append(next(self._parts))
            have += len(found[-1])
        rows = found[0] if len(found) == 1 else np.concatenate(found)
        begin, end = first - self._position, last - self._position
        self._rest, self._position = rows[end:], last
        return rows[begin:end]


class _Bands:
    """Rows with the bands that a network uses."""

    info = None

    def __init__(self, rows: RowSource, choice: BandChoice) -> None:
        self._rows, self._choice = rows, choice
        self.height, self.width, self.resident = rows.height, rows.width, rows.resident
        self.channels, self.dtype = len(choice.names), rows.dtype

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        return take_bands(self._rows.read(top, bottom), self._choice)


class _Scaled:
    """Rows whose values are scaled by an intensity rule."""

    info = None

    def __init__(
        self, rows: RowSource, intensity: Intensity, nodata: float | None, look: Look | None
    ) -> None:
        self._rows, self._intensity, self._nodata, self._look = rows, intensity, nodata, look
        self.height, self.width, self.resident = rows.height, rows.width, rows.resident
        self.channels = rows.channels
        self.dtype = np.dtype(np.uint8 if intensity.mode == "uint8" else np.float32)
        self._scaling: Scaling | None = None

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        if self._scaling is None:
            self._scaling = scaling_of_rows(
                self._intensity, in_parts(self._rows), dtype=self._rows.dtype, nodata=self._nodata
            )
        stored = self._rows.read(top, bottom)
        found = self._scaling.apply(stored)
        if self._look is not None:
            self._look(self._scaling, stored, found)
        return found


class _Window:
    """Some neighbouring rows, kept so that they are not read again."""

    def __init__(self, read: Read) -> None:
        self._read, self._start, self._stop = read, 0, 0
        self._rows: NDArray[Any] | None = None

    def rows(self, first: int, last: int) -> NDArray[Any]:
        kept = [] if self._rows is None else [self._rows[max(first - self._start, 0) :]]
        if not self._start <= first <= self._stop:
            kept, self._stop = [], first
        for top in range(self._stop, last, READ_ROWS):
            kept.append(self._read(top, min(top + READ_ROWS, last)))
        self._rows = kept[0] if len(kept) == 1 else np.concatenate(kept)
        self._start, self._stop = first, max(last, self._stop)
        return self._rows[: last - first]


def _parts(rows: RowSource, size: tuple[int, int], resize: Resize) -> Iterator[NDArray[Any]]:
    """Yield the rows of the resized image, a few at a time."""
    if size == (rows.height, rows.width):
        for top in range(0, rows.height, _GROUP):
            yield rows.read(top, min(top + _GROUP, rows.height))
    elif resize.interpolation == "nearest":
        yield from _nearest(rows, size)
    else:
        yield from (_averaged if resize.antialias else _sampled)(rows, size, resize)


def _averaged(rows: RowSource, size: tuple[int, int], resize: Resize) -> Iterator[NDArray[Any]]:
    """Bilinear or bicubic, with averaging if the image shrinks."""
    height, along = size[0], _along_rows(size[1], RESAMPLING[resize.interpolation])
    columns_first = _columns_first((rows.height, rows.width), size)
    firsts, counts, weights = _weights(rows.height, height, resize.interpolation)
    exact = rows.dtype != np.uint8
    if not exact:
        weights = np.trunc(weights * 2**_BITS + np.copysign(0.5, weights))
    step = max(1, min(2 * _GROUP, _GROUP * rows.height // height))
    sums, done = np.empty((0, 0)), 0
    for top in range(0, rows.height, step):
        band = rows.read(top, min(top + step, rows.height))
        band = band if columns_first else _by_plane(band, along)
        bottom = top + len(band)
        touched = int(np.searchsorted(firsts, bottom))
        table = _table(slice(done, touched), range(top, bottom), firsts, weights)
        flat = band.reshape(len(band), -1).astype(np.float64)
        more = np.zeros((len(table), flat.shape[1])) if exact else table @ flat
        if len(sums):
            more[: len(sums)] += sums
        if exact:  # row by row, because the sum of floats depends on the order
            for row, counts_in in zip(flat, table.T, strict=True):
                where = np.flatnonzero(counts_in)
                more[where] += counts_in[where, None] * row
        ready = int(np.searchsorted(firsts + counts, bottom, side="right"))
        if ready > done:
            found = more[: ready - done].astype(np.float32) if exact else _rounded(more[: ready - done])
            found = found.reshape(-1, *band.shape[1:])
            yield _by_plane(found, along) if columns_first else found
        sums, done = more[ready - done :], ready


def _columns_first(have: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether Pillow resamples columns before rows, which changes the rounding in between."""
    if wanted[0] >= have[0]:
        return False
    if not meets(PIL.__version__, _BY_GAIN):
        return have[0] > 100 * have[1]
    return have[0] - wanted[0] > 2 * (have[1] - wanted[1]) and have[1] != wanted[1]


def _table(
    wanted: slice, band: range, firsts: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weight of each row of a band in each resized row."""
    places = np.arange(band.start, band.stop) - firsts[wanted, None]
    inside = (places >= 0) & (places < weights.shape[1])
    found = np.take_along_axis(weights[wanted], places.clip(0, weights.shape[1] - 1), axis=1)
    return np.where(inside, found, 0.0)


def _rounded(sums: NDArray[np.float64]) -> NDArray[np.uint8]:
    # Sums of integers below 2 ** 53, which 64-bit floats hold exactly.
    found = (sums + 2 ** (_BITS - 1)) * 2.0**-_BITS
    return np.floor(found, out=found).clip(0, 255).astype(np.uint8)


def _sampled(rows: RowSource, size: tuple[int, int], resize: Resize) -> Iterator[NDArray[Any]]:
    """Bilinear or bicubic between neighbouring pixels, without averaging if the image shrinks."""
    (height, width), window = size, _Window(rows.read)
    for row in range(height):
        # One row at a time, with its exact position: Pillow drops the fractional part.
        place = rows.height / height * (row + 0.5)
        first = max(0, int(place - 0.5) - 2)
        band = window.rows(first, min(rows.height, int(place - 0.5) + 4))
        matrix = (rows.width / width, 0.0, 0.0, 0.0, 0.0, place - first)
        yield _by_plane(band, _transform((width, 1), matrix, RESAMPLING[resize.interpolation]))


def _along_rows(width: int, method: Image.Resampling) -> Callable[[Image.Image], Image.Image]:
    return lambda plane: plane.resize((width, plane.height), method)


def _transform(
    size: tuple[int, int], matrix: tuple[float, ...], method: Image.Resampling
) -> Callable[[Image.Image], Image.Image]:
    return lambda plane: plane.transform(size, Image.Transform.AFFINE, matrix, method)


def _nearest(rows: RowSource, size: tuple[int, int]) -> Iterator[NDArray[Any]]:
    """Nearest neighbour."""
    (height, width), window = size, _Window(rows.read)
    steps = np.full(height, rows.height / height)
    steps[0] /= 2
    # Summed step by step, as in Pillow, to get the same rounding errors.
    picked = np.cumsum(steps).astype(np.int64).clip(max=rows.height - 1)
    for top in range(0, height, _GROUP):
        band = np.concatenate([window.rows(row, row + 1) for row in picked[top : top + _GROUP].tolist()])
        yield _by_plane(band, _along_rows(width, Image.Resampling.NEAREST))


def _by_plane(rows: NDArray[Any], change: Callable[[Image.Image], Image.Image]) -> NDArray[Any]:
    planes = (Image.fromarray(rows[..., channel]) for channel in range(rows.shape[2]))
    return np.stack([np.asarray(change(plane)) for plane in planes], axis=-1)


def _weights(
    have: int, wanted: int, interpolation: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return, for each resized row, its first source row, the number of source rows, and their weights."""
    scale = have / wanted
    wide = max(scale, 1.0)
    support = {"bilinear": 1.0, "bicubic": 2.0}[interpolation] * wide
    centres = (np.arange(wanted) + 0.5) * scale
    firsts = (centres - support + 0.5).astype(np.int64).clip(min=0)
    counts = (centres + support + 0.5).astype(np.int64).clip(max=have) - firsts
    places = np.arange(int(counts.max()))
    away = np.abs((places + firsts[:, None] - centres[:, None] + 0.5) * (1 / wide))
    found = _bicubic(away) if interpolation == "bicubic" else (1 - away).clip(min=0)
    found[places >= counts[:, None]] = 0
    # One after the other, as Pillow adds them.
    found /= found.cumsum(axis=1)[:, -1:]
    return firsts, counts, found


def _bicubic(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys, 1981, with a = -0.5."""
    near = (1.5 * away - 2.5) * away * away + 1
    far = (((away - 5) * away + 8) * away - 4) * -0.5
    return np.where(away < 1, near, np.where(away < 2, far, 0.0))
