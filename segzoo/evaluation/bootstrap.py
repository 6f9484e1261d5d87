"""Percentile bootstrap over images: how much a score depends on the choice of images.

Efron, 1979, doi:10.1214/aos/1176344552. Images are drawn with replacement, and each resample is scored by the
metric itself from merged counts, so the confidence interval of a pooled score is that of a pooled score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.evaluation.results import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Metric


def draws(groups: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return ``(resamples, groups)``: how often each resample contains each group; empty below 2 groups."""
    if groups < 2:
        resamples = 0
    random = np.random.default_rng(seed)
    return random.multinomial(groups, np.full(groups, 1 / groups), size=resamples)


def metric_intervals(
    parts: Sequence[Metric], fresh: Callable[[], Metric], drawn: NDArray[np.int64]
) -> dict[str, Interval]:
    """Return the confidence interval of every value of a metric.

    Args:
        parts: counters, each of which has counted one image or one group of images.
        fresh: makes an empty counter.
        drawn: result of `draws`.
    """
    values: dict[str, list[float]] = {}
    for times in drawn:
        total = fresh()
        for part, count in zip(parts, times.tolist(), strict=True):
            for _ in range(count):
                total.merge(part)
        for name, value in total.compute().items():
            values.setdefault(name, []).append(float(value))
    found = {name: percentiles(np.array(several)) for name, several in values.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def mean_interval(values: NDArray[np.float64], total: float, drawn: NDArray[np.int64]) -> dict[str, Interval]:
    """Return the confidence interval of ``per_image`` if that is the mean of the scores of single images.

    Args:
        values: score of every image, NaN for those that the mean leaves out.
        total: the score; if it is not that mean, there is no interval.
        drawn: result of `draws`; image ``i`` belongs to group ``i`` modulo their number.
    """
    known = np.isfinite(values)
    if not len(drawn) or not known.any() or not np.isclose(values[known].mean(), total):
        return {}
    group = np.arange(len(values)) % drawn.shape[1]
    sums, counts = (
        drawn @ np.bincount(group, weights=weights, minlength=drawn.shape[1])
        for weights in (np.where(known, values, 0), known.astype(float))
    )
    interval = percentiles(sums / np.where(counts > 0, counts, np.nan))
    return {} if interval is None else {"per_image": interval}


def percentiles(values: NDArray[np.float64]) -> Interval | None:
    """Return the middle 95 %; ``None`` if a resample has no value, because the rest is then unreliable."""
    if not len(values) or not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
