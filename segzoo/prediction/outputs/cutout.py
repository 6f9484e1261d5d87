"""What is not background."""

from __future__ import annotations

from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Cutout(Output):
    """The image where any class but background is, else transparent, or white in a JPEG, unless chosen."""

    def draw(self, band: Band) -> Drawn:
        """Return an RGBA image, or an RGB one on a background."""
        background = band.options.background
        if background is None and band.suffix in (".jpg", ".jpeg"):
            background = (255, 255, 255)
        return band.segmentation.cutout(background)
