"""Building facades: 598 pictures with the outlines of ten classes, as COCO annotations.

Windows lie inside facades, and the smaller object covers the larger one, in any order of the file.
What has no outline, such as the sky, is background. The file's category 0 is Roboflow's supercategory, and no
object has it.

The files' own parts share photographs: many appear as two pictures, ``_scaled_0`` and ``_scaled_1``, which
show nearly the same and were divided by chance. ``test`` is that of the files; ``val`` leaves out photographs
that test shows, and ``train`` those that either shows.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from segzoo.build import open_dataset
from segzoo.datasets import AnnotatedImages, check_split, find_root
from segzoo.errors import FailureError
from segzoo_buildings import FACADES

if TYPE_CHECKING:
    import os

#: The end of a picture's name, after the photograph's.
_PICTURE = re.compile(r"_scaled_\d.*$")
#: Parts in this order: each leaves out the photographs of those before it.
_PARTS = ("test", "val", "train")


class Photographs(AnnotatedImages):
    """Pictures of facades; those of one photograph stay together where a recipe divides the data anew."""

    @property
    def groups(self) -> list[str]:
        """The photograph of each picture."""
        return [photograph(name) for name in self.names]


def photograph(name: str) -> str:
    """Return the photograph that a picture was cut from: ``IMG_60`` for ``test/IMG_60_scaled_0_png_jpg``."""
    return _PICTURE.sub("", name.rpartition("/")[2])


def facades(root: str | os.PathLike[str], split: str = "train") -> Photographs:
    """Open the facades.

    Args:
        root: folder that holds ``train``, ``valid`` and ``test``, each with ``_annotations.coco.json``.
        split: ``train``, ``val``, ``test``, or ``all``: every picture of the files.

    Raises:
        FailureError: the root holds no such data, or pictures are missing.
        OptionError: the files lack one of the ten classes.
    """
    check_split("facades", split)
    root = Path(root)
    folder = find_root(root, "train/_annotations.coco.json")
    if folder is None:
        raise FailureError(
            f"{root} holds no facades: expected train, valid and test, with _annotations.coco.json"
        )
    every = cast(
        "AnnotatedImages",
        open_dataset("segzoo-formats:coco", root=folder, split="all", classes=FACADES.classes[1:]),
    )
    seen: set[str] = set()
    chosen = every.images
    for part in _PARTS if split != "all" else ():
        chosen = [one for one in every.images if one.part == part and photograph(one.name) not in seen]
        if part == split:
            break
        seen |= {photograph(one.name) for one in every.images if one.part == part}
    if not chosen:
        raise FailureError(
            f"{folder} has no pictures of its own for the part {split!r}: unpack all three folders"
        )
    return Photographs(chosen, FACADES, order="area", remarks=partial(getattr, every, "remarks"))
