"""CHASE_DB1: blood vessels in photographs of the retina, both eyes of 14 children, 999x960 pixels.

Parts are whole children, since the two eyes of a child are much alike: children 11 to 14 test, which are the
eight images that are customarily left for it, children 5 and 10 validate and the other eight train. Two
observers drew every image, and the first one's drawing is the truth by custom. There are no fields of view:
the black corners count as background.

Data: Fraz et al., 2012, doi:10.1109/TBME.2012.2205687.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, find_root
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Recognition
from segzoo_medical import RETINA

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance

_FIRST = "Image_01L.jpg"
_IMAGE = re.compile(r"Image_(\d\d)[LR]\.jpg")
_DRAWN = {1: "1stHO", 2: "2ndHO"}


class Eyes(Pairs):
    """Photographs of eyes; both eyes of a child stay together where a recipe divides the data anew."""

    @property
    def groups(self) -> list[str]:
        """The child of each image, such as ``Image_01``."""
        return [name[:-1] for name in self.names]


def recognise(glance: Glance) -> Recognition | None:
    """Recognise the image of the first child's left eye together with the first observer's drawing of it."""
    for inner in (".", *glance.folders()) if glance.file is None else ():
        if glance.has(f"{inner}/{_FIRST}", f"{inner}/Image_01L_{_DRAWN[1]}.png"):
            told = "CHASE_DB1: vessels as observer 1 drew them, parts by child"
            return Recognition(summary=told, masks=True)
    return None


def chase_db1(
    root: str | os.PathLike[str], split: str = "train", *, observer: int = 1, scale: float = 1.0
) -> Eyes:
    """Open CHASE_DB1.

    Args:
        root: folder that holds ``Image_01L.jpg`` to ``Image_14R.jpg``, each with its ``_1stHO.png`` and
            ``_2ndHO.png``.
        split: ``train``, ``val``, ``test`` or ``all``.
        observer: number of the observer whose drawing is the ground truth, 1 or 2.
        scale: factor of both sides while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or an image lacks its drawing.
        OptionError: there is no such observer.
    """
    check_split("chase-db1", split)
    if observer not in _DRAWN:
        raise OptionError(f"observer must be 1 or 2, got {observer!r}")
    root = Path(root)
    folder = find_root(root, _FIRST)
    if folder is None:
        raise FailureError(
            f"{root} holds no CHASE_DB1 data: expected Image_01L.jpg, Image_01L_1stHO.png, ..."
        )
    pairs = [
        _pair(image, observer)
        for image in sorted(folder.iterdir())
        if (found := _IMAGE.fullmatch(image.name)) and split in ("all", _part(int(found[1])))
    ]
    return Eyes(pairs, RETINA, scale=scale)


def _part(child: int) -> str:
    if child > 10:
        return "test"
    return "val" if child % 5 == 0 else "train"


def _pair(image: Path, observer: int) -> Pair:
    mask = image.with_name(f"{image.stem}_{_DRAWN[observer]}.png")
    if not mask.is_file():
        raise FailureError(
            f"there is no {mask}, observer {observer}'s drawing of {image.name}: unpack it too"
        )
    return Pair(image.stem, image, mask)
