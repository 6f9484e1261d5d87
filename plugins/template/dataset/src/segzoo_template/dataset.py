"""A dataset with one folder per split, each with images and masks of the same names."""

import os
from pathlib import Path

from segzoo.datasets import Pair, Pairs, check_split, match

from . import LABELS


def open_split(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open one split; files are read when a sample is requested.

    Args:
        root: folder with one folder per split.
        split: ``train``, ``val`` or ``test``.
        scale: factor for both sides while files are decoded, at most 1.

    Raises:
        OptionError: there is no such split.
        FailureError: the root does not contain this data, or an image has no mask.
    """
    check_split("template", split, ("train", "val", "test"))
    folder = Path(root, split)
    pairs = [Pair(*found) for found in match(folder / "images", folder / "masks")]
    return Pairs(pairs, LABELS, scale=scale)
