"""Weights: the folder that holds a model, and every way to and from it.

Names are imported when first used, so that fetching and tidying need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.publishing.push import push
    from segzoo.weights.folder import save
    from segzoo.weights.loading import load

_WHERE = {"load": "loading", "push": "segzoo.publishing.push", "save": "folder"}

__all__ = ["load", "push", "save"]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
