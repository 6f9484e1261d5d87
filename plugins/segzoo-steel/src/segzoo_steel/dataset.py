"""NEU-Seg: three kinds of defects on hot-rolled steel, 200x200 pixels each.

300 file names occur in both of its parts, with different images; so images are paired with masks within a
part, and names begin with the part's. Of a hundred training images the hash of ten's names puts them
into validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, find_root, hundredth_of, match
from segzoo.errors import FailureError
from segzoo.images import open_image
from segzoo.specs import Recognition
from segzoo_steel import DEFECTS

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance


_PARTS = ("training", "test")


def recognise(glance: Glance) -> Recognition | None:
    """Recognise numbered images of 200x200 pixels in NEU-Seg's folders."""
    for inner in (".", *glance.folders()) if glance.file is None else ():
        folders = [f"{inner}/{kind}/{part}" for kind in ("images", "annotations") for part in _PARTS]
        files = [glance.files("[0-9][0-9][0-9][0-9][0-9][0-9].*", folder) for folder in folders]
        if all(files):
            with open_image(files[0][0]) as image:
                if (image.info.height, image.info.width) == (200, 200):
                    told = "NEU-Seg: defects of steel, test as its folder, train and val made of training"
                    return Recognition(summary=told, masks=True)
    return None


def neu_seg(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open NEU-Seg.

    Args:
        root: folder that holds ``images`` and ``annotations``, each with ``training`` and ``test``.
        split: ``train``, ``val``, ``test`` or ``all``.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or an image has no mask in its part.
    """
    check_split("neu-seg", split)
    root = Path(root)
    folder = find_root(root, "annotations")
    if folder is None:
        raise FailureError(
            f"{root} holds no NEU-Seg data: expected images/training, images/test, annotations/training and"
            " annotations/test"
        )
    parts = {"test": ["test"], "all": list(_PARTS)}.get(split, ["training"])
    pairs = [pair for part in parts for pair in _pairs(folder, part)]
    if split in ("train", "val"):
        pairs = [pair for pair in pairs if (hundredth_of(pair.name) >= 90) == (split == "val")]
    return Pairs(pairs, DEFECTS, scale=scale)


def _pairs(folder: Path, part: str) -> list[Pair]:
    images, masks = folder / "images" / part, folder / "annotations" / part
    for wanted in (images, masks):
        if not wanted.is_dir():
            raise FailureError(f"there is no folder {wanted}")
    return [Pair(f"{part}/{name}", image, mask) for name, image, mask in match(images, masks)]
