"""Your own images and masks: in two folders, paired by name, or in a list of pairs.

``images/cat.jpg`` belongs to ``masks/cat.png`` or ``masks/cat_mask.png``. The folders may also be
called ``imgs`` and ``labels``, or ``imagesTr`` and ``labelsTr`` as in nnU-Net and the Medical Segmentation
Decathlon, and may lie inside ``train``, ``val`` and ``test``, or contain folders of those names; without any,
`segzoo.datasets.divided` creates the parts: 80 % train, 10 % validate, 10 % test. Two stacks of pages,
such as TIFF files of microscopes and volumes of scanners, are paired page by page, and stay together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets.matching import check_alone, class_words
from segzoo.datasets.naming import IMAGES, MASKS
from segzoo.datasets.numbered import class_names, numbered_objects, read_rows
from segzoo.datasets.pair_lists import LISTS, is_list
from segzoo.datasets.pairing import MASK_SUFFIX, Naming, Pairing, find_pairs
from segzoo.datasets.pairs import Pair, Pairs, groups_of_pairs
from segzoo.datasets.splits import check_split
from segzoo.errors import FailureError, OptionError
from segzoo.images import count_pages, parse_pages
from segzoo.labels import background_index
from segzoo.options import MOST_CHANNELS, as_names, as_word, check_integer, many, shown
from segzoo.options import listed as in_words
from segzoo.specs import Labels, Recognition

if TYPE_CHECKING:
    import os

    from segzoo.datasets.glance import Glance
    from segzoo.images import Pages

_TWO = ("background", "foreground")


class FolderDataset(Pairs):
    """Image and mask pairs in a folder.

    Args:
        root: folder with the two folders, or with masks next to their images, or with ``train``, ``val``,
            ``test`` folders of either kind; or a list of pairs, ``.csv`` or ``.json``, or a folder with
            ``pairs.csv`` or ``pairs.json``.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the classes by index, also as one text with commas; or their number. The first is
            background unless ``background`` is set. If classes overlap, none is background, and by default
            the mask folders are the classes.
        background: the background class, by its name or index; ``None`` or ``"none"`` if there is none.
        values: the mask value of each class, if it is not the class's index.
        ignore_index: the value of ignored pixels.
        palette: the colour of each class, for colour masks.
        ignore_colour: the colour of ignored pixels in colour masks.
        mask_suffix: what follows the common part in a mask's name; a name without it also matches.
        images: the folder of images, if its name is not a usual one.
        masks: the folder of masks, if its name is not a usual one, or if there are several.
        image_prefix: what comes before the common part in an image's name.
        image_suffix: what follows the common part in an image's name.
        mask_prefix: what comes before the common part in a mask's name.
        pattern: a regular expression with one group, which matches the common part in both names.
        per_class: whether each class has a separate mask, 0 outside the class: ``masks/cell/a.png``,
            ``masks/a/cell.png`` or ``masks/a_cell.png``; or each page of a TIFF with several pages.
        overlapping: whether a pixel may have several classes, or none. Each class has a separate mask as
            with ``per_class``, or one file is a stack of masks: a TIFF with one page per class, or ``.npy``
            ``(K, H, W)``.
        instances: whether the numbers in masks count objects: ``True`` if all are of one class; else the
            class of each number, as a mapping such as ``{"1-99": "cell"}`` or as a CSV file, see
            `segzoo.datasets.numbered`. Samples then have ``instances``.
        pages: pages to use if image and mask are stacks, such as ``"0,3-5"``, counted from 0.
        scale: factor of both sides, applied while files are decoded, at most 1.

    Raises:
        FailureError: there are no such folders, or a file has no partner; the message lists them.
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
        mask_suffix: str = MASK_SUFFIX,
        images: str = "",
        masks: str = "",
        image_prefix: str = "",
        image_suffix: str = "",
        mask_prefix: str = "",
        pattern: str = "",
        per_class: bool = False,
        overlapping: bool = False,
        instances: bool | str | Mapping[str, str | int] = False,
        pages: str | int | Sequence[int] = "all",
        scale: float = 1.0,
    ) -> None:
        check_split("a folder", split)
        naming = Naming(
            images=images,
            masks=masks,
            image_prefix=image_prefix,
            image_suffix=image_suffix,
            mask_prefix=mask_prefix,
            mask_suffix=mask_suffix,
            pattern=pattern,
        )
        rows, table = ([], None) if instances is False else read_rows(instances, Path(root))
        if classes == _TWO and overlapping:
            classes = _layer_names(Path(root), naming)
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
        void = None if ignore_colour is None else _colour(ignore_colour)
        objects = None
        if instances is not False:
            _check_exclusive(values=values, palette=palette, per_class=per_class, overlapping=overlapping)
            objects = numbered_objects(instances, labels, rows, source=table, ignore_colour=void)
        found = find(Path(root), labels, naming, per_class=per_class, pages=parse_pages(pages))
        pairs = _part(found, split)
        if per_class:
            pairs = [_paged(pair, labels) if isinstance(pair.mask, Path) else pair for pair in pairs]
        self.undivided = not found.divided
        super().__init__(pairs, labels, scale=scale, ignore_colour=void, objects=objects)


def find(
    root: Path, labels: Labels, naming: Naming, *, per_class: bool = False, pages: Pages = ()
) -> Pairing:
    """Return the pairs in a folder, for the given kind of masks."""
    words = None
    if labels.overlapping:
        words = class_words(labels)
    elif per_class:
        words = {index: (labels.classes[index],) for index in labels.foreground}
    return find_pairs(root, naming, words=words, stacked=labels.overlapping, pages=pages)


def recognise(glance: Glance) -> Recognition | None:
    """Return whether a place holds images with masks, by names only, or is a list of pairs."""
    if glance.file is not None:
        return Recognition(summary="a list of images with their masks") if is_list(glance) else None
    found = find_pairs(glance.folder, quick=True)
    if not (found.pairs or found.choices or found.layers):
        return None
    where = "in the same folder" if found.together else "in separate folders"
    if any((glance.folder / name).is_file() for name in LISTS):
        told = "a list of images with their masks"
    elif found.choices:
        told = "images with several sets of masks"
    else:
        told = f"images with masks {where}"
    parts = [part for part in ("train", "val", "test") if any(one.split == part for one in found.pairs)]
    divided = f", divided into {in_words(parts)}" if found.divided and parts else ""
    return Recognition(summary=told + divided)


def check_pairing(found: Pairing) -> None:
    """Raise the errors that stop training: several ways to pair the files, none, or files without a partner.

    Raises:
        FailureError: the message lists them.
    """
    root = found.root
    if found.choices:
        ways = "; or ".join(
            f"{one.summary}: {' '.join(f'data.{key}={as_word(value)}' for key, value in one.options.items())}"
            for one in found.choices
        )
        raise FailureError(
            f"{root}: it is not clear which files are the masks. Choose (in Python without data.): {ways}"
        )
    if found.missing:
        rest = f" ({len(found.missing)} such entries)" if len(found.missing) > 1 else ""
        raise FailureError(f"{found.missing[0]}{rest}")
    if found.problems:
        raise FailureError("\n".join(found.problems))
    if found.layers:
        raise FailureError(
            f"{root}: each class has separate mask files, {in_words(list(found.layers))}: set "
            f"per_class=True, or overlapping=True, and classes={[*found.layers]}"
        )
    if found.ambiguous:
        one, other = found.ambiguous[0]
        raise FailureError(
            f"{other} and {one} have the same name, so it is not clear which belongs to the mask or image of "
            "that name: keep one of them"
        )
    check_alone(root, [*found.images, *found.masks])
    if not found.pairs:
        raise FailureError(
            f"{root} needs a folder of images ({' or '.join(IMAGES)}) and one of masks "
            f"({' or '.join(MASKS)}), or masks next to their images (a.jpg and a_mask.png). Set other names "
            f"with images=..., masks=..., or use {' or '.join(LISTS)}"
        )


def _paged(pair: Pair, labels: Labels) -> Pair:
    """Return the pair whose mask has one page for every class, with or without one for the background."""
    assert isinstance(pair.mask, Path)
    pages, every, classes = count_pages(pair.mask), tuple(range(len(labels.classes))), labels.foreground
    if pages not in (len(classes), len(every)):
        beside = "" if labels.background is None else " except the background"
        raise FailureError(
            f"{pair.mask} has {pages} pages; with per_class it needs one for each of the {len(classes)}"
            f" classes{beside}"
        )
    return replace(pair, mask_pages=classes if pages == len(classes) else every)


def _part(found: Pairing, split: str) -> list[Pair]:
    check_pairing(found)
    pairs = [one.pair for one in found.pairs if split in ("all", one.split)]
    if not pairs:
        every = [one.pair for one in found.pairs]
        groups = len(set(groups_of_pairs(every)))
        whole = f" in {many(groups, 'group')} that stay together" if groups < len(every) else ""
        advice = "Add images, or divide them yourself into train/, val/ and test/, each with both folders"
        if found.divided:
            counts = Counter(one.split for one in found.pairs)
            advice = f"There are {', '.join(f'{count} for {part}' for part, count in counts.items())}"
            advice += "; split.share=0.1 takes a tenth of train for val" if split == "val" else ""
        raise OptionError(
            f"the split {split!r} of {found.root} is empty: of {many(len(every), 'image')}{whole}, none "
            f"belongs to it. {advice}"
        )
    return pairs


def _layer_names(root: Path, naming: Naming) -> tuple[str, ...]:
    """Return the names of classes that overlap: the folders of masks, one for each class."""
    names = find_pairs(root, naming, pages=None).layers
    if not names:
        raise OptionError(
            f'set the classes that overlap, classes=["vessel", "disc"]: the masks of {root} have no '
            "class names"
        )
    return names


def _check_exclusive(**others: object) -> None:
    """Raise `OptionError` for options that also define the meaning of numbers."""
    for name, value in others.items():
        if value:
            raise OptionError(
                f"instances and {name} exclude each other: both define the meaning of the numbers in masks"
            )


def _names(classes: Sequence[str] | int) -> tuple[str, ...]:
    if isinstance(classes, str):  # "background,cell", as on the command line; not one name for each letter
        return tuple(as_names(classes))
    if isinstance(classes, int):
        check_integer("classes", classes, 1, MOST_CHANNELS)
        return tuple(f"class {i}" for i in range(classes))
    if not isinstance(classes, Sequence) or not all(isinstance(name, str) for name in classes):
        raise OptionError(f"classes must be names, or their number, got {shown(classes)}")
    return tuple(classes)


def _colour(colour: Sequence[int]) -> tuple[int, int, int]:
    if len(colour) != 3 or any(not isinstance(part, int) or not 0 <= part <= 255 for part in colour):
        raise OptionError(f"a colour is [red, green, blue], 0 to 255 each, got {colour!r}")
    red, green, blue = colour
    return red, green, blue
