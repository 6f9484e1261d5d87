"""Scores in words, for pages and terminals alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segzoo.evaluation.results import Interval


def number(value: float) -> str:
    """Return a score as people read it: four decimals, or two from 10 on, and a dash for none."""
    if math.isnan(value):
        return "\N{EN DASH}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def interval_text(interval: Interval | None) -> str:
    """Return ``[low, high]``, or nothing."""
    return "" if interval is None else f"[{number(interval.low)}, {number(interval.high)}]"
