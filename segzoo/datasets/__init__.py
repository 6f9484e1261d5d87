"""Data sets: images with their masks. One file each; what is named here is for plug-ins, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.datasets.annotated import AnnotatedImage, AnnotatedImages, Region, class_labels
    from segzoo.datasets.glance import Glance
    from segzoo.datasets.matching import match
    from segzoo.datasets.pairs import Pair, Pairs, find_root, slices
    from segzoo.datasets.shapes import Box, Ellipse, Line, Patch, Polygon, Runs, Several, Shape, Stencil
    from segzoo.datasets.splits import Split, check_split, divided, groups_of, hundredth_of, split_of
    from segzoo.datasets.zips import Zip

# Imported when first used: a list of what there is needs none of it.
_WHERE = {
    "AnnotatedImage": "annotated",
    "AnnotatedImages": "annotated",
    "Box": "shapes",
    "Ellipse": "shapes",
    "Glance": "glance",
    "Line": "shapes",
    "Pair": "pairs",
    "Pairs": "pairs",
    "Patch": "shapes",
    "Polygon": "shapes",
    "Region": "annotated",
    "Runs": "shapes",
    "Several": "shapes",
    "Shape": "shapes",
    "Split": "splits",
    "Stencil": "shapes",
    "Zip": "zips",
    "check_split": "splits",
    "class_labels": "annotated",
    "divided": "splits",
    "find_root": "pairs",
    "groups_of": "splits",
    "hundredth_of": "splits",
    "match": "matching",
    "slices": "pairs",
    "split_of": "splits",
}

__all__ = [
    "AnnotatedImage",
    "AnnotatedImages",
    "Box",
    "Ellipse",
    "Glance",
    "Line",
    "Pair",
    "Pairs",
    "Patch",
    "Polygon",
    "Region",
    "Runs",
    "Several",
    "Shape",
    "Split",
    "Stencil",
    "Zip",
    "check_split",
    "class_labels",
    "divided",
    "find_root",
    "groups_of",
    "hundredth_of",
    "match",
    "slices",
    "split_of",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
