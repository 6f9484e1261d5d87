"""A data set of a folder per split, each with images and with masks of the same names."""

import os
from pathlib import Path

from segzoo.datasets import Pair, Pairs, check_split, match

from . import LABELS


def open_split(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open one part of the data; files are read when a sample is asked for.

    Args:
        root: holds a folder per split.
        split: ``train``, ``val`` or ``test``.
        scale: what both sides are multiplied by while files are decoded, at most 1.

    Raises:
        OptionError: there is no such split.
        FailureError: the root holds no such data, or an image has no mask.
    """
    check_split("template", split, ("train", "val", "test"))
    folder = Path(root, split)
    pairs = [Pair(*found) for found in match(folder / "images", folder / "masks")]
    return Pairs(pairs, LABELS, scale=scale)
