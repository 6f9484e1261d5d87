"""The pixel values that stood for the classes in the training masks."""

from __future__ import annotations

import numpy as np

from segzoo.prediction.outputs.interface import Band, Drawn, Output
from segzoo.prediction.outputs.painting import look_up


class Values(Output):
    """Grey values: 8 bits if all are below 256, else 16 bits."""

    def draw(self, band: Band) -> Drawn:
        """Return the value of each pixel's class."""
        labels = band.segmentation.labels
        values = labels.values or tuple(range(len(labels.classes)))
        table = np.zeros(max(len(values), 256), np.uint8 if max(values) < 256 else np.uint16)
        table[: len(values)] = values
        return look_up(band.segmentation.mask, table)
