"""The foreground, cut out."""

from __future__ import annotations

from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Cutout(Output):
    """The image's foreground; the rest is transparent, or white in a JPEG, unless a colour is chosen."""

    def draw(self, band: Band) -> Drawn:
        """Return an RGBA image, or an RGB image if there is a background colour."""
        background = band.options.background
        if background is None and band.suffix in (".jpg", ".jpeg"):
            background = (255, 255, 255)
        return band.segmentation.cutout(background)
