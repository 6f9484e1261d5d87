"""DRIVE: blood vessels in photographs of the retina.

40 images of 565x584, 20 for training and 20 for testing, each with its field of view: pixels outside it
are ignored. The test images were drawn by two observers. Those of the training part whose number
five divides (25, 30, 35 and 40) validate.

Data: Staal et al., 2004, doi:10.1109/TMI.2004.825627.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, find_root
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Recognition
from segzoo_medical import VESSELS

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``training`` or ``test`` with images, vessels and fields of view in DRIVE's folders."""
    for inner in ("", *glance.folders()) if glance.file is None else ():
        for part in ("training", "test"):
            where = f"{inner}/{part}".lstrip("/")
            images = glance.files(f"[0-9][0-9]_{part}.*", f"{where}/images")
            if images and glance.has(f"{where}/1st_manual", f"{where}/mask"):
                told = "DRIVE: vessels in 1st_manual, fields of view in mask, parts as DRIVE has them"
                return Recognition(summary=told, masks=True)
    return None


def drive(
    root: str | os.PathLike[str], split: str = "train", *, observer: int = 1, scale: float = 1.0
) -> Pairs:
    """Open DRIVE.

    Args:
        root: folder that holds ``training`` and ``test``, each with ``images``, ``1st_manual`` and ``mask``.
        split: ``train``, ``val``, ``test`` or ``all``.
        observer: number of the observer whose drawing is the ground truth: 1, or 2 (only for the test part).
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a file is missing.
        OptionError: there is no such observer of that part.
    """
    check_split("drive", split)
    if observer not in (1, 2) or (observer == 2 and split != "test"):
        raise OptionError(f"observer must be 1, or 2 with split='test', got {observer!r} with {split!r}")
    root = Path(root)
    folder = find_root(root, "training/images", "test/images")
    if folder is None:
        raise FailureError(f"{root} holds no DRIVE data: expected training/images and test/images")
    parts = {"test": ["test"], "all": ["training", "test"]}.get(split, ["training"])
    pairs = [pair for part in parts for pair in _pairs(folder / part, observer)]
    if split in ("train", "val"):
        pairs = [pair for pair in pairs if (int(pair.name[:2]) % 5 == 0) == (split == "val")]
    return Pairs(pairs, VESSELS, scale=scale)


def _pairs(part: Path, observer: int) -> list[Pair]:
    images = sorted(
        path for path in (part / "images").glob("[0-9][0-9]_*.*") if path.suffix in (".tif", ".png")
    )
    if not images:
        raise FailureError(f"{part / 'images'} holds no images, such as 21_training.tif")
    return [_pair(part, image, observer) for image in images]


def _pair(part: Path, image: Path, observer: int) -> Pair:
    folder = "1st_manual" if observer == 1 else "2nd_manual"
    mask = _found(part / folder, f"{image.stem[:2]}_manual{observer}")
    return Pair(image.stem, image, mask, field_of_view=_found(part / "mask", f"{image.stem}_mask"))


def _found(folder: Path, stem: str) -> Path:
    for suffix in (".gif", ".png", ".tif"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise FailureError(
        f"there is no {folder / stem}.gif: the challenge's own archive leaves out the drawings of the test"
        " part; those in the older DRIVE.zip belong there"
    )
