"""Data sets: images with their masks. One file each; what is named here is for plug-ins, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.datasets.folder import slices
    from segzoo.datasets.matching import match
    from segzoo.datasets.pairs import Pair, Pairs, find_root
    from segzoo.datasets.splits import Split, check_split, hundredth_of, split_of
    from segzoo.datasets.zips import Zip

# Imported when first used: a list of what there is needs none of it.
_WHERE = {
    "Pair": "pairs",
    "Pairs": "pairs",
    "Split": "splits",
    "Zip": "zips",
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
    "Zip",
    "check_split",
    "find_root",
    "hundredth_of",
    "match",
    "slices",
    "split_of",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
