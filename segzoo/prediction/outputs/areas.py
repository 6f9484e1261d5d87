"""Pixels and share of each class, as a table."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

from segzoo.prediction.outputs.interface import Band, Output
from segzoo.printing import csv_cell

if TYPE_CHECKING:
    from collections.abc import Mapping


class Areas(Output):
    """A row per class: name, index, pixels, and share of the image."""

    def __init__(self) -> None:
        self._counts: Mapping[str, int] = {}

    def draw(self, band: Band) -> bytes:
        """Count the pixels of each class; nothing is written before all bands were seen."""
        areas = band.segmentation.areas
        self._counts = {name: count + self._counts.get(name, 0) for name, count in areas.items()}
        self._pixels = band.size[0] * band.size[1]
        return b""

    def finish(self) -> bytes:
        """Return the table."""
        table = StringIO(newline="")
        rows = csv.writer(table)
        rows.writerow(["class", "index", "pixels", "share"])
        for index, (name, count) in enumerate(self._counts.items()):
            rows.writerow([csv_cell(name), index, count, f"{count / self._pixels:.6g}"])
        return table.getvalue().encode()
