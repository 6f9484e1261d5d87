"""ISBI 2012: membranes of neurons in electron microscopy, 30 slices of 512x512 of one block.

Neighbouring slices are nearly alike. So five folds of six slices each are contiguous, 0 to 5, 6 to 11 and so
on: one is the test, the next one validates, the other 18 train. ``folds="shuffled"`` divides as MindSpore's
U-Net program does, whose reported numbers it is for: slices are shuffled by NumPy's generator with seed
0, rotated by six for each fold, and the last six are both test and validation.

Data: Cardona et al., 2010, doi:10.1371/journal.pbio.1000502.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from segzoo.datasets import Pair, Pairs, check_split, find_root, slices
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Recognition
from segzoo_medical import MEMBRANES

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance

_FOLDS = 5
_IMAGES, _MASKS = "train-volume.tif", "train-labels.tif"


def recognise(glance: Glance) -> Recognition | None:
    """Recognise the two stacks by their names."""
    if glance.file is not None:
        return None
    if any(glance.has(f"{inner}/{_IMAGES}", f"{inner}/{_MASKS}") for inner in (".", *glance.folders())):
        return Recognition(summary="ISBI 2012: membranes in a stack of slices, in five folds", masks=True)
    return None


def isbi2012(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    fold: int = 0,
    folds: Literal["contiguous", "shuffled"] = "contiguous",
    scale: float = 1.0,
) -> Pairs:
    """Open ISBI 2012.

    Args:
        root: folder that holds ``train-volume.tif`` and ``train-labels.tif``.
        split: ``train``, ``val``, ``test`` or ``all``.
        fold: which fifth is the test, from 0.
        folds: ``contiguous`` slices, or ``shuffled`` as MindSpore's program does.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data.
        OptionError: there is no such fold.
    """
    check_split("isbi2012", split)
    if folds not in ("contiguous", "shuffled"):
        raise OptionError(f"folds must be contiguous or shuffled, got {folds!r}")
    if fold not in range(_FOLDS):
        raise OptionError(f"fold must lie in 0 to {_FOLDS - 1}, got {fold!r}")
    root = Path(root)
    folder = find_root(root, _IMAGES)
    if folder is None or not (folder / _MASKS).is_file():
        raise FailureError(f"{root} holds no ISBI 2012 data: expected {_IMAGES} and {_MASKS}")
    stack = slices(Pair("slice", folder / _IMAGES, folder / _MASKS))
    divide = _contiguous if folds == "contiguous" else _shuffled
    chosen = range(len(stack)) if split == "all" else divide(len(stack), fold)[split]
    return Pairs([stack[index] for index in chosen], MEMBRANES, scale=scale)


def _contiguous(count: int, fold: int) -> dict[str, list[int]]:
    blocks = [block.tolist() for block in np.array_split(np.arange(count), _FOLDS)]
    test, val = blocks[fold], blocks[(fold + 1) % _FOLDS]
    kept = {*test, *val}
    return {"train": [index for index in range(count) if index not in kept], "val": val, "test": test}


def _shuffled(count: int, fold: int) -> dict[str, list[int]]:
    # The legacy generator, since it is the one that the program uses.
    order = np.random.RandomState(0).permutation(count)
    order = np.roll(order, fold * round(count / _FOLDS)).tolist()
    most = round(count * (1 - 1 / _FOLDS))
    return {"train": order[:most], "val": order[most:], "test": order[most:]}
