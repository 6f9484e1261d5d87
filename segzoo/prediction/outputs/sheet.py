"""Image, mask and overlay next to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.prediction.outputs.overlay import Overlay

if TYPE_CHECKING:
    from segzoo.prediction.outputs.interface import Band, Drawn


class Sheet(Overlay):
    """Three pictures next to each other, the last of which is the overlay."""

    def draw(self, band: Band) -> Drawn:
        """Return an RGB image of three times the width plus two gaps."""
        return band.segmentation.sheet(band.options.opacity, line_width=self.reach(band.options, band.size))
