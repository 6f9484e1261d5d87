"""Label image: the object number of every pixel, for programs that measure objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.errors import OptionError
from segzoo.prediction.outputs.interface import Band, Output

if TYPE_CHECKING:
    from segzoo.prediction.outputs.interface import Drawn

#: The largest number of objects in 16 bits.
_MOST = 65_535


class Objects(Output):
    """Objects numbered from 1 as in ``coco``, 0 for background: 16 bits, or 32 above 65,535 objects."""

    numbers = True

    def draw(self, band: Band) -> Drawn:
        """Return the object number of every pixel; numbers run over all classes.

        Raises:
            OptionError: the file is a PNG, and 16 bits are too few for the number of objects.
        """
        found = band.segmentation.instances(band.options.connectivity)
        if len(found.areas) <= _MOST:
            return found.numbers.astype(np.uint16)
        if band.suffix == ".png":
            raise OptionError(
                f"there are {len(found.areas):,} objects, but a PNG can number only {_MOST:,}: write "
                "objects:tif or objects:npy instead"
            )
        return found.numbers
