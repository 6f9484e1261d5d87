"""Datasets: images with their masks. One file each; all names here are public for plug-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.datasets.annotated import AnnotatedImage, AnnotatedImages, Region, class_labels
    from segzoo.datasets.glance import Glance
    from segzoo.datasets.matching import by_name, match, visible
    from segzoo.datasets.pairing import find_pairs
    from segzoo.datasets.pairs import Pair, Pairs, find_root, slices
    from segzoo.datasets.shapes import Box, Ellipse, Line, Patch, Polygon, Runs, Several, Shape, Stencil
    from segzoo.datasets.splits import (
        FOLDERS,
        Split,
        check_split,
        divided,
        groups_of,
        hundredth_of,
        part_named,
        split_of,
    )
    from segzoo.datasets.subset import evenly_spread
    from segzoo.datasets.zips import Zip
    from segzoo.files import lines_of, read_words, regular
    from segzoo.options import as_names, check_choice, check_flags, listed, many

# Imported at first use: listing the datasets needs none of it.
_WHERE = {
    "annotated": "AnnotatedImage AnnotatedImages Region class_labels",
    "glance": "Glance",
    "matching": "by_name match visible",
    "pairing": "find_pairs",
    "pairs": "Pair Pairs find_root slices",
    "segzoo.files": "lines_of read_words regular",
    "segzoo.options": "as_names check_choice check_flags listed many",
    "shapes": "Box Ellipse Line Patch Polygon Runs Several Shape Stencil",
    "splits": "FOLDERS Split check_split divided groups_of hundredth_of part_named split_of",
    "subset": "evenly_spread",
    "zips": "Zip",
}

__all__ = [
    "AnnotatedImage",
    "AnnotatedImages",
    "Box",
    "Ellipse",
    "FOLDERS",
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
    "as_names",
    "by_name",
    "check_choice",
    "check_flags",
    "check_split",
    "class_labels",
    "divided",
    "evenly_spread",
    "find_pairs",
    "find_root",
    "groups_of",
    "hundredth_of",
    "lines_of",
    "listed",
    "many",
    "match",
    "part_named",
    "read_words",
    "regular",
    "slices",
    "split_of",
    "visible",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
