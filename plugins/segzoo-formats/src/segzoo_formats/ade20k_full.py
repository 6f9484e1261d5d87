"""ADE20K's full archives of 2017 and 2020: each image has a mask ``NAME_seg.png`` and a list of objects.

A mask's red and green say the class, ``red // 10 * 256 + green``, and its blue the object. In 2020
``NAME.json`` lists the classes by this number; in 2017 ``NAME_atr.txt`` lists the objects in the order of
their blue. Parts of objects (``NAME_parts_1.png``) are not read.

Data: Zhou et al., 2019, doi:10.1007/s11263-018-1140-0; https://groups.csail.mit.edu/vision/datasets/ADE20K/
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segzoo.json_text as json_text
from segzoo.datasets import FOLDERS, Pair, Pairs, as_names, by_name, check_split, lines_of, listed, many
from segzoo.errors import FailureError, MaskError, OptionError, did_you_mean
from segzoo.specs import Labels, Recognition
from segzoo_formats.ade20k import shortened
from segzoo_formats.lookup import check_partners
from segzoo_formats.search import unwrapped

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.datasets import Glance

#: Where the parts lie below the archive's folder.
_INNER = ("", "images", "images/ADE")
_MASK = "_seg"
#: Up to this number of images, all their classes are used; with more, the person chooses the classes.
_FEW = 1000


def recognise(glance: Glance) -> Recognition | None:
    """Recognise ``*_seg.png`` with ``*_atr.txt`` or ``*.json`` below ``training`` or ``validation``."""
    return unwrapped(glance, _look)


def _look(glance: Glance) -> Recognition | None:
    words = [word for words in FOLDERS.values() for word in words]
    for inner in () if glance.file else (f"{root}/{word}".lstrip("/") for root in _INNER for word in words):
        mask = _first_mask(glance, inner)
        if mask is None:
            continue
        text, data = _beside(mask)
        year = 2017 if text.is_file() else 2020 if '"annotation"' in glance.head(data) else 0
        if year:
            return Recognition(summary=f"ADE20K, the full archive of {year}, parts as folders", masks=True)
    return None


def _first_mask(glance: Glance, inner: str) -> Path | None:
    """Return a mask in a folder, or in the first of the folders in it, down to four levels."""
    for _ in range(4):
        masks = glance.files(f"*{_MASK}.png", inner)
        if masks:
            return masks[0]
        folders = glance.folders(inner)
        if not folders:
            return None
        inner = f"{inner}/{folders[0]}"
    return None


def _beside(mask: Path) -> tuple[Path, Path]:
    """Return where the lists of 2017 and of 2020 lie that belong to a mask."""
    stem = mask.stem.removesuffix(_MASK)
    return mask.with_name(f"{stem}_atr.txt"), mask.with_name(f"{stem}.json")


def ade20k_full(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    classes: Sequence[str] | str = (),
    scale: float = 1.0,
) -> Pairs:
    """Open the full ADE20K.

    Args:
        root: folder that holds ``training`` and ``validation``, or ``images`` or ``images/ADE`` with them.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of those that are wanted, whole or by their first word: ``car`` is ``car, auto, ...``.
            The rest is background. By default all classes that occur, if there are at most 1,000 images;
            with more images, pass the classes.
        scale: factor for both sides of images while files are decoded, at most 1.

    Raises:
        FailureError: the root holds no such data, or an image has no partner.
        OptionError: classes are needed, a class does not exist, or the split is empty.
    """
    check_split("ade20k-full", split)
    parts = [(part, word) for part, words in FOLDERS.items() for word in words]
    places = [Path(root) / inner for inner in _INNER]
    folder = next((one for one in places if any((one / word).is_dir() for _, word in parts)), places[0])
    found = {part: _pairs(folder, word) for part, word in parts if (folder / word).is_dir()}
    every = [pair for pairs in found.values() for pair in pairs]
    if not every:
        raise FailureError(f"{root} holds no full ADE20K: expected training/.../NAME_seg.png beside NAME.jpg")
    chosen = every if split == "all" else found.get(split, [])
    if not chosen:
        raise OptionError(f"the split {split!r} of {folder} is empty: it has {listed(list(found))}")
    decode = _Objects(_labels(every, classes, str(root)))
    return Pairs(chosen, decode.labels, scale=scale, decode=decode)


def _pairs(folder: Path, word: str) -> list[Pair]:
    named = by_name(folder / word)
    masks = {name: path for name, path in named.items() if name.endswith(_MASK)}
    pairs = [
        Pair(f"{word}/{name.removesuffix(_MASK)}", named[name.removesuffix(_MASK)], path)
        for name, path in masks.items()
        if name.removesuffix(_MASK) in named
    ]
    paired = {pair.files[1] for pair in pairs}
    check_partners(folder, [path for path in masks.values() if path not in paired], "image")
    return pairs


def _labels(pairs: Sequence[Pair], classes: Sequence[str] | str, root: str) -> Labels:
    counted = Counter(name for pair in pairs[:_FEW] for name in _Notes.of(pair.files[1]).names)
    if isinstance(classes, str):
        # A name may have commas of its own: one that is known is not cut.
        classes = [classes] if classes in counted else as_names(classes)
    if not classes and len(pairs) > _FEW:
        usual = [name.split(",")[0] for name, _ in counted.most_common(20)]
        raise OptionError(
            f"{root} has {many(len(pairs), 'image')} of thousands of classes: choose some with "
            f"data.classes=[...]. The most usual are {listed(usual, 20)}"
        )
    known = {word for name in counted for word in (name, name.split(",")[0])}
    unknown = next((name for name in classes if name not in known), None)
    if unknown is not None and len(pairs) <= _FEW:
        raise OptionError(f"{root} has no class {unknown!r}{did_you_mean(unknown, known)}")
    names = tuple(classes) or shortened(tuple(sorted(counted)))
    labels = Labels(classes=("background", *(name for name in names if name != "background")))
    return replace(labels, ignore_index=labels.unused_index)


@dataclass(frozen=True)
class _Notes:
    """The list of a mask's objects: the class of each object, ordered by blue value, or of each number."""

    path: Path
    by_blue: tuple[str, ...] = ()
    by_number: tuple[tuple[int, str], ...] = ()

    @property
    def names(self) -> set[str]:
        return {*self.by_blue, *(name for _, name in self.by_number)}

    @staticmethod
    def of(mask: Path) -> _Notes:
        """Read the file that lists the objects of a mask.

        Raises:
            MaskError: there is none, or it is damaged.
        """
        text, data = _beside(mask)
        path = text if text.is_file() else data
        try:
            words = _decoded(path.read_bytes())
            if path == text:
                return _Notes(path, by_blue=_rows(words))
            return _Notes(path, by_number=_objects(words))
        except FileNotFoundError:
            raise MaskError(f"{mask} has neither {text.name} nor {data.name} beside it") from None
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            raise MaskError(f"{path} does not list ADE20K's objects: {error!r}") from error


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _rows(text: str) -> tuple[str, ...]:
    """Return the classes of the objects that are no parts.

    A row is number # level of the part # whether it is occluded # class # name # attributes.
    """
    rows = [[cell.strip() for cell in line.split("#")] for line in lines_of(text) if line.strip()]
    return tuple(row[3] for row in rows if int(row[1]) == 0)


def _objects(text: str) -> tuple[tuple[int, str], ...]:
    objects = json_text.parse(text)["annotation"]["object"]
    objects = [objects] if isinstance(objects, dict) else objects
    whole = [one for one in objects if not (one.get("parts") or {}).get("part_level")]
    return tuple((int(one["name_ndx"]), str(one["name"])) for one in whole)


@dataclass(frozen=True)
class _Objects:
    """Decodes a mask by the file that lists its objects."""

    labels: Labels

    def __call__(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        if values.ndim != 3:
            values = np.repeat(values[..., None], 3, axis=2)
        notes = _Notes.of(Path(where))
        if notes.by_number:
            codes = values[..., 0].astype(np.int64) // 10 * 256 + values[..., 1]
            names = dict(notes.by_number)
        else:
            codes = values[..., 2].astype(np.int64)
            blues = [blue for blue in np.unique(codes).tolist() if blue]
            names = dict(zip(blues, notes.by_blue, strict=False))
        found, places = np.unique(codes, return_inverse=True)
        strange = [code for code in found.tolist() if code and code not in names]
        if strange:
            raise MaskError(f"{where} holds the numbers {listed(strange)}, which {notes.path} does not list")
        classes = [self._index(names[code]) if code else 0 for code in found.tolist()]
        return np.array(classes, self.labels.index_type)[places.reshape(codes.shape)]

    def _index(self, name: str) -> int:
        known = self.labels.classes
        word = next((word for word in (name, name.split(",")[0].strip()) if word in known), None)
        return 0 if word is None else known.index(word)
