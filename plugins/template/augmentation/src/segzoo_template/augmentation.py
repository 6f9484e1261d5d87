"""Random erasing: a random rectangle of the image becomes grey.

Paper: Zhong et al., 2017, arXiv:1708.04896.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzoo.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Erase:
    """A grey rectangle; its pixels are ignored if the dataset has an ignore index.

    Args:
        share: share of each side of the image that the rectangle covers.
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise OptionError(f"share must be above 0 and at most 1, got {self.share}")

    def __call__(
        self, image: NDArray[Any], mask: NDArray[Any], random: np.random.Generator, ignore: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return image ``(H, W, C)`` and mask ``(H, W)`` with the rectangle in them."""
        sides = [max(round(side * self.share), 1) for side in mask.shape]
        room = [whole - side for whole, side in zip(mask.shape, sides, strict=True)]
        starts = [int(random.integers(most + 1)) for most in room]
        place = tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        image, mask = image.copy(), mask.copy()
        image[place] = 128 if image.dtype == np.uint8 else 0.5
        if ignore is not None:
            mask[place] = ignore
        return image, mask
