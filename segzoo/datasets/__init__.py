"""Data sets: images with their masks. One file each; what is named here is for plug-ins, too."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segzoo.datasets.folder import slices
    from segzoo.datasets.matching import match
    from segzoo.datasets.pairs import Pair, Pairs, find_root
    from segzoo.datasets.splits import Split, check_split, hundredth_of, split_of

# Imported when first used: a list of what there is needs none of it.
_WHERE = {
    "Pair": "pairs",
    "Pairs": "pairs",
    "Split": "splits",
    "check_split": "splits",
    "find_root": "pairs",
    "hundredth_of": "splits",
    "match": "matching",
    "slices": "folder",
    "split_of": "splits",
}

__all__ = [
    "Pair",
    "Pairs",
    "Split",
    "check_split",
    "find_root",
    "hundredth_of",
    "match",
    "slices",
    "split_of",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'segzoo.datasets' has no attribute {name!r}")
    value = getattr(import_module(f"segzoo.datasets.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
