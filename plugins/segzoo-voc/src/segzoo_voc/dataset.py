"""Pascal VOC 2007 and 2012: 20 classes of things, and the borders between them, which are ignored.

Masks are PNG files with a palette, or the same in colours. Lists in ``ImageSets/Segmentation`` say which
image belongs to which part; without them nine of ten are for training, drawn by Python's generator with
seed 0 from the sorted names, as common scripts do.

The extension of Hariharan et al. (2011, doi:10.1109/ICCV.2011.6126343), SBD, annotates more images of 2012:
the part ``trainaug`` is what it adds, and VOC's own training part, without any image of VOC's validation.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, find_root
from segzoo.errors import FailureError, OptionError
from segzoo.specs import VOC_VOID, Recognition
from segzoo_voc.labels import VOC
from segzoo_voc.sbd import SBD

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from segzoo.datasets import Glance
    from segzoo.interfaces import Dataset

SPLITS = {2012: ("train", "val", "trainval", "trainaug"), 2007: ("train", "val", "trainval", "test")}
_MASKS, _LISTS = "SegmentationClass", "ImageSets/Segmentation"
#: What masks are called: by year and number, or by number up to that of the last image.
_NAMES = {2012: re.compile(r"20(?:0[7-9]|1[0-2])_\d{6}"), 2007: re.compile(r"\d{6}")}
_MOST_2007 = 9963


def recognise_2012(glance: Glance) -> Recognition | None:
    """Recognise Pascal VOC 2012 by the names of its images, ``2007_000032``, and of its lists."""
    return _recognised(glance, 2012)


def recognise_2007(glance: Glance) -> Recognition | None:
    """Recognise Pascal VOC 2007 by the names of its images, ``000032``, of which few have masks."""
    return _recognised(glance, 2007)


def _recognised(glance: Glance, year: int) -> Recognition | None:
    devkit = [f"VOCdevkit/{name}" for name in glance.folders("VOCdevkit")]
    for inner in (".", *glance.folders(), *devkit) if glance.file is None else ():
        masks = glance.files("*.png", f"{inner}/{_MASKS}")
        lists = {path.stem for path in glance.files("*.txt", f"{inner}/{_LISTS}")}
        names = [path.stem for path in masks]
        own = lists <= {*SPLITS[year], "trainaug"} and not glance.has(f"{inner}/labelmap.txt")
        if names and own and all(map(_NAMES[year].fullmatch, names)) and _far_apart(year, names):
            parts = " and ".join(sorted(lists)) or "parts made by chance"
            told = f"Pascal VOC {year}, 21 classes, {parts} as ImageSets/Segmentation says"
            return Recognition(summary=told, root=None if inner == "." else glance.folder / inner, masks=True)
    return None


def _far_apart(year: int, names: Sequence[str]) -> bool:
    """Whether the numbers have gaps like those of 2007; images that a person numbered are consecutive."""
    return year != 2007 or (int(names[-1]) <= _MOST_2007 and int(names[-1]) - int(names[0]) > 3 * len(names))


def voc(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    year: int = 2012,
    sbd: str | os.PathLike[str] | None = None,
    scale: float = 1.0,
) -> Dataset:
    """Open Pascal VOC.

    Args:
        root: folder that holds ``JPEGImages`` and ``SegmentationClass``, or ``VOCdevkit/VOC2012`` with them.
        split: ``train``, ``val``, ``trainval``; ``trainaug`` of 2012, ``test`` of 2007.
        year: 2007 or 2012.
        sbd: where the extension lies (``benchmark_RELEASE/dataset`` with ``cls/*.mat``), for ``trainaug``; by
            default it is looked for in ``root``, as is a folder ``SegmentationClassAug`` of masks made of it.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a list names an image that is not there.
    """
    if year not in SPLITS:
        raise OptionError(f"year must be 2007 or 2012, got {year!r}")
    name = f"voc{year}"
    check_split(name, split, SPLITS[year])
    root = Path(root)
    folder = find_root(root / "VOCdevkit" / f"VOC{year}", _MASKS) or find_root(root / f"VOC{year}", _MASKS)
    folder = folder or find_root(root, _MASKS)
    if folder is None or _of_another_year(folder, year):
        raise FailureError(f"{root} holds no {name} data: expected VOCdevkit/VOC{year}/{_MASKS} or {_MASKS}")
    if split == "trainaug":
        return _extended(folder, root if sbd is None else Path(sbd), scale)
    return _opened(folder, _names(folder, split), folder / _MASKS, scale)


def _of_another_year(folder: Path, year: int) -> bool:
    """Whether a folder and its masks have another year's names: some programs expect any data there."""
    if not re.fullmatch(r"VOC\d{4}", folder.name) or folder.name == f"VOC{year}":
        return False
    return not any(_NAMES[year].fullmatch(path.stem) for path in (folder / _MASKS).glob("*.png"))


def _opened(folder: Path, names: Sequence[str], masks: Path, scale: float) -> Pairs:
    pairs = [Pair(name, folder / "JPEGImages" / f"{name}.jpg", masks / f"{name}.png") for name in names]
    _check_there(pairs)
    return Pairs(pairs, VOC, scale=scale, ignore_colour=VOC_VOID)


def _names(folder: Path, split: str) -> list[str]:
    path = folder / _LISTS / f"{split}.txt"
    if path.is_file():
        return _read_list(path)
    if any((folder / _LISTS).glob("*.txt")) or split == "test":
        raise FailureError(f"there is no {path}, which lists the images of the part {split!r}")
    names = sorted(path.stem for path in (folder / _MASKS).glob("*.png"))
    if not names:
        raise FailureError(f"{folder / _MASKS} holds no masks")
    return _drawn(names)[split]


def _drawn(names: list[str]) -> dict[str, list[str]]:
    generator = random.Random(0)
    everything = generator.sample(range(len(names)), len(names))
    train = set(generator.sample(everything, int(len(names) * 0.9)))
    return {
        "trainval": names,
        "train": [name for index, name in enumerate(names) if index in train],
        "val": [name for index, name in enumerate(names) if index not in train],
    }


def _read_list(path: Path) -> list[str]:
    names = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not names:
        raise FailureError(f"{path} is empty: it must list the images of a part, one a line")
    return names


def _extended(folder: Path, root: Path, scale: float) -> Dataset:
    """Open the training part with all that SBD adds."""
    validation = set(_names(folder, "val"))
    drawn = next(
        (one / "SegmentationClassAug" for one in (folder, root) if (one / "SegmentationClassAug").is_dir()),
        None,
    )
    if drawn is not None:
        path = folder / _LISTS / "trainaug.txt"
        names = _read_list(path) if path.is_file() else sorted(path.stem for path in drawn.glob("*.png"))
        return _opened(folder, [name for name in names if name not in validation], drawn, scale)
    release = find_root(root, "cls")
    if release is None:
        raise FailureError(
            f"{root} holds neither SegmentationClassAug nor SBD's benchmark_RELEASE/dataset/cls:"
            " name its folder, sbd=..."
        )
    own = _opened(folder, _names(folder, "train"), folder / _MASKS, scale)
    return SBD(own, release, skip=validation | set(own.names), scale=scale)


def _check_there(pairs: Sequence[Pair]) -> None:
    gone = [file for pair in pairs for file in pair.files if not file.is_file()]
    if gone:
        shown = ", ".join(map(str, gone[:4])) + (" ..." if len(gone) > 4 else "")
        raise FailureError(f"{len(gone)} files that the list names are not there: {shown}")
