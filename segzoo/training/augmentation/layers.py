"""Several mask layers as one index per pixel, so that mask steps move all of them together.

Layers are a mask, its object numbers if needed, and both of an image that was blended in. Each combination of
their values becomes an index, as in `segzoo.labels.flattened` for classes that overlap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segzoo.errors import OptionError
from segzoo.labels import flattened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Sample
    from segzoo.training.augmentation.step import Pixels

#: Values that are counted in a table; larger ones are sorted.
_MOST = 1 << 22


class _Layer(NamedTuple):
    """Values ``(H, W)``, with the value of background or no object, and the value of ignored pixels."""

    values: Pixels
    nothing: int
    ignored: int


class Layers:
    """The masks and objects of samples of one size, as one index per pixel.

    Args:
        samples: samples with masks ``(H, W)``, or ``(K, H, W)`` for classes that overlap; instances are
            optional.
        ignore: value of ignored pixels in masks ``(H, W)``, if there is one.
        background: the background class, if there is one; pixels from outside that count get it.

    Raises:
        OptionError: there are more combinations than 16 bits can number.

    Attributes:
        index: ``(H, W)``; for a single mask its own classes.
        ignore: index of ignored pixels, if there is one.
        kinds: class of each index, -1 for background and ignored pixels; for classes that overlap, a
            number for each combination. If there are several samples, that of the first.
    """

    def __init__(self, samples: Sequence[Sample], ignore: int | None, background: int | None) -> None:
        self._samples = samples
        self._combinations: list[NDArray[np.uint8] | None] = []
        layers: list[_Layer] = []
        for sample in samples:
            flat, table = (sample.mask, None) if sample.mask.ndim == 2 else flattened(sample.mask)
            nothing = (background or 0) if table is None else 0
            ignored = nothing if ignore is None else ignore
            layers.append(_Layer(flat, nothing, ignored if table is None else len(table) - 1))
            self._combinations.append(table)
            if sample.instances is not None:
                counts = flat != layers[-1].ignored if ignore is not None or table is not None else True
                layers.append(_Layer(np.where(counts, sample.instances, 0), 0, 0))
        first, overlapping = layers[0], self._combinations[0] is not None
        self.ignore = first.ignored if overlapping or ignore is not None else None
        self._rows: NDArray[np.int64] | None = None
        self.index, classes = first.values, np.arange(np.iinfo(first.values.dtype).max + 1)
        if len(layers) > 1:
            # Steps that fill with background write its class, or 0 if classes overlap.
            self.index, self._rows = _joined(layers, first.nothing)
            self.ignore, classes = None if self.ignore is None else len(self._rows) - 1, self._rows[:, 0]
        none = None if background is None and not overlapping else first.nothing
        self.kinds = kinds_of(classes, none, first.ignored if self.ignore is not None else None)

    def moved(self, index: Pixels) -> list[Sample]:
        """Return the samples with the masks and instances of a moved index; images do not change."""
        planes = iter([index] if self._rows is None else [column[index] for column in self._rows.T])
        samples = []
        for sample, table in zip(self._samples, self._combinations, strict=True):
            mask, instances = next(planes), sample.instances
            mask = mask.astype(sample.mask.dtype, copy=False) if table is None else table.T[:, mask]
            if instances is not None:
                instances = next(planes).astype(instances.dtype)
            samples.append(replace(sample, mask=mask, instances=instances))
        return samples


def kinds_of(values: NDArray[np.int64], background: int | None, ignore: int | None) -> NDArray[np.int64]:
    """Return the values of a mask, with -1 for background and ignored pixels."""
    nothing = [value for value in (background, ignore) if value is not None]
    return np.where(np.isin(values, nothing), -1, values)


def _joined(layers: Sequence[_Layer], place: int) -> tuple[Pixels, NDArray[np.int64]]:
    """Return an index for each combination that occurs, and the combinations, one per row.

    Row ``place`` has nothing in any layer; the last row is that of ignored pixels.
    """
    codes = np.zeros(layers[0].values.shape, np.int64)
    rows, fills = np.zeros((1, 0), np.int64), [0, 0]
    for values, *fill in layers:
        known, codes_here = _numbered(values, fill)
        codes = codes * len(known) + codes_here
        fills = [
            before * len(known) + int(np.searchsorted(known, value))
            for before, value in zip(fills, fill, strict=True)
        ]
        occurring, codes = _numbered(codes, fills)
        fills = [int(np.searchsorted(occurring, one)) for one in fills]
        rows = np.concatenate([rows[occurring // len(known)], known[occurring % len(known), None]], axis=1)
    nothing, ignored = fills
    others = [one for one in range(len(rows)) if one not in fills]
    order = others[:place] + [nothing] * (place + 1 - min(place, len(others))) + others[place:] + [ignored]
    index = np.zeros(len(rows), np.int64)
    index[order] = np.arange(len(order))
    index[nothing] = place
    if len(order) > 1 << 16:
        raise OptionError(f"an image has {len(order):,} objects; the maximum is 65,535")
    return index.astype(np.uint8 if len(order) <= 1 << 8 else np.uint16)[codes], rows[order]


def _numbered(values: Pixels, kept: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the values that occur, and ``kept``, in order; and for each pixel the index of its value."""
    flat = values.reshape(-1)
    if max(int(flat.max(initial=0)), *kept) < _MOST:
        occurs = np.bincount(flat, minlength=max(kept) + 1) > 0
        occurs[list(kept)] = True
        return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[values]
    known = np.unique(np.append(flat, kept)).astype(np.int64)
    return known, np.searchsorted(known, values)
