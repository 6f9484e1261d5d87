"""When a score no longer gets better: what the ``plateau`` schedule goes by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Plateau:
    """Counts validations without a better score, by the rules of torch's ``ReduceLROnPlateau``.

    Attributes:
        reduce: what the rate is multiplied by each time.
        patience: how many validations in a row may be no better; one more lowers the rate.
        threshold: by which share of the best score a score must be better to count so.
        cooldown: validations after a reduction in which none is counted.
    """

    reduce: float
    patience: int
    threshold: float
    cooldown: int
    _best: float | None = None
    _worse: int = 0
    _cooling: int = 0
    _reductions: int = 0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Plateau:
        """Make one of the schedule's options."""
        return cls(options["factor"], options["patience"], options["threshold"], options["cooldown"])

    @property
    def factor(self) -> float:
        """What the rate is multiplied by so far."""
        return self.reduce**self._reductions

    def see(self, score: float, *, higher_is_better: bool) -> None:
        """Take note of a score; one that is not a number is no better."""
        if self._better(score, higher_is_better=higher_is_better):
            self._best, self._worse = score, 0
        else:
            self._worse += 1
        if self._cooling:
            self._cooling -= 1
            self._worse = 0
        if self._worse > self.patience:
            self._reductions += 1
            self._worse, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far, as plain data."""
        return {
            "best": self._best,
            "worse": self._worse,
            "cooling": self._cooling,
            "reductions": self._reductions,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._best, self._worse = state["best"], int(state["worse"])
        self._cooling, self._reductions = int(state["cooling"]), int(state["reductions"])

    def _better(self, score: float, *, higher_is_better: bool) -> bool:
        if self._best is None:
            return not math.isnan(score)
        if higher_is_better:
            return score > self._best * (1 + self.threshold)
        return score < self._best * (1 - self.threshold)
