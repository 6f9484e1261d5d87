"""Some samples that stand for all of a data set."""

from __future__ import annotations

import numpy as np


def evenly_spread(total: int, most: int) -> list[int]:
    """Return at most ``most`` positions in a row of ``total``, in order, from the first to the last."""
    return np.linspace(0, max(total - 1, 0), min(total, most)).round().astype(int).tolist()
