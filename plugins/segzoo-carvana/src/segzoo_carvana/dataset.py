"""Carvana: photographs of cars, cut out from their backgrounds.

16 views of each car, ``<car>_<view>.jpg`` of 1918x1280, with ``<car>_<view>_mask.gif``. The split is by
car, since views of one car are nearly alike: of a hundred cars, 80 train, 10 validate, 10 test.

Data: https://www.kaggle.com/c/carvana-image-masking-challenge
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, find_root, match, split_of
from segzoo.errors import FailureError
from segzoo.specs import Recognition
from segzoo_carvana import CARS

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance


#: What the folders are called in Kaggle's archives, and where programs have moved them.
_IMAGES = ("train_hq", "train", "imgs", "images")
_MASKS = ("train_masks", "masks")
#: A car's identifier, and the number of the view.
_CAR = "[0-9a-f]" * 12 + "_[0-9][0-9]"


def recognise(glance: Glance) -> Recognition | None:
    """Recognise photographs and masks by the identifiers of Kaggle's cars."""
    for inner in (".", *glance.folders()) if glance.file is None else ():
        masks = [path for name in _MASKS for path in glance.files(f"{_CAR}_mask.*", f"{inner}/{name}")]
        if masks and any(glance.files(f"{_CAR}.*", f"{inner}/{name}") for name in _IMAGES):
            told = "Carvana: cars cut out of photographs, parts made by segzoo, views of a car together"
            return Recognition(summary=told, masks=True)
    return None


def carvana(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open Carvana.

    Args:
        root: folder that holds ``train_hq`` (or ``train``, ``imgs``, ``images``) and ``train_masks`` (or
            ``masks``).
        split: ``train``, ``val``, ``test`` or ``all``.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a photograph has no mask.
    """
    check_split("carvana", split)
    root = Path(root)
    inner = find_root(root, *_MASKS) or root
    images, masks = (_first(inner, names) for names in (_IMAGES, _MASKS))
    if images is None or masks is None:
        raise FailureError(
            f"{root} holds no Carvana data: expected train_hq/*.jpg (or train, imgs) and"
            " train_masks/*_mask.gif (or masks)"
        )
    found = match(images, masks, ("_mask", ""))
    # The car's identifier stands before the number of the view.
    chosen = [row for row in found if split in ("all", split_of(row[0].rpartition("_")[0] or row[0]))]
    return Pairs([Pair(*row) for row in chosen], CARS, scale=scale)


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)
