"""A table of pixels, share and objects of each class; also of its area if the pixel size is known."""

from __future__ import annotations

import csv
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from segzoo.prediction.outputs.ground import pixel_areas
from segzoo.prediction.outputs.interface import Band, Output
from segzoo.prediction.postprocessing import ComponentCount
from segzoo.printing import csv_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from segzoo.prediction.outputs.ground import PixelAreas
    from segzoo.prediction.outputs.interface import Written
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.specs import Labels

_COLUMNS = ("class", "index", "pixels", "share", "objects")


class Areas(Output):
    """One row per class: name, index, pixels, share of the image, objects, and area with its unit."""

    def __init__(self) -> None:
        self._counts: Mapping[str, int] = {}
        self._objects: list[ComponentCount] = []
        self._single: NDArray[np.int64] | None = None
        self._sizes: PixelAreas | None = None
        self._areas: dict[str, float] = {}
        self._top = 0

    def draw(self, band: Band) -> bytes:
        """Count the pixels and objects of each class; the table is returned by `finish`."""
        found = band.segmentation
        if not self._counts:
            self._sizes = pixel_areas(found.info, band.size[1])
        areas = found.areas
        self._counts = {name: count + self._counts.get(name, 0) for name, count in areas.items()}
        self._labels, self._pixels = found.labels, band.size[0] * band.size[1]
        if self._sizes is not None:
            for index, (name, count) in enumerate(areas.items()):
                size = self._sizes.same
                area = self._by_rows(found, index) if size is None else count * size
                self._areas[name] = self._areas.get(name, 0.0) + area
        self._top += found.mask.shape[-2]
        if found.split_touching:  # the band is the whole image, because this output needs objects
            classes = found.instances(band.options.connectivity).classes
            self._single = np.bincount(classes, minlength=len(found.labels.classes))
            return b""
        planes = found.mask == 1 if found.labels.overlapping else found.mask[None]
        if not self._objects:
            self._objects = [ComponentCount(band.options.connectivity) for _ in planes]
        for count, plane in zip(self._objects, planes, strict=True):
            count.add(plane)
        return b""

    def _by_rows(self, found: Segmentation, index: int) -> float:
        """Return the area of a class if the pixel size differs between rows."""
        assert self._sizes is not None
        mask = found.mask
        counts = np.count_nonzero(mask[index] == 1 if mask.ndim == 3 else mask == index, axis=1)
        return float(np.dot(counts, self._sizes.rows(self._top, self._top + len(counts))))

    def _found(self, index: int) -> int:
        """Return the number of objects of a class; the background has none."""
        if self._single is not None:
            return int(self._single[index])
        if self._labels.overlapping:
            return self._objects[index].of(1)
        return self._objects[0].of(index) if index != self._labels.background else 0

    def finish(self) -> bytes:
        """Return the table."""
        table = StringIO(newline="")
        rows = csv.writer(table)
        rows.writerow([*_COLUMNS, *([self._sizes.unit] if self._sizes else [])])
        for index, (name, count) in enumerate(self._counts.items()):
            area = [_plain(self._areas[name])] if self._sizes else []
            share = f"{count / self._pixels:.6g}"
            rows.writerow([csv_cell(name), index, count, share, self._found(index), *area])
        return table.getvalue().encode()


def join(file: BinaryIO, files: Iterable[Written], labels: Labels) -> None:
    """Write the table of all images of a run: rows start with the image; the unit of areas is included."""
    del labels
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    rows = csv.writer(text)
    rows.writerow(["image", *_COLUMNS, "area", "unit"])
    for one in files:
        with one.path.open(encoding="utf-8", newline="") as table:
            head, *found = csv.reader(table)
        unit = head[len(_COLUMNS)] if len(head) > len(_COLUMNS) else ""
        for row in found:
            rows.writerow([csv_cell(one.image), *row, *([] if unit else [""]), unit])
    text.flush()
    text.detach()


def _plain(area: float) -> str:
    """Return an area with ten significant digits and without an exponent, which is easier to read."""
    return np.format_float_positional(area, precision=10, fractional=False, trim="-")
