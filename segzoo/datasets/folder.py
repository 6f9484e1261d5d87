"""Your own images and masks: in two folders, paired by name, or in a list of pairs.

``images/cat.jpg`` belongs to ``masks/cat.png`` or ``masks/cat_mask.png``. The folders may also be
called ``imgs`` and ``labels``, or ``imagesTr`` and ``labelsTr`` as in nnU-Net and the Medical Segmentation
Decathlon, and may lie inside ``train``, ``val`` and ``test``, or hold folders of those names; without any,
`segzoo.datasets.divided` makes the parts: of a hundred, 80 train, 10 validate, 10 test. Two stacks of pages,
such as TIFF files of microscopes and volumes of scanners, are paired page by page, and stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets.listed import by_names, listed
from segzoo.datasets.matching import class_words, match, match_layers
from segzoo.datasets.naming import IMAGES, MASKS
from segzoo.datasets.numbered import class_names, numbered_objects, read_rows
from segzoo.datasets.pairs import Pair, Pairs, groups_of_pairs
from segzoo.datasets.splits import FOLDERS, check_split
from segzoo.errors import FailureError, ImageError, MissingExtraError, OptionError
from segzoo.images import chosen_pages, count_pages, may_have_pages, parse_pages
from segzoo.labels import background_index
from segzoo.options import MOST_CHANNELS, check_integer, many, shown
from segzoo.specs import Labels

if TYPE_CHECKING:
    import os

    from segzoo.images import Pages

SPLITS = ("train", "val", "test", "all")
_LISTS = ("pairs.csv", "pairs.json")
_TWO = ("background", "foreground")


class FolderDataset(Pairs):
    """Pairs of files below ``root``.

    Args:
        root: holds the two folders, or ``train``, ``val``, ``test`` with two folders each; or a list of
            pairs, ``.csv`` or ``.json``, or a folder that holds ``pairs.csv`` or ``pairs.json``.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the classes by index, also as one text with commas; or how many there are. The first
            is background unless ``background`` says otherwise. Where they overlap, none is, and by default
            they are the folders of masks.
        background: the class that stands for nothing of interest, by its name or index; ``None`` or
            ``"none"`` if every class is something.
        values: the value in the masks of each class, where it is not the class's index.
        ignore_index: the value of pixels that count for nothing.
        palette: the colour of each class, for masks that are pictures in colours.
        ignore_colour: the colour in such masks of pixels that count for nothing.
        mask_suffix: what a mask's stem has after its image's, tried before none.
        images: the folder of images, where it is called neither ``images`` nor ``imgs``.
        masks: the folder of masks, where it is called neither ``masks`` nor ``labels``.
        per_class: each class has a mask of its own, 0 where it is not: ``masks/cell/a.png``,
            ``masks/a/cell.png`` or ``masks/a_cell.png``; or, of a TIFF with several pages, each page.
        overlapping: whether a pixel may have several classes, or none. Each class has a mask of its own as
            with ``per_class``, or one file is a stack of them: a TIFF of so many pages, or ``.npy``
            ``(K, H, W)``.
        instances: whether the numbers in masks count objects: ``True`` where all are of the one class; else
            which numbers are which class, as a mapping such as ``{"1-99": "cell"}`` or as a CSV file, see
            `segzoo.datasets.numbered`. Samples then have ``instances``.
        pages: which pages are samples where image and mask are stacks of them, such as ``"0,3-5"``, from 0.
        scale: what both sides are multiplied by while files are decoded, at most 1.

    Raises:
        FailureError: there are no such folders, or a file has no partner; the text lists them.
        OptionError: the split is empty.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        classes: Sequence[str] | int = _TWO,
        background: str | int | None = 0,
        values: Sequence[int] = (),
        ignore_index: int | None = None,
        palette: Sequence[Sequence[int]] = (),
        ignore_colour: Sequence[int] | None = None,
        mask_suffix: str = "_mask",
        images: str = "",
        masks: str = "",
        per_class: bool = False,
        overlapping: bool = False,
        instances: bool | str | Mapping[str, str | int] = False,
        pages: str | int | Sequence[int] = "all",
        scale: float = 1.0,
    ) -> None:
        check_split("a folder", split, SPLITS)
        rows, table = ([], None) if instances is False else read_rows(instances, Path(root))
        if classes == _TWO and overlapping:
            classes = _layer_names(Path(root), _words(masks, MASKS))
        elif classes == _TWO:
            classes = len(palette) if palette else class_names(rows)
        names = _names(classes)
        colours = tuple(_colour(colour) for colour in palette)
        labels = Labels(
            classes=names,
            values=tuple(values),
            ignore_index=ignore_index,
            palette=colours,
            overlapping=overlapping,
        )
        if background != 0 or isinstance(background, bool):
            labels = replace(labels, background=background_index(labels, background))
        finder = _Finder(
            _words(images, IMAGES), _words(masks, MASKS), mask_suffix, labels, per_class, parse_pages(pages)
        )
        void = None if ignore_colour is None else _colour(ignore_colour)
        objects = None
        if instances is not False:
            _check_exclusive(values=values, palette=palette, per_class=per_class, overlapping=overlapping)
            objects = numbered_objects(instances, labels, rows, source=table, ignore_colour=void)
        pairs = _part(Path(root), split, finder)
        super().__init__(pairs, labels, scale=scale, ignore_colour=void, objects=objects)


class _Finder:
    """Finds the pairs below a folder."""

    def __init__(
        self,
        images: Sequence[str],
        masks: Sequence[str],
        mask_suffix: str,
        labels: Labels,
        per_class: bool,
        pages: Pages = (),
    ) -> None:
        self.images, self.masks, self.labels, self.per_class = images, masks, labels, per_class
        self.pages = pages
        self.suffixes = tuple(dict.fromkeys((mask_suffix, "")))

    def found(self, root: Path) -> list[tuple[str, Pair]]:
        """Return every pair with its split, from the folder that it lies in or from its name."""
        outside = [(part, word) for part, words in FOLDERS.items() for word in words]
        found = [
            (part, _prefixed(word, pair))
            for part, word in outside
            if _folder(root / word, self.images)
            for pair in self.pairs(*self.folders(root / word))
        ]
        if found:
            return found
        images, masks = self.folders(root)
        found = [
            (part, _prefixed(word, pair))
            for part, word in outside
            if (images / word).is_dir() and (masks / word).is_dir()
            for pair in self.pairs(images / word, masks / word)
        ]
        return found or by_names(self.pairs(images, masks))

    def folders(self, root: Path) -> tuple[Path, Path]:
        images, masks = _folder(root, self.images), _folder(root, self.masks)
        if images is None or masks is None:
            raise FailureError(
                f"{root} needs a folder of images ({' or '.join(self.images)}) and one of masks "
                f"({' or '.join(self.masks)}); other names: images=..., masks=..., or {' or '.join(_LISTS)}"
            )
        return images, masks

    def pairs(self, images: Path, masks: Path) -> list[Pair]:
        labels = self.labels
        if labels.overlapping:
            return self._overlapping(images, masks)
        if self.per_class and any(masks.rglob("*.tif*")):
            every = match(images, masks, self.suffixes)
            return [_paged(Pair(name, image, mask), labels) for name, image, mask in every]
        if self.per_class:
            words = {index: (labels.classes[index],) for index in labels.foreground}
            return [Pair(*row) for row in match_layers(images, masks, words)]
        every = [Pair(*row) for row in match(images, masks, self.suffixes)]
        return [one for pair in every for one in slices(pair, self.pages)]

    def _overlapping(self, images: Path, masks: Path) -> list[Pair]:
        """Return pairs whose masks are a file a class, or stacks where no file is that of a class."""
        try:
            found = match_layers(images, masks, class_words(self.labels), self.suffixes)
            return [Pair(*row) for row in found]
        except FailureError as error:
            try:
                return [Pair(*row) for row in match(images, masks, self.suffixes)]
            except FailureError:
                raise error from None


def slices(pair: Pair, chosen: Pages = ()) -> list[Pair]:
    """Return one pair for each page where image and mask are stacks, else the pair itself.

    Args:
        pair: of two files.
        chosen: which pages (`segzoo.images.parse_pages`); all, without any.

    Raises:
        FailureError: the two have different numbers of pages.
        ImageError: they lack one of the chosen pages.
    """
    if isinstance(pair.mask, tuple) or not may_have_pages(pair.image):
        return [pair]
    try:
        pages = count_pages(pair.image)
        others = pages if pages == 1 else count_pages(pair.mask)
    except (ImageError, MissingExtraError):
        return [pair]  # one bad file is no reason not to open the others; reading it says what is wrong
    if pages == 1:
        return [pair]
    if pages != others:
        raise FailureError(
            f"{pair.image} has {pages} pages, its mask {pair.mask} has {others}: pages belong together by"
            " number; keep the same in both. If the pages of the image are its bands, save them as such: "
            "tifffile.imwrite(..., metadata={'axes': 'CYX'})"
        )
    taken = chosen_pages(chosen, pages, pair.image)
    return [replace(pair, name=f"{pair.name}/{page:04}", page=page) for page in taken]


def _paged(pair: Pair, labels: Labels) -> Pair:
    """Return the pair whose mask has a page for every class, with or without one for the background."""
    assert isinstance(pair.mask, Path)
    pages, every, classes = count_pages(pair.mask), tuple(range(len(labels.classes))), labels.foreground
    if pages not in (len(classes), len(every)):
        beside = "" if labels.background is None else " beside the background"
        raise FailureError(
            f"{pair.mask} has {pages} pages; with per_class it needs one for each of the {len(classes)}"
            f" classes{beside}"
        )
    return replace(pair, mask_pages=classes if pages == len(classes) else every)


def _part(root: Path, split: str, finder: _Finder) -> list[Pair]:
    source = next((root / name for name in _LISTS if (root / name).is_file()), root)
    found = listed(source) if source.is_file() else finder.found(root)
    pairs = [pair for part, pair in found if split in ("all", part)]
    if not pairs:
        groups = len(set(groups_of_pairs([pair for _, pair in found])))
        whole = f" in {many(groups, 'group')} that stay together" if groups < len(found) else ""
        raise OptionError(
            f"the split {split!r} of {root} is empty: it has {len(found)} images{whole}, and none falls "
            "into it. Add images, or divide them yourself: train/, val/ and test/, each with both folders"
        )
    return pairs


def _prefixed(word: str, pair: Pair) -> Pair:
    return replace(pair, name=f"{word}/{pair.name}")


def _folder(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _words(said: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (said,) if said else usual


def _layer_names(root: Path, masks: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes that overlap: those of the folders of masks, one for each class."""
    parts = [word for words in FOLDERS.values() for word in words]
    folders = [
        found
        for one in (root, *(root / part for part in parts))
        if (found := _folder(one, masks)) is not None
    ]
    inside = [inner for one in folders for inner in (one, *(one / part for part in parts)) if inner.is_dir()]
    names = {one.name for inner in inside for one in inner.iterdir() if one.is_dir()} - {*parts}
    names = {name for name in names if not name.startswith(".")}
    if not names:
        raise OptionError(
            f'say which classes overlap: classes=["vessel", "disc"]; the masks of {root} lie in no folders'
            " that would tell"
        )
    return tuple(sorted(names))


def _check_exclusive(**others: object) -> None:
    """Refuse what would say the meaning of numbers a second time."""
    for name, value in others.items():
        if value:
            raise OptionError(
                f"instances and {name} exclude each other: both say what the numbers in masks mean"
            )


def _names(classes: Sequence[str] | int) -> tuple[str, ...]:
    if isinstance(classes, str):  # "background,cell", as a command line says it; no name for each letter
        return tuple(name.strip() for name in classes.split(","))
    if isinstance(classes, int):
        check_integer("classes", classes, 1, MOST_CHANNELS)
        return tuple(f"class {i}" for i in range(classes))
    if not isinstance(classes, Sequence) or not all(isinstance(name, str) for name in classes):
        raise OptionError(f"classes must be names, or how many there are, got {shown(classes)}")
    return tuple(classes)


def _colour(colour: Sequence[int]) -> tuple[int, int, int]:
    if len(colour) != 3 or any(not isinstance(part, int) or not 0 <= part <= 255 for part in colour):
        raise OptionError(f"a colour is [red, green, blue], 0 to 255 each, got {colour!r}")
    red, green, blue = colour
    return red, green, blue
