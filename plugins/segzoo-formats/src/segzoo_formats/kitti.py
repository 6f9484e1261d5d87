"""KITTI's semantic segmentation: ``training/image_2`` and ``training/semantic``, classes as in Cityscapes.

Data: Alhaija et al., 2018, doi:10.1007/s11263-018-1070-x;
https://www.cvlibs.net/datasets/kitti/eval_semseg.php?benchmark=semantics2015
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, divided, find_root, match
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Recognition
from segzoo_formats.cityscapes import by_id, labels
from segzoo_formats.lookup import Lookup
from segzoo_formats.search import unwrapped

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from segzoo.datasets import Glance

_IMAGES = "training/image_2"
#: Folders of masks, with what their values are divided by: those of ``instance`` number the objects too.
_MASKS = {"training/semantic": 0, "training/instance": 256}


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``training/image_2`` with ``training/semantic`` or ``training/instance``."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    found = next((name for name in _MASKS if glance.has(name)), None)
    if glance.file or found is None or not glance.has(_IMAGES):
        return None
    told = f"KITTI's semantic segmentation, 19 classes, masks in {found}, parts made by segzoo"
    return Recognition(summary=told, masks=True)


def kitti(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = "train",
    scale: float = 1.0,
) -> Pairs:
    """Open KITTI's images with semantic masks; the part ``testing`` has none and is not read.

    Args:
        root: folder that holds ``training/image_2`` and ``training/semantic`` or ``training/instance``.
        split: ``train``, ``val``, ``test`` or ``all``, which segzoo makes of ``training``.
        classes: classes to use, chosen in the same way as for the dataset ``cityscapes``.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a file has no partner.
        OptionError: there is no such class, or the split is empty.
    """
    check_split("kitti-semantic", split)
    folder = find_root(Path(root), *_MASKS)
    if folder is None or not (folder / _IMAGES).is_dir():
        raise FailureError(f"{root} holds no masks of KITTI: expected {_IMAGES} and training/semantic")
    masks = next(name for name in _MASKS if (folder / name).is_dir())
    pairs = [Pair(*row) for row in match(folder / _IMAGES, folder / masks)]
    parts = divided([pair.name for pair in pairs])
    chosen = [pair for pair, part in zip(pairs, parts, strict=True) if split in ("all", part)]
    if not chosen:
        raise OptionError(f"the split {split!r} of {folder} is empty: it has {len(pairs)} images")
    wanted = labels(classes)
    decode = Lookup(wanted, by_id(wanted), "KITTI", objects=_MASKS[masks], bare=False)
    return Pairs(chosen, wanted, scale=scale, decode=decode)
