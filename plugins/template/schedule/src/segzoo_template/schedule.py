"""Warm restarts: the learning rate falls along half a cosine, and starts again at its maximum.

Paper: Loshchilov and Hutter, 2017, arXiv:1608.03983.
"""

import math
from dataclasses import dataclass

from segzoo.errors import OptionError
from segzoo.interfaces import Progress


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """Half a cosine, repeated ``cycles`` times.

    Args:
        cycles: number of repetitions.
    """

    cycles: int = 3

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise OptionError(f"schedule.cycles must be at least 1, got {self.cycles}")

    def __call__(self, now: Progress) -> float:
        """Return the position between the minimum (0) and the maximum (1)."""
        gone = self.cycles * now.gone
        return 0.0 if now.gone == 1 else 0.5 * (1 + math.cos(math.pi * (gone - math.floor(gone))))
