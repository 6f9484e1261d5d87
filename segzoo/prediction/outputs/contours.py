"""The image with outlines."""

from __future__ import annotations

from segzoo.prediction.outputs.interface import Band, Drawn, Output, OutputOptions


class Contours(Output):
    """The image with every class except background outlined; by default, lines grow with the image."""

    def reach(self, options: OutputOptions, size: tuple[int, int]) -> int:
        """Return the line width: by default, one pixel for every 640 of the longer side, plus one."""
        return 1 + max(size) // 640 if options.line_width is None else options.line_width

    def draw(self, band: Band) -> Drawn:
        """Return an RGB image."""
        return band.segmentation.contours(self.reach(band.options, band.size))
