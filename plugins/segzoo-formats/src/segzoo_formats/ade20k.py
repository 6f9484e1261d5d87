"""ADE20K as the scene parsing benchmark has it: ``images`` and ``annotations``, 150 classes.

A mask's value 0 marks ignored pixels without a class; 1 to 150 are the classes 0 to 149. Their names
are those of ``objectInfo150.txt``.

Data: Zhou et al., 2017, doi:10.1109/CVPR.2017.544; http://sceneparsing.csail.mit.edu
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import FOLDERS, Pair, Pairs, check_split, find_root, lines_of, listed, match, read_words
from segzoo.errors import FailureError, OptionError
from segzoo.specs import Labels, Recognition
from segzoo_formats.lookup import Lookup

if TYPE_CHECKING:
    import os

    from segzoo.datasets import Glance

CLASSES = 150
_NAMES = "objectInfo150.txt"


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``images/training`` and ``annotations/training`` with ADE20K's own names."""
    if glance.file:
        return None
    parts = [word for words in FOLDERS.values() for word in words]
    for inner in ("", *glance.folders()):
        there = [
            part
            for part in parts
            if glance.has(f"{inner}/images/{part}".lstrip("/"))
            and glance.files("ade_*.png", f"{inner}/annotations/{part}".lstrip("/"))
        ]
        if there:
            named = glance.has(f"{inner}/{_NAMES}".lstrip("/"))
            names = f"names in {_NAMES}" if named else f"without {_NAMES}, so without names"
            told = f"ADE20K scene parsing, {CLASSES} classes {names}, {' and '.join(there)} as folders"
            return Recognition(summary=told, root=glance.folder / inner if inner else None, masks=True)
    return None


def ade20k(root: str | os.PathLike[str], split: str = "train", *, scale: float = 1.0) -> Pairs:
    """Open ADE20K's scene parsing benchmark.

    Args:
        root: folder that holds ``images`` and ``annotations``, each with ``training`` and ``validation``, and
            ``objectInfo150.txt`` for the names of the classes, which are numbered without it.
        split: ``train``, ``val``, ``test`` or ``all``; ADE20K's own test part has no masks.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a file has no partner.
        OptionError: the split is empty.
    """
    check_split("ade20k", split)
    folder = find_root(Path(root), "annotations")
    if folder is None or not (folder / "images").is_dir():
        raise FailureError(
            f"{root} holds no ADE20K data: expected images/training and annotations/training, as in "
            "ADEChallengeData2016. ADE20K's full archive, with *_seg.png, is the dataset ade20k-full"
        )
    parts = [(part, word) for part, words in FOLDERS.items() for word in words]
    there = [(part, word) for part, word in parts if (folder / "annotations" / word).is_dir()]
    pairs = [
        Pair(f"{word}/{name}", image, mask)
        for part, word in there
        if split in ("all", part)
        for name, image, mask in match(folder / "images" / word, folder / "annotations" / word)
    ]
    if not pairs:
        raise OptionError(
            f"the split {split!r} of {folder} is empty: annotations holds "
            f"{listed([word for _, word in there]) or 'no training and no validation'}"
        )
    names = _names(folder / _NAMES)
    labels = Labels(classes=names, ignore_index=255, background=None)
    meaning: dict[int, int | None] = {0: None} | {index + 1: index for index in range(len(names))}
    return Pairs(pairs, labels, scale=scale, decode=Lookup(labels, meaning, "ADE20K's scene parsing"))


def _names(path: Path) -> tuple[str, ...]:
    """Return the names of the classes: the first of several words for one, unless two classes share it."""
    if not path.is_file():
        return tuple(f"class {number}" for number in range(1, CLASSES + 1))
    rows = [line.split("\t") for line in lines_of(read_words(path)) if line.strip()]
    whole = {row[0].strip(): row[-1].strip() for row in rows if row[0].strip().isdecimal()}
    if list(whole) != [str(number) for number in range(1, len(whole) + 1)] or len(whole) < 2:
        raise FailureError(f"{path} is no list of classes: expected lines of a number from 1, and a name")
    return shortened(tuple(whole.values()))


def shortened(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first of the words of each class, as in ``building, edifice``; all where two share it."""
    first = [name.split(",")[0].strip() for name in names]
    return tuple(name if first.count(short) > 1 else short for name, short in zip(names, first, strict=True))
