"""CamVid: 701 frames of 480x360 from a car, in the 11 classes and three parts of SegNet's authors.

A mask's value 11 marks pixels without a class, which are ignored.

Data: Brostow et al., 2009, doi:10.1016/j.patrec.2008.04.005; grouped by Badrinarayanan et al., 2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import FOLDERS, Pair, Pairs, check_split, find_root, match
from segzoo.errors import FailureError
from segzoo.specs import Recognition
from segzoo_driving import SCENES

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance


_FILMS = ("0001TP_", "0006R0_", "0016E5_", "Seq05VD_")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise folders of SegNet's form by the names of CamVid's four films."""
    for inner in (".", *glance.folders()) if glance.file is None else ():
        for part in FOLDERS:
            masks = glance.files("*.png", f"{inner}/{part}annot")
            if masks and masks[0].name.startswith(_FILMS) and glance.has(f"{inner}/{part}"):
                return Recognition(
                    summary="CamVid in SegNet's form, 11 classes, parts as folders", masks=True
                )
    return None


def camvid(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open CamVid.

    Args:
        root: folder that holds ``train`` and ``trainannot``, ``val`` and ``valannot``, ``test`` and
            ``testannot``.
        split: ``train``, ``val``, ``test`` or ``all``.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or an image has no mask.
    """
    check_split("camvid", split)
    root = Path(root)
    folder = find_root(root, "trainannot", "testannot")
    if folder is None:
        raise FailureError(
            f"{root} holds no CamVid data: expected folders train, trainannot, val, valannot, ..."
        )
    parts = tuple(FOLDERS) if split == "all" else (split,)
    return Pairs([pair for part in parts for pair in _pairs(folder, part)], SCENES, scale=scale)


def _pairs(folder: Path, part: str) -> list[Pair]:
    images, masks = folder / part, folder / f"{part}annot"
    for wanted in (images, masks):
        if not wanted.is_dir():
            raise FailureError(f"there is no folder {wanted}")
    return [Pair(f"{part}/{name}", image, mask) for name, image, mask in match(images, masks)]
