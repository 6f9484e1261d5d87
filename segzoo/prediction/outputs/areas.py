"""Pixels and share of each class, as a table; its area too, where the size of pixels is known."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from segzoo.prediction.outputs.ground import pixel_areas
from segzoo.prediction.outputs.interface import Band, Output
from segzoo.printing import csv_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.prediction.outputs.ground import PixelAreas
    from segzoo.prediction.segmentation import Segmentation


class Areas(Output):
    """A row per class: name, index, pixels, share of the image, and its area in square metres or the like."""

    def __init__(self) -> None:
        self._counts: Mapping[str, int] = {}
        self._sizes: PixelAreas | None = None
        self._areas: dict[str, float] = {}
        self._top = 0

    def draw(self, band: Band) -> bytes:
        """Count the pixels of each class; nothing is written before all bands were seen."""
        found = band.segmentation
        if not self._counts:
            self._sizes = pixel_areas(found.info, band.size[1])
        areas = found.areas
        self._counts = {name: count + self._counts.get(name, 0) for name, count in areas.items()}
        self._pixels = band.size[0] * band.size[1]
        if self._sizes is not None:
            for index, (name, count) in enumerate(areas.items()):
                size = self._sizes.same
                area = self._by_rows(found, index) if size is None else count * size
                self._areas[name] = self._areas.get(name, 0.0) + area
        self._top += found.mask.shape[-2]
        return b""

    def _by_rows(self, found: Segmentation, index: int) -> float:
        """Return the area of a class where pixels of one row are larger than those of another."""
        assert self._sizes is not None
        mask = found.mask
        counts = np.count_nonzero(mask[index] == 1 if mask.ndim == 3 else mask == index, axis=1)
        return float(np.dot(counts, self._sizes.rows(self._top, self._top + len(counts))))

    def finish(self) -> bytes:
        """Return the table."""
        table = StringIO(newline="")
        rows = csv.writer(table)
        rows.writerow(["class", "index", "pixels", "share", *([self._sizes.unit] if self._sizes else [])])
        for index, (name, count) in enumerate(self._counts.items()):
            area = [_plain(self._areas[name])] if self._sizes else []
            rows.writerow([csv_cell(name), index, count, f"{count / self._pixels:.6g}", *area])
        return table.getvalue().encode()


def _plain(area: float) -> str:
    """Return an area with ten digits that count, and no exponent, which tables of people do not like."""
    return np.format_float_positional(area, precision=10, fractional=False, trim="-")
