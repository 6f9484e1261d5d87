"""Probabilities of the classes."""

from __future__ import annotations

import numpy as np

from segzoo.errors import OptionError
from segzoo.prediction.outputs.interface import Band, Drawn, Output


class Probabilities(Output):
    """Probabilities in half precision, whose steps near 1 are about 1/2048."""

    def draw(self, band: Band) -> Drawn:
        """Return ``(num_classes, H, W)``.

        Raises:
            OptionError: the probabilities were not kept.
        """
        if band.segmentation.probabilities is None:
            raise OptionError("probabilities were not kept: predict with probabilities=True")
        return band.segmentation.probabilities.astype(np.float16, copy=False)
