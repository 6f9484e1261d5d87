"""Cutout: rectangles of the image are hidden, so that objects must be recognised by the rest of them.

Paper: DeVries and Taylor, 2017, arXiv:1708.04552.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from segzoo.training.augmentation.step import (
    Step,
    option,
    read_choice,
    read_grey,
    read_interval,
    read_share,
    read_sides,
    white,
)

if TYPE_CHECKING:
    from segzoo.training.augmentation.step import Pair, Pixels


@dataclass(frozen=True, kw_only=True)
class Cutout(Step):
    """Rectangles of one grey level at random places; the image's border cuts them.

    Attributes:
        holes: minimum and maximum number of rectangles.
        size: minimum and maximum height and width, drawn separately, as a share of the image's.
        grey: level of the rectangles in all bands, where 255 is white.
        target: what happens to the mask there: ``keep`` leaves it unchanged, ``ignore`` ignores it.
        probability: probability of applying the step.
    """

    holes: tuple[int, int] = option(read_sides, (1, 4))
    size: tuple[float, float] = option(partial(read_interval, low=0.01, high=1), (0.05, 0.25))
    grey: int = option(read_grey, 128)
    target: str = option(read_choice("keep", "ignore"), "keep")
    probability: float = option(read_share, 0.5)

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask with hidden rectangles."""
        image = image.copy()
        ignored = ignore if self.target == "ignore" else None
        if ignored is not None:
            mask = mask.copy()
        for _ in range(int(random.integers(self.holes[0], self.holes[1] + 1))):
            sides = np.maximum(np.rint(random.uniform(*self.size, 2) * mask.shape), 1).astype(int)
            # Centres lie anywhere in the image, so that its border is hidden as often as the rest.
            starts = (random.random(2) * mask.shape).astype(int) - sides // 2
            hole = tuple(slice(max(a, 0), a + side) for a, side in zip(starts, sides, strict=True))
            image[hole] = self.grey / 255 * white(image)
            if ignored is not None:
                mask[hole] = ignored
        return image, mask

    def ignores(self) -> str:
        """Return the setting that makes hidden pixels ignored, or ``""``."""
        return "target" if self.target == "ignore" else ""
