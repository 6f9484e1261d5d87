"""Selection of samples that represent a whole dataset."""

from __future__ import annotations

import numpy as np


def evenly_spread(total: int, most: int) -> list[int]:
    """Return at most ``most`` evenly spread positions out of ``total``, including the first and the last."""
    return np.linspace(0, max(total - 1, 0), min(total, most)).round().astype(int).tolist()
