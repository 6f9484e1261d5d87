"""Cityscapes, and your own images in its folders: ``leftImg8bit`` and ``gtFine`` or ``gtCoarse``.

A mask says the classes by their ids (``labelIds``), by the 19 classes that are trained on
(``labelTrainIds``), or by ids and objects (``instanceIds``). Pixels of other classes than the 19 are ignored.

Data: Cordts et al., 2016, arXiv:1604.01685. Ids: https://www.cityscapes-dataset.com/dataset-overview/
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import FOLDERS, Pair, Pairs, as_names, check_choice, check_split, listed, visible
from segzoo.errors import FailureError, OptionError, did_you_mean
from segzoo.specs import Labels, Recognition, known_labels
from segzoo_formats.lookup import Lookup, check_partners

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from segzoo.datasets import Glance

#: The ids of the 19 classes that are trained on and scored, in the order of their train ids.
TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_SCORED = known_labels("cityscapes")
#: Name and colour of each class by its id; the first four are always ignored.
IDS: dict[int, tuple[str, tuple[int, int, int]]] = {
    0: ("unlabeled", (0, 0, 0)),
    1: ("ego vehicle", (0, 0, 0)),
    2: ("rectification border", (0, 0, 0)),
    3: ("out of roi", (0, 0, 0)),
    4: ("static", (0, 0, 0)),
    5: ("dynamic", (111, 74, 0)),
    6: ("ground", (81, 0, 81)),
    9: ("parking", (250, 170, 160)),
    10: ("rail track", (230, 150, 140)),
    14: ("guard rail", (180, 165, 180)),
    15: ("bridge", (150, 100, 100)),
    16: ("tunnel", (150, 120, 90)),
    18: ("polegroup", (153, 153, 153)),
    29: ("caravan", (0, 0, 90)),
    30: ("trailer", (0, 0, 110)),
    **dict(zip(TRAINED, zip(_SCORED.classes, _SCORED.palette, strict=True), strict=True)),
}
IDS = dict(sorted(IDS.items()))
_NOTHING = (0, 1, 2, 3)
#: What masks are called after ``gtFine_``, the first that is there.
_KINDS = ("labelIds", "labelTrainIds", "instanceIds")
_IMAGES, _MASKS = "leftImg8bit", {"fine": "gtFine", "coarse": "gtCoarse"}


def labels(classes: Sequence[str] | str = "train") -> Labels:
    """Return the classes of Cityscapes.

    Args:
        classes: ``train``, the 19 that are scored; ``all``, the 30 that are not void; or names, whose rest is
            background.

    Raises:
        OptionError: there is no class of a name.
    """
    if classes == "train":
        return _SCORED
    if classes == "all":
        ids = tuple(number for number in IDS if number not in _NOTHING)
        names, colours = zip(*(IDS[number] for number in ids), strict=True)
        return Labels(classes=names, palette=colours, ignore_index=255, background=None)
    wanted = as_names(classes)
    known = {name: colour for number, (name, colour) in IDS.items() if number not in _NOTHING}
    for name in wanted:
        if name not in known:
            raise OptionError(f"Cityscapes has no class {name!r}{did_you_mean(name, known)}")
    palette = ((0, 0, 0), *(known[name] for name in wanted))
    return Labels(classes=("background", *wanted), palette=palette, ignore_index=255)


def by_id(wanted: Labels) -> dict[int, int | None]:
    """Return the class index of each id."""
    index = {name: number for number, name in enumerate(wanted.classes)}
    rest = wanted.background
    return {
        number: None if number in _NOTHING else index.get(name, rest) for number, (name, _) in IDS.items()
    } | {255: None}


def by_train_id(wanted: Labels) -> dict[int, int | None]:
    """Return the class index of each train id; 19 is what some tools write for none of them."""
    meaning = by_id(wanted)
    return {number: meaning[one] for number, one in enumerate(TRAINED)} | {19: None, 255: None}


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``leftImg8bit`` with ``gtFine`` or ``gtCoarse``, also each in a folder of its archive."""
    if glance.file:
        return None
    inner = ["", *glance.folders()]
    there = {
        name: [one for one in inner if glance.has(f"{one}/{name}".lstrip("/"))]
        for name in (_IMAGES, *_MASKS.values())
    }
    masks = [name for name in _MASKS.values() if there[name]]
    # Two datasets side by side are not one.
    if len(there[_IMAGES]) != 1 or not masks or any(len(places) > 1 for places in there.values()):
        return None
    also = "; data.annotations=coarse reads gtCoarse" if len(masks) == 2 else ""
    return Recognition(summary=f"Cityscapes, 19 classes, masks in {masks[0]}{also}", masks=True)


def cityscapes(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = "train",
    annotations: str = "",
    scale: float = 1.0,
) -> Pairs:
    """Open Cityscapes.

    Args:
        root: folder that holds ``leftImg8bit`` and ``gtFine`` or ``gtCoarse``, or the folders that their
            archives unpack to. The masks of Cityscapes' own test part hold nothing.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: ``train``, the 19 that are scored; ``all``, the 30 that are not void; or names, whose rest is
            background.
        annotations: ``fine`` or ``coarse``; by default the fine ones if they are there.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or a file has no partner.
        OptionError: there is no such class, or the split is empty.
    """
    check_split("cityscapes", split)
    wanted = labels(classes)
    root = Path(root)
    images = _found(root, _IMAGES)
    kinds = [check_choice("annotations", annotations, tuple(_MASKS))] if annotations else list(_MASKS)
    masks = next((place for kind in kinds if (place := _found(root, _MASKS[kind]))), None)
    if images is None or masks is None:
        needed = listed([_MASKS[kind] for kind in kinds])
        raise FailureError(f"{root} holds no Cityscapes data: expected folders {_IMAGES} and {needed}")
    every = _masks(masks)
    kind = next((kind for kind in _KINDS if any(key == kind for _, key in every)), None)
    if kind is None:
        raise FailureError(f"{masks} holds no *_{masks.name}_labelIds.png, nor labelTrainIds or instanceIds")
    of_kind = {name: path for (name, key), path in every.items() if key == kind}
    pairs = _pairs(images, of_kind, split)
    if not pairs:
        there = sorted({name.split("/")[0] for name in of_kind})
        raise OptionError(f"the split {split!r} of {masks} is empty: it has {listed(there)}")
    meaning = by_train_id(wanted) if kind == "labelTrainIds" else by_id(wanted)
    objects = 1000 if kind == "instanceIds" else 0
    decode = Lookup(wanted, meaning, f"Cityscapes' {kind}", objects)
    return Pairs(pairs, wanted, scale=scale, decode=decode)


def _pairs(images: Path, masks: Mapping[str, Path], split: str) -> list[Pair]:
    """Return the pairs of a split, by the names ``part/city/frame``; ``train_extra`` trains too."""
    words = {word: part for part, words in FOLDERS.items() for word in words} | {"train_extra": "train"}
    found = {
        f"{path.parent.relative_to(images).as_posix()}/{path.stem.rpartition(f'_{_IMAGES}')[0]}": path
        for path in sorted(visible(images))
        if path.stem.endswith(f"_{_IMAGES}")
    }

    def chosen(names: Mapping[str, Path]) -> dict[str, Path]:
        return {
            name: path
            for name, path in names.items()
            if split == "all" or words.get(name.split("/")[0]) == split
        }

    mine, theirs = chosen(found), chosen(masks)
    if theirs:
        # Fine masks are there for a part of the images: train_extra has coarse ones alone.
        parts = {name.split("/")[0] for name in theirs}
        mine = {name: path for name, path in mine.items() if name.split("/")[0] in parts}
        check_partners(images.parent, [path for name, path in mine.items() if name not in theirs], "mask")
        gone = [path for name, path in theirs.items() if name not in mine]
        check_partners(gone[0].parents[2] if gone else images, gone, "image")
    return [Pair(name, path, theirs[name]) for name, path in mine.items() if name in theirs]


def _masks(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the masks by the name of their image and their kind."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(visible(folder)):
        name, _, kind = path.stem.rpartition(f"_{folder.name}_")
        if name and kind in _KINDS and path.suffix.lower() == ".png":
            found[f"{path.parent.relative_to(folder).as_posix()}/{name}", kind] = path
    return found


def _found(root: Path, name: str) -> Path | None:
    """Return the folder of a name in the root, or in a folder of it."""
    inner = sorted(one for one in root.iterdir() if one.is_dir()) if root.is_dir() else []
    return next((one / name for one in (root, *inner) if (one / name).is_dir()), None)
