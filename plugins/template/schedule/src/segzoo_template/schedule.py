"""Warm restarts: the rate falls as half a cosine, and begins anew at its height.

Paper: Loshchilov and Hutter, 2017, arXiv:1608.03983.
"""

import math
from dataclasses import dataclass

from segzoo.errors import OptionError
from segzoo.interfaces import Progress


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """Half a cosine, ``cycles`` times over.

    Args:
        cycles: how often it falls.
    """

    cycles: int = 3

    def __post_init__(self) -> None:
        if self.cycles < 1:
            raise OptionError(f"schedule.cycles must be at least 1, got {self.cycles}")

    def __call__(self, now: Progress) -> float:
        """Return the share of the way from the minimum to the height."""
        gone = self.cycles * now.gone
        return 0.0 if now.gone == 1 else 0.5 * (1 + math.cos(math.pi * (gone - math.floor(gone))))
