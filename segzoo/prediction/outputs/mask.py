"""The class of every pixel, with the colours of the classes as a palette."""

from __future__ import annotations

from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Mask(Output):
    """Class indices: 8 bits for up to 256 classes, else 16 bits."""

    palette = True

    def draw(self, band: Band) -> Drawn:
        """Return the class indices, or 0 and 1 for each class if classes overlap."""
        many = len(band.segmentation.labels.classes) > 256
        return band.segmentation.mask.astype("uint16" if many else "uint8", copy=False)
