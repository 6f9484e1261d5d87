"""Small drawings for the page, as SVG inside it."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from segzoo.printing import markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.evaluation.results import Interval

_BINS = 20


def interval_plot(value: float, interval: Interval | None) -> str:
    """Return a line from 0 to 1 with the interval and the value on it; nothing for other scores."""
    if interval is None or not 0 <= min(value, interval.low) <= max(value, interval.high) <= 1:
        return ""
    low, high, middle = (4 + 152 * part for part in (interval.low, interval.high, value))
    return (
        '<svg width="160" height="14" viewBox="0 0 160 14" aria-hidden="true">'
        '<path class="axis" d="M4 7H156M4 3V11M156 3V11"/>'
        f'<path class="span" d="M{low:.1f} 7H{max(high, low + 1):.1f}"/>'
        f'<circle class="bar" cx="{middle:.1f}" cy="7" r="3.5"/></svg>'
    )


def histogram(name: str, values: Sequence[float]) -> str:
    """Return a figure of how many images have which score; a dashed line marks the median.

    Args:
        name: of the score.
        values: finite, at least one.
    """
    low, high = min(values), max(values)
    first, last = (0.0, 1.0) if low >= 0 and high <= 1 else (low, max(high, low + 1e-9))
    counts, _ = np.histogram(values, bins=_BINS, range=(first, last))
    tallest, middle = int(counts.max()), median(values)
    wide, tall, left, top = 360.0, 120.0, 34.0, 8.0
    bars = "".join(
        f'<rect class="bar" x="{left + i * wide / _BINS + 1:.1f}" y="{top + tall * (1 - n / tallest):.1f}" '
        f'width="{wide / _BINS - 2:.1f}" height="{tall * n / tallest:.1f}"/>'
        for i, n in enumerate(counts.tolist())
        if n
    )
    line = left + wide * (middle - first) / (last - first)
    ends = f"lowest {_short(low)}, median {_short(middle)}, highest {_short(high)}"
    told = f"{name} of {len(values)} images: {ends}"
    bottom = top + tall
    numbers = "".join(
        f'<text x="{left + wide * share:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{_short(text)}</text>'
        for share, anchor, text in (
            (0, "start", first),
            (0.5, "middle", (first + last) / 2),
            (1, "end", last),
        )
    )
    return (
        f'<figure><figcaption class="rule">{markup(told)}</figcaption>'
        f'<svg viewBox="0 0 {left + wide + 6:.0f} {bottom + 24:.0f}" role="img" aria-label="{markup(told)}">'
        f"{bars}"
        f'<path class="axis" d="M{left} {bottom}H{left + wide}"/>'
        f'<path class="mark" d="M{line:.1f} {top - 4}V{bottom}"/>'
        f'<text x="{left - 6}" y="{top + 9}" text-anchor="end">{tallest}</text>'
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>{numbers}</svg></figure>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
