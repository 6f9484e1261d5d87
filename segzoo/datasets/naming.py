"""Common names of image and mask folders and files, from existing datasets."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from segzoo.datasets.splits import FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Names of folders in order of preference; those that training knows come first.
IMAGES, MASKS = ("images", "imgs", "imagesTr"), ("masks", "labels", "labelsTr")
MORE_IMAGES = ("image", "img", "jpegimages", "pictures", "photos", "inputs", "originals")
MORE_MASKS = (
    *("mask", "label", "annotations", "annotation", "gt", "groundtruth", "ground_truth"),
    *("segmentationclass", "segmentation", "segmentations", "targets", "labelstr", "mattes"),
)
#: Folders that lie next to masks, or hold those of a second observer.
_BESIDE_MASKS = ("segmentationobject", "1st_manual", "2nd_manual")
_WORDS = frozenset((*MASKS, *MORE_MASKS, "seg", "annot", "manual", "truth", "matte", "maske", "masken"))
#: Names of folders that begin with a part without a separator, such as ``trainannot`` and ``trainimg``.
_JOINED = re.compile(
    f"({'|'.join(word for words in FOLDERS.values() for word in words)})"
    "(?:(annot|annotations|masks?|labels?|gt|seg)|images?|imgs?)"
)
_BREAK = re.compile(r"[-_. ]+|(?<=[a-z0-9])(?=[A-Z])")


def masks_among(files: Iterable[Path], root: Path) -> dict[Path, list[Path]]:
    """Return those files below a folder that are masks according to their names and the names around them.

    They lie in a mask folder next to an image folder (``images`` and ``masks``, ``train`` and
    ``train_masks``), in a folder whose files have the names of those next to it (``a.jpg`` and
    ``masks/a.png``), or next to their image (``a.jpg`` and ``a_mask.png``).

    Args:
        files: files below ``root``, in order.
        root: the folder; its own name has no meaning here, because the user chose it.

    Returns:
        For each folder, the masks in and below it, or next to their images in it.
    """
    inside: dict[Path, list[Path]] = defaultdict(list)
    folders: dict[Path, set[str]] = defaultdict(set)
    for file in files:
        inside[file.parent].append(file)
    for folder in inside:
        for place in (folder, *folder.parents):
            if place == root:
                break
            folders[place.parent].add(place.name)
    stems = {folder: {file.stem for file in there} for folder, there in inside.items()}
    homes = {place: _mask_folders(names, stems, place) for place, names in folders.items()}
    found: dict[Path, list[Path]] = defaultdict(list)
    for folder, there in inside.items():
        above = [place for place in (folder, *folder.parents) if place.name in homes.get(place.parent, ())]
        home = next((place for place in above if place.is_relative_to(root) and place != root), None)
        if home is not None:
            found[home] += there
            continue
        beside = [file for file in there if _image_of(file.stem, stems[folder])]
        if beside:
            found[folder] += beside
    return dict(found)


def _mask_folders(names: set[str], stems: dict[Path, set[str]], place: Path) -> set[str]:
    """Return which of the folders in one place hold masks."""
    sides = {name: side_of(name) for name in names}
    images = {rest for is_mask, rest in sides.values() if not is_mask}
    found = set()
    for name, (is_mask, rest) in sides.items():
        if is_mask and (rest in images or _alike(stems.get(place / name, set()), stems.get(place, set()))):
            found.add(name)
    return found


def is_mask_word(word: str) -> bool:
    """Return whether a word of a file's name, in lower case, means that it is a mask."""
    return word in _WORDS


def has_image_word(name: str) -> bool:
    """Return whether a word of a folder's name means that it holds images."""
    return any(word.lower() in (*IMAGES, *MORE_IMAGES) for word in _BREAK.split(name))


def side_of(name: str) -> tuple[bool, str]:
    """Return whether a folder holds masks, and the rest of its name: ``train`` for ``train_masks``."""
    words = [word.lower() for word in _BREAK.split(name) if word]
    plain = re.sub("[- .]+", "_", name.lower())
    if plain in _BESIDE_MASKS or (plain in (*MASKS, *MORE_MASKS) and words[0] not in MASKS):
        return True, ""
    if plain in MORE_IMAGES:
        return False, ""
    if joined := _JOINED.fullmatch(plain):
        return bool(joined[2]), joined[1]
    rest = [word for word in words if word.rstrip("0123456789") not in _WORDS]
    if len(rest) < len(words):
        return True, "_".join(rest)
    return False, "_".join(word for word in words if word not in (*IMAGES, *MORE_IMAGES))


def _alike(masks: set[str], images: set[str]) -> bool:
    """Return whether at least half of the masks have the name of an image."""
    called = sum(1 for stem in masks if stem in images or _image_of(stem, images))
    return bool(masks) and 2 * called >= len(masks)


def _image_of(stem: str, stems: set[str]) -> str:
    """Return the image that a mask's name begins with: ``a`` for ``a_mask``; empty for other names."""
    for cut in _BREAK.finditer(stem):
        before, after = stem[: cut.start()], stem[cut.end() :]
        if before in stems and any(word.lower() in _WORDS for word in _BREAK.split(after)):
            return before
    return ""
