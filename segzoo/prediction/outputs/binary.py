"""Black and white: background and foreground."""

from __future__ import annotations

from segzoo.labels import foreground
from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Binary(Output):
    """True for every class except background."""

    def draw(self, band: Band) -> Drawn:
        """Return the foreground."""
        return foreground(band.segmentation.mask, band.segmentation.labels)
