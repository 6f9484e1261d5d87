"""Flips and turns by right angles: pixels change places and keep their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.training.augmentation.options import option, read_share
from segzoo.training.augmentation.step import Step

if TYPE_CHECKING:
    from segzoo.training.augmentation.options import Size
    from segzoo.training.augmentation.step import Bytes, Pair


@dataclass(frozen=True, kw_only=True)
class Flip(Step):
    """A flip from left to right, one from top to bottom, or both.

    Attributes:
        horizontal: how often left and right are swapped.
        vertical: how often top and bottom are.
    """

    horizontal: float = option(read_share, 0.5)
    vertical: float = option(read_share, 0.0)

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, flipped."""
        del ignore
        across, down = random.random(2) < (self.horizontal, self.vertical)
        order = slice(None, None, -1 if down else 1), slice(None, None, -1 if across else 1)
        return image[order], mask[order]


def _read_angles(key: str, value: Any) -> tuple[int, ...]:
    angles = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not angles or any(isinstance(a, bool) or a not in (0, 90, 180, 270) for a in angles):
        raise OptionError(f"{key} must be a list of 0, 90, 180 and 270, got {value!r}")
    return tuple(int(angle) for angle in angles)


@dataclass(frozen=True, kw_only=True)
class Turn(Step):
    """A turn by right angles, counter-clockwise.

    Attributes:
        angles: in degrees, all as likely.
        probability: how often it is done.
    """

    angles: tuple[int, ...] = option(_read_angles, (0, 90, 180, 270))
    probability: float = option(read_share, 1.0)

    def __call__(self, image: Bytes, mask: Bytes, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask, turned."""
        del ignore
        turns = self.angles[int(random.integers(len(self.angles)))] // 90
        return np.rot90(image, turns), np.rot90(mask, turns)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size after it: none that is certain where height and width may be swapped."""
        lying = {angle % 180 == 90 for angle in self.angles} | ({False} if self.probability < 1 else set())
        if before is None or lying == {False} or not self.probability or before[0] == before[1]:
            return before
        return None if False in lying else (before[1], before[0])
