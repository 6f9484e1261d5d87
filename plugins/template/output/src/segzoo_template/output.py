"""The pixels where classes meet, for counting and measuring boundaries."""

import numpy as np

from segzoo.prediction import Band, Output, OutputOptions


class Edges(Output):
    """White where a pixel's right or lower neighbour is of another class."""

    def reach(self, options: OutputOptions, size: tuple[int, int]) -> int:
        """Return 1: one more row than the band itself is needed."""
        return 1

    def draw(self, band: Band) -> np.ndarray:
        """Return ``(H, W)`` bool."""
        mask = band.segmentation.mask
        edges = np.zeros(mask.shape, np.bool_)
        edges[:-1] |= mask[1:] != mask[:-1]
        edges[:, :-1] |= mask[:, 1:] != mask[:, :-1]
        return edges
