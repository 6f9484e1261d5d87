"""Black and white: what is background, and what is not."""

from __future__ import annotations

from segzoo.labels import foreground
from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Binary(Output):
    """True where any class but background is."""

    def draw(self, band: Band) -> Drawn:
        """Return where it is."""
        return foreground(band.segmentation.mask, band.segmentation.labels)
