"""The number of each pixel's object: a label image, as programs that measure objects read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.errors import OptionError
from segzoo.prediction.outputs.interface import Band, Output

if TYPE_CHECKING:
    from segzoo.prediction.outputs.interface import Drawn

#: Objects that 16 bits can number.
_MOST = 65_535


class Objects(Output):
    """Objects numbered from 1 as in ``coco``, 0 for background: 16 bits, 32 beyond 65,535 objects."""

    numbers = True

    def draw(self, band: Band) -> Drawn:
        """Return the number of each pixel's object, of any class.

        Raises:
            OptionError: a PNG is wanted of more objects than 16 bits can number.
        """
        found = band.segmentation.instances(band.options.connectivity)
        if len(found.areas) <= _MOST:
            return found.numbers.astype(np.uint16)
        if band.suffix == ".png":
            raise OptionError(
                f"there are {len(found.areas):,} objects, and a PNG numbers {_MOST:,} at most: write "
                "objects:tif or objects:npy"
            )
        return found.numbers
