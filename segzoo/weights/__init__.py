"""Weights: the folder that holds a model, and every way to and from it.

Names are imported when first used, so that fetching and tidying need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segzoo.weights.folder import load, save

__all__ = ["load", "save"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'segzoo.weights' has no attribute {name!r}")
    from segzoo.weights import folder

    return getattr(folder, name)
