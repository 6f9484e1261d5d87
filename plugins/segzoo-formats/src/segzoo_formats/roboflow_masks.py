"""Roboflow's export "PNG masks for semantic segmentation": ``NAME.jpg`` and ``NAME_mask.png`` in one folder.

The values of a mask are numbers; ``_classes.csv`` in the same folder names their classes. The parts are
the folders ``train``, ``valid`` and ``test``.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets import Pair, Pairs, check_split, lines_of, listed, many, part_named, read_words
from segzoo.errors import FailureError, OptionError
from segzoo.images import has_suffix, searched_suffixes
from segzoo.specs import Recognition
from segzoo_formats.search import apart, parted, parts_in_words, unwrapped
from segzoo_formats.values import distinct, valued_pairs

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from segzoo.datasets import Glance

_TABLE, _MASK = "_classes.csv", "_mask"
#: Lines of a table that are looked into to recognise it.
_LOOK = 300


def roboflow_masks(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    scale: float = 1.0,
) -> Pairs:
    """Open images with the masks that Roboflow exports for semantic segmentation.

    Args:
        root: folder that holds ``train``, ``valid`` and ``test``, each with images, masks and
            ``_classes.csv``; or is one such folder, whose images are then divided by their names.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the classes that are wanted, in this order; by default all. What belongs to others
            is background.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: there are no such folders, an image has no mask, or the folders name other classes.
        OptionError: there is no such class, or the split is empty.
    """
    check_split("roboflow-masks", split)
    folder = Path(root) if Path(root).is_dir() else Path(root).parent
    places = _places(folder)
    tables = [place / _TABLE for place in places if (place / _TABLE).is_file()]
    names = _names(tables)
    pairs: list[Pair] = []
    said: list[str] = []
    for place in places:
        found = _pairs(place, folder)
        pairs += found
        said += [part_named(place.name) if place != folder else ""] * len(found)
    parts = parted([pair.name for pair in pairs], said)
    chosen = [pair for pair, part in zip(pairs, parts, strict=True) if split in ("all", part)]
    if not chosen:
        there = listed(sorted({*parts} - {""})) or "no part"
        raise OptionError(f"the split {split!r} of {folder} is empty: there is {there}")
    remarks = apart([pair.name for pair in pairs], parts)
    return valued_pairs(chosen, names, classes, source=tables[0], scale=scale, remarks=remarks)


def recognise(glance: Glance) -> Recognition | None:
    """Recognise folders of images, ``NAME_mask.png`` and a ``_classes.csv`` that names values."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    if glance.file is not None and glance.file.name != _TABLE:
        return None
    inner = ["", *(name for name in glance.folders() if part_named(name))]
    tables = [path for one in inner for path in glance.files(_TABLE, one)]
    if not tables:
        return None
    head = "\n".join(glance.head(tables[0]).split("\n")[:_LOOK])
    root = glance.folder if glance.file is not None else None
    if _is_multilabel(head):
        return Recognition(summary="Roboflow multi-label classification: its classes are no masks", root=root)
    masks = any(glance.files(f"*{_MASK}.png", one) for one in inner)
    rows = _rows(head)
    if not rows or not masks:
        return None
    said = parts_in_words({part_named(one) for one in inner if one})
    told = f"Roboflow PNG masks, {many(len(rows), 'class')}"
    return Recognition(summary=f"{told}, {said} as the folders say" if said else told, root=root, masks=True)


def _places(folder: Path) -> list[Path]:
    """Return the folders with masks or a table: the folder itself, and those in it."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[:1] != ".")
    places = [
        place
        for place in (folder, *inner)
        if (place / _TABLE).is_file() or (part_named(place.name) and any(place.glob(f"*{_MASK}.png")))
    ]
    if not any((place / _TABLE).is_file() for place in places):
        raise FailureError(
            f"{folder} holds no {_TABLE}, nor do folders in it such as train: Roboflow writes it beside masks"
        )
    return places


def _rows(text: str) -> list[tuple[int, str]]:
    """Return the values and the names of a table; nothing where it is none."""
    read = csv.reader(lines_of(text), skipinitialspace=True)
    header, *rows = [[word.strip() for word in row] for row in read] or [[]]
    if [word.lower() for word in header[:2]] != ["pixel value", "class"]:
        return []
    return [(int(row[0]), ", ".join(row[1:])) for row in rows if row and row[0].isdecimal() and len(row) > 1]


def _is_multilabel(text: str) -> bool:
    """Whether a table says which image has which label."""
    return bool(re.match(r"\s*filename\s*,", text, re.IGNORECASE))


def _names(tables: Sequence[Path]) -> dict[int, str]:
    """Return the names by value, and see that all tables have the same."""
    found: dict[Path, dict[int, str]] = {}
    for table in tables:
        try:
            text = read_words(table)
        except OSError as error:
            raise FailureError(f"{table} cannot be read: {error.strerror or error}") from error
        if _is_multilabel(text):
            raise FailureError(
                f"{table} says which image has which label, and not where: it is no segmentation. Export the "
                "project as PNG masks for semantic segmentation"
            )
        rows = _rows(text)
        if not rows or len(dict(rows)) < len(rows):
            raise FailureError(f"{table} must have the columns Pixel Value and Class, and each value once")
        found[table] = distinct(dict(rows), table)
    first, *others = found
    for other in others:
        if found[other] != found[first]:
            raise FailureError(
                f"{other} names other classes than {first}: the values must mean the same in all"
            )
    return found[first]


def _pairs(place: Path, root: Path) -> list[Pair]:
    suffixes = searched_suffixes()
    files: dict[str, Path] = {}
    for path in sorted(path for path in place.iterdir() if has_suffix(path, suffixes)):
        if files.setdefault(path.stem, path) != path:
            raise FailureError(f"{files[path.stem]} and {path.name} have one name: rename or remove one")
    images = {stem: path for stem, path in files.items() if not stem.endswith(_MASK)}
    masks = {stem.removesuffix(_MASK): path for stem, path in files.items() if stem.endswith(_MASK)}
    alone = [images[stem].name for stem in images if stem not in masks]
    alone += [masks[stem].name for stem in masks if stem not in images]
    if alone:
        raise FailureError(
            f"{len(alone)} of the {len(files)} files of {place} have no partner, as a.jpg and a{_MASK}.png "
            f"are: {listed(alone)}. Add what is missing, or move these away"
        )
    inner = place.relative_to(root)
    return [Pair((inner / stem).as_posix(), image, masks[stem]) for stem, image in images.items()]
