"""Image, mask and overlay side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.prediction.outputs.overlay import Overlay

if TYPE_CHECKING:
    from segzoo.prediction.outputs.interface import Band, Drawn


class Sheet(Overlay):
    """Three pictures in a row, the last of which is the overlay."""

    def draw(self, band: Band) -> Drawn:
        """Return an RGB image, three times as wide and two gaps."""
        return band.segmentation.sheet(band.options.opacity, line_width=self.reach(band.options, band.size))
