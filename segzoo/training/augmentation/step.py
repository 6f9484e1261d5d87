"""What every step of an augmentation is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.training.augmentation.options import Size

    Bytes = NDArray[np.uint8]
    Pair = tuple[Bytes, Bytes]


@dataclass(frozen=True)
class Step:
    """A change of an image ``(H, W, C)`` uint8, and of its mask ``(H, W)`` uint8 where places move.

    A step is a frozen dataclass whose fields are its options. It may return views, and never writes into
    what it is given.
    """

    #: How often it is done; a field of those steps that need not always be.
    probability = 1.0

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask after the step; steps that move nothing change the image alone.

        Args:
            image: ``(H, W, C)``.
            mask: ``(H, W)``.
            random: decides everything.
            ignore: the mask's value for pixels that count for nothing, if there is one.
        """
        del ignore
        return self.recolour(image, random), mask

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image after a step that moves nothing."""
        raise NotImplementedError

    def size_after(self, before: Size | None) -> Size | None:
        """Return the height and width that come out where ``before`` goes in; ``None`` where they vary."""
        return before

    def ignores(self) -> str:
        """Return the setting by which pixels from outside the image count for nothing, or ``""``."""
        return ""


def uniform(random: np.random.Generator, interval: tuple[float, float]) -> float:
    """Draw a number between two."""
    return float(random.uniform(*interval))


def log_uniform(random: np.random.Generator, interval: tuple[float, float]) -> float:
    """Draw a factor between two, so that twice is as likely as half."""
    low, high = interval
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
