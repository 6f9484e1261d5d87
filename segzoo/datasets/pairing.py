"""Finds the mask of each image: the pairs below a folder, and all files that do not pair.

Nothing raises an error here: `segzoo.datasets.folder.FolderDataset` raises the problems that stop training,
and ``segzoo data check`` reports them, both from the same `Pairing`.

Files pair if a mask has its image's name, or that and ``_mask``. Otherwise they pair by the part that varies
between files: ``001_image`` with ``001_annotation``, ``t01`` with ``man_seg01``. Words that all images have,
and words that all masks have, are ignored then.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segzoo.datasets.glance import is_folder
from segzoo.datasets.matching import is_whole, match_names, name_in, take_layers, visible
from segzoo.datasets.naming import IMAGES, MASKS, MORE_IMAGES, has_image_word, is_mask_word, side_of
from segzoo.datasets.pair_lists import LISTS, listed, parts_in
from segzoo.datasets.pairs import Pair, groups_of_pairs, slices
from segzoo.datasets.splits import divided, part_named
from segzoo.errors import FailureError, ImageError, MissingExtraError, OptionError
from segzoo.files import lines_of, read_words
from segzoo.images import folder_suffixes, has_suffix, may_have_pages, read, readable_suffixes
from segzoo.options import as_word
from segzoo.options import listed as in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from segzoo.images import Pages

#: Default of what follows an image's name in its mask's name.
MASK_SUFFIX = "_mask"
SPLITS = ("train", "val", "test")
_MOST_LAYERS = 32
#: Maximum number of folders in one place that may hold images or masks.
_MOST_FOLDERS = 32
#: Folders that archives add around their data.
_DEEPEST = 2
#: Maximum number of inner folders that are checked for being separate datasets.
_MOST_INSIDE = 50
#: Files of a folder that a quick look reads.
_MOST_NAMES = 20_000
#: Tables next to images that are checked for a column with parts.
_MOST_TABLES = 8
#: Files of each folder that are decoded if only pixels can distinguish images from masks.
_LOOKED_AT = 3
#: Fields of view mark at least this share of an image; the rest is darker than this share of the marked part.
_MARKED, _BLACK = 0.3, 0.1
#: Share of neighbouring pixels that are equal in masks.
_FLAT = 0.9
_TOKEN = re.compile(r"\d+|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]")
_IMAGE_WORDS = ("image", "images", "img", "imgs", "im", "photo", "raw", "input")
_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
_EACH = re.compile(r"[-_. ]?\d+$")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)?|[-_. ]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The user's settings for the names of folders and files.

    Attributes:
        images: the folder of images; empty if it has one of the usual names.
        masks: the folder of masks; empty if it has one of the usual names.
        image_prefix: what comes before the common part in an image's name.
        image_suffix: what follows the common part in an image's name.
        mask_prefix: what comes before the common part in a mask's name.
        mask_suffix: what follows the common part in a mask's name; the default also tries ``_mask``.
        pattern: a regular expression with one group, which matches the common part in both names.
    """

    images: str = ""
    masks: str = ""
    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffix: str = MASK_SUFFIX
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.pattern:
            return
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise OptionError(f"pattern={self.pattern!r} is not a regular expression: {error}") from error
        if groups != 1:
            raise OptionError(
                f"pattern={self.pattern!r} has {groups} groups in parentheses: it needs one, around the "
                f"common "
                r"part in the names of an image and its mask, such as '(\d+)'"
            )

    @property
    def affixed(self) -> bool:
        """Whether the user defined how file names are built."""
        own = (self.image_prefix, self.image_suffix, self.mask_prefix, self.pattern)
        return any(own) or self.mask_suffix not in (MASK_SUFFIX, "")

    @property
    def options(self) -> dict[str, str]:
        """Values that differ from the defaults, as options of the dataset."""
        usual = Naming()
        return {key: value for key, value in vars(self).items() if value != getattr(usual, key)}

    def image_key(self, name: str) -> str | None:
        """Return the common part in an image's name; ``None`` if its name does not match."""
        return self._key(name, self.image_prefix, self.image_suffix)

    def mask_key(self, name: str) -> str | None:
        """Return the common part in a mask's name; ``None`` if its name does not match."""
        return self._key(name, self.mask_prefix, self.mask_suffix)

    def _key(self, name: str, prefix: str, suffix: str) -> str | None:
        if self.pattern:
            found = re.search(self.pattern, name)
            return found[1] if found else None
        folder, slash, stem = name.rpartition("/")
        if not (stem.startswith(prefix) and stem.endswith(suffix) and len(stem) > len(prefix + suffix)):
            return None
        return folder + slash + stem[len(prefix) : len(stem) - len(suffix)]


#: Options of the dataset about the names of folders and files.
NAMING = tuple(one.name for one in fields(Naming))


@dataclass(frozen=True)
class Found:
    """An image and its mask.

    Attributes:
        name: unique among those of one ``word``.
        split: the part that it belongs to.
        image: the image's file.
        mask: the mask's file, or one for each class, see `segzoo.datasets.Pair`.
        page: page of both files, if they are stacks.
        word: the folder of the part, which is a prefix of the names of samples.
        field_of_view: a file whose pixels are 0 outside the field of view.
    """

    name: str
    split: str
    image: Path
    mask: Path | tuple[tuple[int, Path], ...]
    page: int | None = None
    word: str = ""
    field_of_view: Path | None = None

    @property
    def pair(self) -> Pair:
        """The pair in the form that datasets use."""
        name = f"{self.word}/{self.name}" if self.word else self.name
        return Pair(name, self.image, self.mask, self.field_of_view, self.page)


@dataclass(frozen=True)
class Choice:
    """One of several ways to pair the files.

    Attributes:
        summary: description of the files that it takes as masks.
        options: options of the dataset that select it.
    """

    summary: str
    options: Mapping[str, str]


@dataclass
class Pairing:
    """The result of pairing the files below a root.

    Attributes:
        root: the given path.
        pairs: images with their masks.
        images: images without a mask.
        masks: masks without an image.
        ambiguous: files with the same name, of which only one can be right; each with its rival.
        beside: files that are not masks according to the naming settings, or that lie next to a pair without
            belonging to it.
        unlabelled: images in folders of parts without any mask, such as a test part.
        unlisted: images outside the folders of parts, or that no list of a part names.
        missing: entries of a list whose files are missing.
        ignored: files of other kinds.
        choices: the possible pairings, if there are several; then there are no pairs.
        naming: the given and the detected naming settings: with these, the same files pair.
        learned: whether files pair by the part of their names that varies.
        divided: whether folders or lists define the parts; else `segzoo.datasets.divided` does.
        together: whether images and masks share a folder.
        stacks: files with several pages, each page a sample.
        layers: names of classes, if each has separate mask files.
        problems: other problems that stop training.
    """

    root: Path
    pairs: list[Found] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    ambiguous: list[tuple[Path, Path]] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)
    unlabelled: list[Path] = field(default_factory=list)
    unlisted: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    naming: Naming = Naming()
    learned: bool = False
    divided: bool = False
    together: bool = False
    stacks: int = 0
    layers: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether anything looks like images with masks."""
        return bool(self.pairs or self.choices or self.images or self.masks or self.missing)

    @property
    def options(self) -> tuple[str, ...]:
        """Options of `segzoo train` for the names."""
        return tuple(f"data.{key}={as_word(value)}" for key, value in self.naming.options.items())


class _Files(NamedTuple):
    """The files in a folder and below it."""

    folder: Path
    named: dict[str, Path]
    rivals: list[tuple[Path, Path]]
    ignored: list[Path]


class _Place(NamedTuple):
    """The images of one part, and the masks that include theirs."""

    part: str
    word: str
    images: dict[str, Path]
    masks: dict[str, Path]
    files: tuple[_Files, ...] = ()


def find_pairs(
    root: Path,
    naming: Naming | None = None,
    *,
    words: Mapping[int, Sequence[str]] | None = None,
    stacked: bool = False,
    pages: Pages | None = (),
    quick: bool = False,
) -> Pairing:
    """List the images and masks below ``root``, or in the list of pairs that it is, and pair them.

    Args:
        root: a folder, or a list of pairs.
        naming: naming settings.
        words: if each class has separate mask files: the spellings of each class in their names, by index.
            If each image has one mask with several pages, the mask belongs to all of them.
        stacked: whether such a mask may be any file, such as an array or an image with one channel per class.
        pages: pages of stacks to use as samples, all if empty; ``None`` does not divide stacks.
        quick: whether to read names only, and only the first files of each folder: no file is opened.

    Raises:
        FailureError: a list of pairs or a folder cannot be read.
        ImageError: stacks lack one of the chosen pages.
    """
    search = _Search(root, naming or Naming(), words, stacked, quick)
    try:
        search.run()
    except OSError as error:
        raise FailureError(f"{error.filename or root} cannot be read: {error.strerror or error}") from error
    found = search.found
    if pages is not None and words is None and not quick:
        found.pairs = [page for one in found.pairs for page in _paged(one, pages, found)]
    rest = [one.pair for one in found.pairs if not one.split]
    parts = iter(divided([pair.name for pair in rest], groups_of_pairs(rest)))
    found.pairs = [one if one.split else replace(one, split=next(parts)) for one in found.pairs]
    return found


def _paged(one: Found, chosen: Pages, found: Pairing) -> list[Found]:
    """Return one pair for each page if both files are stacks, else the pair itself."""
    try:
        pages = slices(one.pair, chosen)
    except ImageError:
        raise
    except FailureError as error:
        found.problems.append(str(error))
        return [one]
    if pages[0].page is None:
        return [one]
    found.stacks += 1
    return [replace(one, name=f"{one.name}/{pair.page:04}", page=pair.page) for pair in pages]


class _Search:
    """A search below a root; `found` is the result."""

    def __init__(
        self,
        root: Path,
        naming: Naming,
        words: Mapping[int, Sequence[str]] | None,
        stacked: bool,
        quick: bool,
    ) -> None:
        self.found = Pairing(root, naming=naming)
        self.naming, self.words, self.stacked, self.quick = naming, words, stacked, quick
        self._files: dict[Path, _Files] = {}
        self._inner: dict[Path, list[Path]] = {}
        self._used: list[_Files] = []
        self._inside = root

    def run(self) -> None:
        root, found = self.found.root, self.found
        source = next((root / name for name in LISTS if (root / name).is_file()), root)
        if source.is_file():
            rows = listed(source)
            found.divided, found.missing = any(part for part, _ in rows.pairs), rows.missing
            found.pairs = [
                Found(pair.name, part, pair.image, pair.mask, field_of_view=pair.field_of_view)
                for part, pair in rows.pairs
            ]
            return
        inside = self._divided_folders(root) if self.naming == Naming() else []
        if len(inside) > 1:
            found.problems.append(
                f"{root} holds {len(inside)} datasets, each divided into parts, "
                f"{in_words([one.name for one in inside])}: choose one of them"
            )
            return
        self._match(self._places(root))
        for files in self._used:
            found.ignored += files.ignored
            found.ambiguous += files.rivals
        if found.pairs and not found.divided:
            self._read_parts(self._inside)

    def _divided_folders(self, root: Path) -> list[Path]:
        """Return the folders in a folder that are separate datasets with parts, which must not be mixed."""
        inner = [one for one in self._folders(root)[:_MOST_INSIDE] if not part_named(one.name)]
        inner = [one for one in inner if any(part_named(part.name) for part in self._folders(one))]
        return [one for one in inner if len(inner) > 1 and find_pairs(one, quick=True).pairs]

    # Location of images and masks.

    def _places(self, root: Path, depth: int = 0) -> list[_Place]:
        self._inside = root
        for look in (self._in_parts, self._in_two, self._in_pairs_of_folders, self._in_unnamed):
            places = look(root)
            if places or self.found.choices:
                return places
        inner = self._folders(root)
        # Archives often unpack to one more folder than their documentation mentions.
        if len(inner) == 1 and depth < _DEEPEST and not self._own_files(root):
            return self._places(inner[0], depth + 1)
        return self._in_one(root)

    def _in_parts(self, root: Path) -> list[_Place]:
        """Search in ``train``, ``val`` and ``test``: two folders in each, or one with both."""
        places, bare = [], []
        folders = [(part, one) for one in self._folders(root) if (part := part_named(one.name))]
        for part, folder in sorted(folders, key=lambda one: SPLITS.index(one[0])):
            two = self._two_folders(folder) or self._unnamed(folder)
            if self.found.choices:
                return []
            one = None if two else self._together(folder)
            if two:
                places.append(self._place(part, folder.name, *two))
            elif one:
                places.append(_Place(part, folder.name, *one))
                self.found.together = True
            else:
                bare += self._list(folder).named.values()
        if places:
            self.found.divided, self.found.unlabelled = True, bare
            self._leave_out([one for one in self._folders(root) if not part_named(one.name)])
        return places

    def _in_two(self, root: Path) -> list[_Place]:
        """Search in ``images`` and ``masks``, which may contain folders of parts."""
        two = self._two_folders(root)
        return [] if two is None else self._divided_inside(*two)

    def _divided_inside(self, images: Path, masks: Path) -> list[_Place]:
        inner = self._by_part(masks)
        inner |= {one.name.lower(): one for one in self._folders(masks)}
        parts = [one for one in self._folders(images) if part_named(one.name)]
        own = self._by_part(images)
        names = {
            one: one.name.lower() if one.name.lower() in inner else part_named(one.name) for one in parts
        }
        names = {one: name for one, name in names.items() if name in inner and own.get(name, one) == one}
        both = [(one, inner[name]) for one, name in names.items()]
        if not both:
            return [self._place("", "", images, masks)]
        self.found.divided = True
        lone = [one for one in parts if one not in names]
        self._leave_out([one for one in self._folders(images) if one not in parts])
        self.found.unlabelled += [path for one in lone for path in self._list(one).named.values()]
        both.sort(key=lambda two: SPLITS.index(part_named(two[0].name)))
        return [self._place(part_named(one.name), one.name, one, other) for one, other in both]

    def _by_part(self, folder: Path) -> dict[str, Path]:
        """Return the folders of parts in a folder, if each part has a single one."""
        folders = [(part_named(one.name), one) for one in self._folders(folder)]
        times = Counter(part for part, _ in folders)
        return {part: one for part, one in folders if part and times[part] == 1}

    def _leave_out(self, folders: Iterable[Path]) -> None:
        """Record the images of folders next to those of the parts, which are not used."""
        if not self.quick:
            self.found.unlisted += [path for one in folders for path in self._list(one).named.values()]

    def _in_pairs_of_folders(self, root: Path) -> list[_Place]:
        """Search in ``train_images`` and ``train_masks``, ``imagesTr`` and ``labelsTr``, and so on."""
        if self.naming.images or self.naming.masks:
            return []
        sides: dict[str, tuple[list[Path], list[Path]]] = {}
        for folder in self._folders(root):
            is_mask, rest = side_of(folder.name)
            sides.setdefault(rest, ([], []))[is_mask].append(folder)
        pairs = {
            rest: (images[0], masks[0])
            for rest, (images, masks) in sides.items()
            if rest and len(images) == len(masks) == 1
            if self._list(images[0]).named and self._list(masks[0]).named
        }
        if len(pairs) == 1 and "tr" in pairs:  # nnU-Net's name for everything with masks
            return self._divided_inside(*pairs["tr"])
        parts = {rest: _part_among(rest.split("_")) for rest in pairs}
        if not pairs or not all(parts.values()) or len(set(parts.values())) < len(parts):
            parts = dict.fromkeys(pairs, "")
        else:
            self.found.divided = True
            lone = [one for rest, (images, _) in sides.items() if rest not in pairs for one in images]
            bare = [one for one in lone if _part_among(side_of(one.name)[1].split("_"))]
            self.found.unlabelled = [path for one in bare for path in self._list(one).named.values()]
        order = sorted(pairs, key=lambda rest: SPLITS.index(parts[rest]) if parts[rest] else 0)
        return [self._place(parts[rest], rest, *pairs[rest]) for rest in order]

    def _in_unnamed(self, root: Path) -> list[_Place]:
        two = self._unnamed(root)
        return [] if two is None else self._divided_inside(*two)

    def _in_one(self, root: Path) -> list[_Place]:
        """Search in one folder, or a tree of them, with masks next to their images."""
        one = self._together(root)
        self.found.together = one is not None
        return [] if one is None else [_Place("", "", *one)]

    def _two_folders(self, root: Path) -> tuple[Path, Path] | None:
        """Return the folders of images and of masks in one place, by their names."""
        folders = self._folders(root)
        images = self._said(root, self.naming.images) or _named(folders, IMAGES, MORE_IMAGES)
        masks = self._said(root, self.naming.masks)
        if images is None:  # stare-images
            holding = [one for one in folders if has_image_word(one.name) and not _says_part(one)]
            images = holding[0] if len(holding) == 1 else None
        if images is None or (masks is None and self.naming.masks):
            return None
        masks = masks or self._chosen(images, folders)
        if masks is None or self.found.choices:
            return None
        self._name_folders(images, masks)
        return images, masks

    def _chosen(self, images: Path, folders: Sequence[Path]) -> Path | None:
        """Return the folder of masks; if several fit the images, the user must choose."""
        known = [one for one in folders if one != images and side_of(one.name) == (True, "")]
        classes = any(one.name.lower() == "segmentationclass" for one in known)
        known = [one for one in known if not (classes and one.name.lower() == "segmentationobject")]
        fitting = [one for one in known if self._list(one).named]
        rest = [one for one in folders if one != images and one not in known]
        if not known:  # labels-ah
            named = [one for one in rest if side_of(one.name)[0] and not _says_part(one)]
            fitting = [one for one in named if self._fits(images, one)]
        elif len(fitting) == 1 and rest and not self.quick and self._framed(images, fitting[0]):
            alike = [one for one in rest if self._fits(images, one)]
            fitting += [one for one in alike if _flatness(self._list(one).named.values()) > _FLAT]
        if len(fitting) > 1:
            counts = {one: self._count(images, one) for one in fitting}
            fitting = [one for one, count in counts.items() if 2 * count > max(counts.values())] or fitting
        if len(fitting) > 1:
            told = "the masks are those in {}/"
            self.found.choices = [Choice(told.format(one.name), {"masks": one.name}) for one in fitting]
            self.found.images = [*self._list(images).named.values()]
            return None
        return fitting[0] if fitting else _named(known, MASKS, ())

    def _fits(self, images: Path, masks: Path) -> bool:
        """Return whether all files of two folders pair."""
        sizes = {len(self._list(one).named) for one in (images, masks)}
        return len(sizes) == 1 and self._count(images, masks) == max(sizes) > 0

    def _framed(self, images: Path, masks: Path) -> bool:
        """Return whether masks seem to be fields of view: outside the marked area, images are black."""
        place = self._place("", "", images, masks)
        _, taken = self._rule([place])
        pairs = [(place.images[one], place.masks[other]) for one, other in taken[0].items()]
        return bool(pairs) and all(_frames(image, mask) for image, mask in pairs[:_LOOKED_AT])

    def _count(self, images: Path, masks: Path) -> int:
        _, taken = self._rule([self._place("", "", images, masks)])
        return sum(map(len, taken))

    def _unnamed(self, root: Path) -> tuple[Path, Path] | None:
        """Return the folders of images and of masks if the name of one or both of them is not a usual one.

        All of their files must pair, and unless masks have a usual name, pixels must distinguish them from
        images.
        """
        if self.naming.images and self.naming.masks:
            return None
        folders = [one for one in self._folders(root) if not part_named(one.name)]
        holding = [one for one in folders[:_MOST_FOLDERS] if self._list(one).named]
        masks = self._said(root, self.naming.masks)
        images = self._said(root, self.naming.images) or _named(holding, IMAGES, MORE_IMAGES)
        named = [masks] if masks else [one for one in holding if side_of(one.name) == (True, "")]
        rest = [one for one in holding if one not in (images, *named)]
        if len(named) == 1 and images is None and len(rest) == 1:
            two = rest[0], named[0]
        elif images is not None and not named and len(rest) == 1:
            two = images, rest[0]
        elif images is None and not named and len(rest) == 2:
            two = rest[0], rest[1]
        else:
            return None
        of_images, of_masks = (self._list(one).named for one in two)
        several = bool(named) and bool(_layers_of(of_images, of_masks)[0])
        if not several and not self._count(*two) == len(of_images) == len(of_masks):
            return None
        if not named:
            if self.quick:
                return None
            flat = [_flatness(self._list(one).named.values()) for one in two]
            if images is None and flat[0] > _FLAT >= flat[1]:
                two = two[1], two[0]
            elif not flat[1] > _FLAT >= flat[0]:
                return None
        self._name_folders(*two)
        return two

    def _together(self, folder: Path) -> tuple[dict[str, Path], dict[str, Path]] | None:
        """Return the images and the masks of one folder, if some masks lie next to images."""
        files = self._list(folder)
        names, naming = files.named, self.naming
        if naming.affixed and not naming.pattern:
            two = _by_affixes(names, naming)
        else:
            two = _by_words(names) or _by_suffix(files, self.quick)
        if two is not None:
            _, taken = self._rule([_Place("", "", *two)])
            lone = len(two[0]) == len(two[1]) == 1 and not naming.affixed
            if lone and min(two[1]) not in two[0] and not _parent(min(two[1]), two[0]):
                return None  # a common word of two files is not enough
            if 2 * sum(map(len, taken)) >= len(two[1]) or _layers_of(*two)[0]:
                self._used.append(_Files(folder, {}, [], files.ignored))
                return two
        if naming.affixed:
            return None
        two = self._by_beginning(names)
        if two is not None:
            self._used.append(files)
        return two

    def _by_beginning(self, names: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]] | None:
        """Return images and masks if each mask's name begins with its image's, followed by the same text."""
        parents = {name: parent for name in names if (parent := _parent(name, names))}
        images = {name: path for name, path in names.items() if name not in parents}
        masks = {name: names[name] for name in parents}
        ends = Counter(name[len(parent) :] for name, parent in parents.items())
        if not images or not masks or any(parent in masks for parent in parents.values()):
            return None
        if len(images) < 2 or any(count != len(images) for count in ends.values()):
            return None
        if len(ends) > 1:
            if _same_but_for_numbers(ends):
                self.found.choices = _which_end(ends)
                self.found.images = [*images.values()]
                return None
            return images, masks
        if self.quick or not _flatness(masks.values()) > _FLAT >= _flatness(images.values()):
            return None
        return images, masks

    def _name_folders(self, images: Path, masks: Path) -> None:
        self.found.naming = replace(
            self.found.naming,
            images=self.naming.images or ("" if images.name in IMAGES else images.name),
            masks=self.naming.masks or ("" if masks.name in MASKS else masks.name),
        )

    def _said(self, root: Path, name: str) -> Path | None:
        return root / name if name and (root / name).is_dir() else None

    def _folders(self, root: Path) -> list[Path]:
        """Return the folders in a folder, in order, except folders that are images."""
        if root not in self._inner:
            names = sorted(entry.name for entry in os.scandir(root) if is_folder(entry))
            inner = [root / name for name in names if not name.startswith((".", "__MACOSX"))]
            self._inner[root] = [one for one in inner if not has_suffix(one, folder_suffixes())]
        return self._inner[root]

    def _own_files(self, root: Path) -> bool:
        known = readable_suffixes()
        return any(path.is_file() and has_suffix(path, known) for path in root.iterdir())

    # Files by their names.

    def _place(self, part: str, word: str, images: Path, masks: Path) -> _Place:
        of_masks = self._list(masks)
        keys = (self.naming.mask_key(name) for name in of_masks.named)
        known = {key for key in keys if key is not None} | set(of_masks.named)
        of_images = self._list(images, known.__contains__ if _holds_folders(images) else None)
        return _Place(part, word, of_images.named, of_masks.named, (of_images, of_masks))

    def _list(self, folder: Path, whole: Callable[[str], bool] | None = None) -> _Files:
        """Return the readable files in a folder and below it, by their paths without suffix."""
        known = self._files.get(folder)
        if known is not None and whole is None:
            return known
        files = _Files(folder, {}, [], [])
        every = visible(folder, whole)
        for path in sorted(islice(every, _MOST_NAMES) if self.quick else every, key=attrgetter("parts")):
            if not is_whole(path, folder, whole) and not has_suffix(path, readable_suffixes()):
                files.ignored.append(path)
                continue
            name = name_in(folder, path)
            if name in files.named:
                files.rivals.append((path, files.named[name]))
            else:
                files.named[name] = path
        self._files.setdefault(folder, files)
        return files

    # Matching of images and masks.

    def _match(self, places: Sequence[_Place]) -> None:
        found = self.found
        self._used += [files for place in places for files in place.files]
        if places and not any(place.images for place in places):
            known = " ".join(sorted(readable_suffixes()))
            found.problems += [f"{place.files[0].folder} holds no images ({known})" for place in places[:1]]
        if self.words is not None:
            if self._match_layers(places, self.words) or not self._match_stacks(places):
                return
            found.pairs, found.images, found.masks = [], [], []
        naming, taken = self._rule(places)
        if not any(taken) and not found.choices:
            layers = [_layers_of(place.images, place.masks) for place in places]
            found.layers = tuple(sorted({word for words, _ in layers for word in words}))
            ends = next((ends for _, ends in layers if ends), None)
            if ends:
                found.choices = _which_end(ends)
                found.images = [path for place in places for path in place.images.values()]
                return
        if not found.choices and self._rivals(places, taken):
            return
        if naming is not None:
            found.learned = True
            found.naming = replace(naming, images=found.naming.images, masks=found.naming.masks)
        for place, pairs in zip(places, taken, strict=True):
            self._take(place, pairs)

    def _rivals(self, places: Sequence[_Place], taken: Sequence[Mapping[str, str]]) -> bool:
        """Return whether images have several kinds of masks, such as ``a_mask`` and ``a_manual``."""
        if self.naming.affixed or not any(taken):
            return False
        images = [name for place in places for name in place.images]
        ends: Counter[str] = Counter()
        for place in places:
            for name in place.masks:
                parent = name if name in place.images else _parent(name, place.images)
                ends[name[len(parent) :]] += bool(parent)
        whole = [end for end, count in ends.items() if count == len(images)]
        if len(images) < 2 or len(whole) < 2 or sum(map(len, taken)) < len(images):
            return False
        self.found.choices = _which_end(whole)
        self.found.images = [path for place in places for path in place.images.values()]
        return True

    def _take(self, place: _Place, pairs: Mapping[str, str]) -> None:
        found, masks = self.found, set(pairs.values())
        for name, mask in pairs.items():
            found.pairs.append(
                Found(name, place.part, place.images[name], place.masks[mask], word=place.word)
            )
        for name, path in place.masks.items():
            if name in masks:
                continue
            if name in pairs:
                found.ambiguous.append((path, place.masks[pairs[name]]))
            elif self.naming.affixed and self.naming.mask_key(name) is None:
                found.beside.append(path)
            else:
                found.masks.append(path)
        for name, path in place.images.items():
            if name in pairs:
                continue
            other = self.naming.affixed and self.naming.image_key(name) is None
            aside = other or (found.together and _parent(name, pairs))
            (found.beside if aside else found.images).append(path)

    def _rule(self, places: Sequence[_Place]) -> tuple[Naming | None, list[dict[str, str]]]:
        """Return the mask of each image by place, and the naming settings if they were detected."""
        if self.naming.affixed:
            return None, [_by_keys(place, self.naming) for place in places]
        ends = dict.fromkeys((self.naming.mask_suffix, ""))
        plain = [match_names(place.images, place.masks, [*ends]) for place in places]
        paired = sum(map(len, plain))
        if all(
            len(place.images) == len(place.masks) == len(one)
            for place, one in zip(places, plain, strict=True)
        ):
            return None, plain
        # Words that all names have may be those of a part: 21_training, 01_test.
        apart = [found for place in places for found in _by_difference([place]) or [{}]]
        ways = (_by_difference(places) or [], apart)
        learned = max(ways, key=lambda way: sum(map(len, way)))
        if sum(map(len, learned)) <= paired:
            return None, plain
        return _naming_of(learned), learned

    def _match_stacks(self, places: Sequence[_Place]) -> bool:
        """Return whether each mask is one file with all classes, which pairs with one image."""
        _, taken = self._rule(places)
        count = sum(map(len, taken))
        whole = all(len(place.images) == len(place.masks) for place in places)
        if not count or not whole or count != sum(len(place.images) for place in places):
            return False
        masks = [path for place in places for path in place.masks.values()]
        return self.stacked or all(map(may_have_pages, masks))

    def _match_layers(self, places: Sequence[_Place], words: Mapping[int, Sequence[str]]) -> bool:
        """Give each image the masks of its classes; return whether all files pair."""
        found = self.found
        suffixes = tuple(dict.fromkeys((self.naming.mask_suffix, "")))
        for place in places:
            rest = dict(place.masks)
            several: dict[str, list[str]] = {}
            for name in rest:
                if _EACH.search(name):
                    several.setdefault(_EACH.sub("", name), []).append(name)
            for name, image in place.images.items():
                layers = take_layers(name, rest, words, suffixes, several)
                if layers:
                    found.pairs.append(Found(name, place.part, image, layers, word=place.word))
                else:
                    found.images.append(image)
            found.masks += rest.values()
        return bool(found.pairs) and not (found.images or found.masks)

    def _read_parts(self, root: Path) -> None:
        """Read the part of each image from lists of names by part, or from a table."""
        found = self.found
        lists = self._lists_of_parts(root)
        by_name = _called(found.pairs, root) if lists else {}
        parts: dict[int, tuple[str, Path]] = {}
        missing = []
        for path, part, line in lists:
            index = next((by_name[one] for one in _spelled(line) if one in by_name), None)
            if index is None:
                missing.append(f"{path}: there is no image with a mask for {line!r}")
                continue
            known, where = parts.setdefault(index, (part, path))
            if known != part:
                found.problems.append(f"{line!r} is in {path} and in {where}: keep one")
        if len({part for part, _ in parts.values()}) < 2:
            return
        found.divided, found.missing = True, missing
        kept = [
            replace(one, split=parts[place][0]) for place, one in enumerate(found.pairs) if place in parts
        ]
        found.unlisted = [one.image for place, one in enumerate(found.pairs) if place not in parts]
        found.pairs = kept

    def _lists_of_parts(self, root: Path) -> list[tuple[Path, str, str]]:
        """Return the entries of lists of parts: the list, the part, and the image's name in the list."""
        found: list[tuple[Path, str, str]] = []
        try:
            for folder in (root, *self._folders(root), root / "ImageSets" / "Segmentation"):
                lists: dict[str, list[Path]] = {}
                for path in sorted(folder.glob("*.txt")):
                    lists.setdefault(part_named(path.stem), []).append(path)
                # If there are several lists for one part, such as those of folds, none of them is used.
                alone = {part: one[0] for part, one in lists.items() if part and len(one) == 1}
                if len(alone) > 1:
                    for part, path in alone.items():
                        lines = (line.strip() for line in lines_of(read_words(path)))
                        found += [(path, part, line) for line in lines if line]
                    return found
            tables = [path for path in sorted(root.iterdir()) if path.suffix.lower() in (".csv", ".tsv")]
            said = [(path, rows) for path in tables[:_MOST_TABLES] if (rows := parts_in(path))]
        except OSError as error:
            self.found.problems.append(f"{error.filename} cannot be read: {error.strerror or error}")
            return []
        return [(path, part, name) for path, rows in said[:1] for name, part in rows]


def _says_part(folder: Path) -> bool:
    return bool(_part_among(side_of(folder.name)[1].split("_")))


def _holds_folders(folder: Path) -> bool:
    return any(map(is_folder, os.scandir(folder)))


def _part_among(words: Sequence[str]) -> str:
    """Return the part in the words of a folder's name; nnU-Net shortens them to ``Tr`` and ``Ts``."""
    short = {"tr": "train", "ts": "test"}
    return next(filter(None, (short.get(word, part_named(word)) for word in words)), "")


def _named(folders: Sequence[Path], names: Sequence[str], more: Sequence[str]) -> Path | None:
    """Return the first of the folders by the order of names; letter case is ignored for ``more``."""
    exact = {one.name: one for one in folders}
    lower = {one.name.lower(): one for one in folders}
    found = next((exact[name] for name in names if name in exact), None)
    return found or next((lower[name] for name in (*names, *more) if name in lower), None)


def _flatness(paths: Iterable[Path]) -> float:
    """Return the share of neighbouring pixels that are equal: the median of a few files."""
    shares = []
    for path in islice(paths, _LOOKED_AT):
        try:
            pixels = read(path)
        except (ImageError, MissingExtraError):
            continue
        shares.append(float((pixels[:, 1:] == pixels[:, :-1]).all(axis=2).mean()))
    return float(np.median(shares)) if shares else 0.0


def _frames(image: Path, mask: Path) -> bool:
    """Return whether a mask marks most of an image, and the rest of the image is black."""
    try:
        pixels, marked = read(image).max(axis=2), read(mask).max(axis=2) > 0
    except (ImageError, MissingExtraError):
        return False
    if pixels.shape != marked.shape or not _MARKED < marked.mean() < 1:
        return False
    return float(pixels[~marked].mean()) < _BLACK * float(pixels[marked].mean())


def _by_affixes(names: Mapping[str, Path], naming: Naming) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Return the images and the masks of one folder by the naming settings."""
    if naming.mask_prefix or naming.mask_suffix:
        masks = {name: path for name, path in names.items() if naming.mask_key(name) is not None}
        images = {name: path for name, path in names.items() if name not in masks}
    else:
        images = {name: path for name, path in names.items() if naming.image_key(name) is not None}
        masks = {name: path for name, path in names.items() if name not in images}
    return (images, masks) if images and masks else None


def _by_words(names: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Return the images and the masks of one folder if words in the masks' names identify them."""
    masks = {name: path for name, path in names.items() if any(map(is_mask_word, _tokens(name)))}
    images = {name: path for name, path in names.items() if name not in masks}
    return (images, masks) if images and masks else None


def _by_suffix(files: _Files, quick: bool) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Return the images and the masks of one folder that have the same name: ``a.jpg`` and ``a.png``."""
    names = {path: name for name, path in files.named.items()}
    every = [*files.named.items(), *((names[path], other) for other, path in files.rivals)]
    kinds: dict[str, dict[str, Path]] = {}
    for name, path in every:
        suffix = path.suffix.lower()
        kinds.setdefault("lossy" if suffix in _LOSSY else suffix, {})[name] = path
    if len(kinds) != 2 or any(len(kind) != len(files.named) for kind in kinds.values()):
        return None
    if "lossy" in kinds:
        return kinds.pop("lossy"), kinds.popitem()[1]
    one, other = kinds.values()
    if quick:
        return None
    flat = _flatness(one.values()), _flatness(other.values())
    return (
        (other, one) if flat[0] > _FLAT >= flat[1] else (one, other) if flat[1] > _FLAT >= flat[0] else None
    )


def _by_keys(place: _Place, naming: Naming) -> dict[str, str]:
    """Return the mask of each image by the naming settings, or else the mask of exactly the same name."""
    keys: dict[str, str] = {}
    for name in place.masks:
        key = naming.mask_key(name)
        if key is not None:
            keys.setdefault(key, name)
    found = {}
    for name in place.images:
        key = naming.image_key(name)
        if key is not None and key in keys:
            found[name] = keys.pop(key)
        elif key == name in place.masks and naming.mask_key(name) is None:
            found[name] = name
    return found


def _by_difference(places: Sequence[_Place]) -> list[dict[str, str]] | None:
    """Return the mask of each image by the part of names that varies; ``None`` if that is not clear."""
    images = [name for place in places for name in place.images]
    masks = [name for place in places for name in place.masks]
    if not images or not masks:
        return None
    if len(images) == len(masks) == 1:
        shared = {*_tokens(images[0])} & {*_tokens(masks[0])}
        alike = any(len(word) > 2 or word.isdigit() for word in shared)
        # Two folders with one file each pair without names.
        same = images[0].rpartition("/")[0] == masks[0].rpartition("/")[0]
        alike = same and (alike or any(place.files for place in places))
        return [dict.fromkeys(place.images, masks[0]) for place in places] if alike else None
    constant = _constants(images), _constants(masks)
    nothing: tuple[set[int], set[int]] = (set(), set())
    best: list[dict[str, str]] = []
    for where, read_as in (
        (constant, _as_word),
        (constant, _as_number),
        ((nothing, nothing), _as_other_word),  # some names are made otherwise
    ):
        found = []
        for place in places:
            sides = [
                {_key(name, *here, read_as): name for name in names}
                for names, here in zip((place.images, place.masks), where, strict=True)
            ]
            if len(sides[0]) < len(place.images) or len(sides[1]) < len(place.masks):
                break
            found.append({name: sides[1][key] for key, name in sides[0].items() if key in sides[1]})
        else:
            best = max(best, found, key=lambda way: sum(map(len, way)))
    return best if 2 * sum(map(len, best)) >= len(masks) else None


def _as_word(word: str) -> str:
    return word


def _as_number(word: str) -> str:
    return str(int(word)) if word.isdecimal() else word


def _as_other_word(word: str) -> str:
    """Return an empty text for a word that means image or mask, else the word."""
    return "" if word in _IMAGE_WORDS or is_mask_word(word) else word


def _constants(names: Sequence[str]) -> tuple[set[int], set[int]]:
    """Return the positions of words that all names have: counted from the front, and from the back."""
    if len(names) < 2:
        return set(), set()
    words = [_tokens(name) for name in names]
    least = min(map(len, words))
    front = {place for place in range(least) if len({one[place] for one in words}) == 1}
    back = {place for place in range(least) if len({one[-1 - place] for one in words}) == 1}
    return front, back


def _key(name: str, front: set[int], back: set[int], number: Callable[[str], str]) -> tuple[str, ...]:
    """Return what distinguishes a file from others: its folder, and the words that vary."""
    words = _tokens(name)
    last = len(words) - 1
    kept = (word for place, word in enumerate(words) if place not in front and last - place not in back)
    return name.rpartition("/")[0], *filter(None, map(number, kept))


def _tokens(name: str) -> list[str]:
    """Return the words and the numbers of a file's name, in lower case."""
    return [word.casefold() for word in _TOKEN.findall(name.rpartition("/")[2])]


def _naming_of(taken: Sequence[Mapping[str, str]]) -> Naming:
    """Return the prefixes and suffixes of names by which the same files pair; none if there are no such."""
    every = [pair for one in taken for pair in one.items()]
    images, masks = ([pair[side].rpartition("/")[2] for pair in every] for side in (0, 1))
    fronts, backs = [], []
    for names in (images, masks):
        front, back = (names[0], names[0]) if len(names) == 1 else (_common(names), _common(names, back=True))
        fronts.append(front)
        backs.append(back)
    if len(every) == 1:
        front = _common([images[0], masks[0]])
        fronts, backs = ["", ""], [images[0][len(front) :], masks[0][len(front) :]]
    one, other = fronts
    shared = one if other.endswith(one) else other if one.endswith(other) else ""
    fronts = [front.removesuffix(shared) for front in fronts]
    one, other = backs
    shared = one if other.startswith(one) else other if one.startswith(other) else ""
    backs = [back.removeprefix(shared) for back in backs]
    naming = Naming(
        image_prefix=fronts[0], image_suffix=backs[0], mask_prefix=fronts[1], mask_suffix=backs[1]
    )
    keys = ((naming.image_key(one), naming.mask_key(other)) for one, other in zip(images, masks, strict=True))
    alike = all(one == other is not None for one, other in keys)
    return naming if alike else Naming()


def _common(names: Sequence[str], *, back: bool = False) -> str:
    """Return the common beginning, or end, of all names, without the digits of a partly equal number."""
    turned = [name[::-1] for name in names] if back else [*names]
    low, high = min(turned), max(turned)
    size = next((place for place, letter in enumerate(low) if letter != high[place]), len(low))
    text = low[:size]
    while text and text[-1].isdigit() and any(name[len(text) :][:1].isdigit() for name in turned):
        text = text[:-1]
    return text[::-1] if back else text


def _parent(name: str, names: Mapping[str, object]) -> str:
    """Return the longest of the names that a longer name begins with, up to the end of a word."""
    folder, slash, stem = name.rpartition("/")
    ends = [word.end() for word in _TOKEN.finditer(stem)]
    for end in reversed(ends):
        if end < len(stem) and folder + slash + stem[:end] in names:
            return folder + slash + stem[:end]
    return ""


def _layers_of(
    images: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[tuple[str, ...], Counter[str] | None]:
    """Return the classes if masks have names such as ``cell/a``, ``a/cell``, ``a_cell`` or ``a_cell_1``.

    Returns:
        The classes, none if there are no such names; and the ends of masks' names if they differ only in
        numbers, such as those of two observers.
    """
    words, ends = set(), Counter[str]()
    for name in masks:
        first, _, rest = name.partition("/")
        before, _, last = name.rpartition("/")
        parent = "" if rest in images or before in images else _parent(name, images)
        end = name[len(parent) :].removesuffix(MASK_SUFFIX) if parent else ""
        found = first if rest in images else last if before in images else end.lstrip("-_. ")
        if not found:
            return (), None
        if parent:
            ends[end] += 1
        words.add(_EACH.sub("", found) if parent else found)
    if len(ends) > 1 and _same_but_for_numbers(ends):
        return (), ends
    return (tuple(sorted(words)), None) if 1 < len(words) <= _MOST_LAYERS and "" not in words else ((), None)


def _same_but_for_numbers(ends: Iterable[str]) -> bool:
    return len({_ORDINAL.sub("", end) for end in ends}) == 1


def _which_end(ends: Iterable[str]) -> list[Choice]:
    told = "the masks are those whose names end in {}"
    return [Choice(told.format(end), {"mask_suffix": end}) for end in sorted(ends)[:_MOST_LAYERS]]


def _called(pairs: Sequence[Found], root: Path) -> dict[str, int]:
    """Return the possible names of each image in lists; a name of several images counts for none."""
    said: dict[str, set[int]] = {}
    for index, one in enumerate(pairs):
        inner = one.image.relative_to(root).as_posix()
        bare = inner[: len(inner) - len(one.image.suffix)]
        for name in (one.name, one.name.rpartition("/")[2], inner, bare, one.image.name):
            said.setdefault(name, set()).add(index)
    return {name: next(iter(places)) for name, places in said.items() if len(places) == 1}


def _spelled(line: str) -> Iterable[str]:
    """Yield the possible image names in a line of a list: all of it, or the part before the mask's name."""
    for text in (line, re.split(r"[\s,;]+", line)[0]):
        name = text.replace("\\", "/").removeprefix("./").lstrip("/")
        inner = name
        yield name
        while inner:
            yield inner.rpartition(".")[0] or inner
            inner = inner.partition("/")[2]
            yield inner
