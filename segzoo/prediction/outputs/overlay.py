"""The image, tinted and outlined."""

from __future__ import annotations

from segzoo.prediction.outputs.interface import Band, Drawn, Output, OutputOptions


class Overlay(Output):
    """The image with every class except background tinted and outlined; the line is 1 pixel by default."""

    def reach(self, options: OutputOptions, size: tuple[int, int]) -> int:
        """Return the width of the line."""
        return 1 if options.line_width is None else options.line_width

    def draw(self, band: Band) -> Drawn:
        """Return an RGB image."""
        return band.segmentation.overlay(band.options.opacity, line_width=self.reach(band.options, band.size))
