"""The colours of the classes."""

from __future__ import annotations

from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Colour(Output):
    """The colour of each pixel's class."""

    def draw(self, band: Band) -> Drawn:
        """Return an RGB image."""
        return band.segmentation.colour_image()
