"""Weights: the folder that holds a model, and every way to and from it.

Names are imported when first used, so that fetching and tidying need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segzoo.weights.folder import load, save
    from segzoo.weights.publication import push

_WHERE = {"load": "folder", "push": "publication", "save": "folder"}

__all__ = ["load", "push", "save"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'segzoo.weights' has no attribute {name!r}")
    return getattr(import_module(f"segzoo.weights.{_WHERE[name]}"), name)
