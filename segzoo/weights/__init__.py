"""Weights: folders that hold a model, and the ways to fetch, convert, load and save them.

Names are imported on first use, so that fetching and cleaning the cache do not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.publishing.push import push
    from segzoo.weights.folder import save
    from segzoo.weights.loading import load

_WHERE = {
    "folder": "save",
    "loading": "load",
    "segzoo.publishing.push": "push",
}

__all__ = ["load", "push", "save"]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
