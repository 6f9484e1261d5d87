"""Which file is the mask of which image: pairs, and everything that does not pair.

Unlike `segzoo.datasets.folder`, nothing here is refused: what the data set would stop at is kept, so
that it can be told of, and so are folders under other names than it looks for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.datasets.listed import listed
from segzoo.datasets.matching import is_whole, name_in, visible
from segzoo.datasets.naming import IMAGES, MASKS, MORE_IMAGES, MORE_MASKS, TOGETHER
from segzoo.datasets.splits import FOLDERS, divided, groups_of
from segzoo.errors import ImageError, MissingExtraError
from segzoo.images import count_pages, has_suffix, may_have_pages, readable_suffixes

if TYPE_CHECKING:
    from collections.abc import Callable

SPLITS = ("train", "val", "test")
LISTS = ("pairs.csv", "pairs.json")
_SPLIT_OF = {word: split for split, words in FOLDERS.items() for word in words}
MASK_SUFFIX = "_mask"
_MOST_LAYERS = 32


@dataclass(frozen=True)
class Pair:
    """An image and its mask; ``page`` is that of both files, where they are stacks of pages."""

    name: str
    split: str
    image: Path
    mask: Path
    page: int | None = None


@dataclass
class Layout:
    """What lies below a root.

    Attributes:
        root: as it was given.
        pairs: images with their masks, sorted by split and name.
        images: those without a mask.
        masks: those without an image.
        ambiguous: files of one name, of which only one can be meant; each with the one it rivals.
        ignored: files of other kinds.
        image_folder: the name of the folder of images, where training must be told it.
        mask_folder: the name of the folder of masks, where training must be told it.
        suffix: what a mask's name has after its image's.
        divided: whether folders say the split; else their names do.
        together: whether images and masks share one folder.
        stacks: files of several pages, each page a sample.
        layers: names of classes, where each has mask files of its own.
    """

    root: Path
    pairs: list[Pair] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    ambiguous: list[tuple[Path, Path]] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    image_folder: str = ""
    mask_folder: str = ""
    suffix: str = MASK_SUFFIX
    divided: bool = False
    together: bool = False
    stacks: int = 0
    layers: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether there is any image or mask at all."""
        return bool(self.pairs or self.images or self.masks)

    @property
    def options(self) -> tuple[str, ...]:
        """Options that `segzoo train` needs for names."""
        return (
            *([f"data.images={self.image_folder}"] if self.image_folder else []),
            *([f"data.masks={self.mask_folder}"] if self.mask_folder else []),
            *([f"data.mask_suffix={self.suffix}"] if self.suffix != MASK_SUFFIX else []),
        )


def read_layout(root: Path) -> Layout:
    """List the images and masks below ``root``, or in the list of pairs that it is, and pair them.

    Raises:
        FailureError: a list of pairs cannot be read.
    """
    layout = Layout(root)
    source = next((root / name for name in LISTS if (root / name).is_file()), root)
    if source.is_file():
        _pair_listed(source, layout)
    elif not (_pair_splits(root, layout) or _pair_folders(root, layout)):
        _pair_together(root, layout)
    layout.pairs = [page for pair in layout.pairs for page in _pages(pair, layout)]
    if not layout.divided:
        stacks = [pair.name if pair.page is None else pair.name.rpartition("/")[0] for pair in layout.pairs]
        parts = divided([pair.name for pair in layout.pairs], groups_of(stacks))
        layout.pairs = [replace(pair, split=part) for pair, part in zip(layout.pairs, parts, strict=True)]
    layout.pairs.sort(key=lambda pair: (SPLITS.index(pair.split), pair.name))
    return layout


def _pair_listed(source: Path, layout: Layout) -> None:
    for split, pair in listed(source):
        if isinstance(pair.mask, Path):
            layout.pairs.append(Pair(pair.name, split, pair.image, pair.mask))
    layout.divided = True


def _pair_splits(root: Path, layout: Layout) -> bool:
    """Pair what lies in ``train/images`` and ``train/masks``, and so on."""
    for folder in _folders(root):
        split = _SPLIT_OF.get(folder.name)
        pair = _two_folders(folder, layout) if split else None
        if split and pair:
            layout.divided = True
            _pair(*pair, split, layout)
    return layout.divided


def _pair_folders(root: Path, layout: Layout) -> bool:
    """Pair what lies in ``images`` and ``masks``, or in ``images/train`` and ``masks/train``, and so on."""
    pair = _two_folders(root, layout)
    if pair is None:
        return False
    images, masks = pair
    for word, split in _SPLIT_OF.items():
        if (images / word).is_dir() and (masks / word).is_dir():
            layout.divided = True
            _pair(images / word, masks / word, split, layout)
    if not layout.divided:
        _pair(images, masks, "", layout)
    return True


def _two_folders(root: Path, layout: Layout) -> tuple[Path, Path] | None:
    images, masks = _named(root, IMAGES, MORE_IMAGES), _named(root, MASKS, MORE_MASKS)
    if images is None or masks is None:
        return None
    layout.image_folder = "" if images.name in IMAGES else images.name
    layout.mask_folder = "" if masks.name in MASKS else masks.name
    return images, masks


def _pair_together(root: Path, layout: Layout) -> None:
    """Pair ``a.jpg`` with ``a_mask.png`` in one and the same folder."""
    everything = _by_name(root, layout)
    masks = {name: path for name, path in everything.items() if name.endswith(TOGETHER)}
    if masks:
        layout.together = True
        _match({name: path for name, path in everything.items() if name not in masks}, masks, "", layout)


def _pair(images: Path, masks: Path, split: str, layout: Layout) -> None:
    of_masks = _by_name(masks, layout)
    known = {name.removesuffix(MASK_SUFFIX) for name in of_masks} | set(of_masks)
    _match(_by_name(images, layout, known.__contains__), of_masks, split, layout)


def _match(images: dict[str, Path], masks: dict[str, Path], split: str, layout: Layout) -> None:
    alone, taken = {}, {}
    for name, image in images.items():
        found = next((word for word in (name + MASK_SUFFIX, name) if word in masks), None)
        if found is None:
            alone[name] = image
        else:
            taken[name] = masks.pop(found)
    layout.layers = _layers(alone, masks) if not taken else ()
    suffix = "" if layout.layers else _common_suffix(alone, masks)
    if suffix:
        layout.suffix = suffix
        for name in [name for name in alone if name + suffix in masks]:
            del alone[name]
            taken[name] = masks.pop(name + suffix)
    for name, mask in taken.items():
        layout.pairs.append(Pair(name, split, images[name], mask))
        if name in masks:
            layout.ambiguous.append((masks.pop(name), mask))
    layout.images += alone.values()
    layout.masks += masks.values()


def _common_suffix(images: dict[str, Path], masks: dict[str, Path]) -> str:
    """Return what the names of at least half of the masks have after an image's, if that is one thing."""
    endings = Counter(name[cut:] for name in masks for cut in range(1, len(name)) if name[:cut] in images)
    ending, count = endings.most_common(1)[0] if endings else ("", 0)
    return ending if count >= max(len(masks) / 2, 1) and ending[0] in "_-. " else ""


def _layers(images: dict[str, Path], masks: dict[str, Path]) -> tuple[str, ...]:
    """Return the classes where masks are called ``cell/a``, ``a/cell`` or ``a_cell``, one file a class."""
    words = set()
    for name in masks:
        first, _, rest = name.partition("/")
        before, _, last = name.rpartition("/")
        stem, _, ending = name.rpartition("_")
        found = first if rest in images else last if before in images else ending if stem in images else ""
        if not found:
            return ()
        words.add(found)
    return tuple(sorted(words)) if 1 < len(words) <= _MOST_LAYERS else ()


def _pages(pair: Pair, layout: Layout) -> list[Pair]:
    """Return one pair for each page where both files are stacks of as many pages, else the pair itself."""
    if not may_have_pages(pair.image):
        return [pair]
    try:
        pages = count_pages(pair.image)
        if pages == 1 or count_pages(pair.mask) != pages:
            return [pair]
    except (ImageError, MissingExtraError):
        return [pair]  # looking at it will say what is wrong
    layout.stacks += 1
    return [replace(pair, name=f"{pair.name}/{page:04}", page=page) for page in range(pages)]


def _by_name(folder: Path, layout: Layout, whole: Callable[[str], bool] | None = None) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in sorted(visible(folder, whole)):
        if not is_whole(path, folder, whole) and not has_suffix(path, readable_suffixes()):
            layout.ignored.append(path)
            continue
        name = name_in(folder, path)
        if name in named:
            layout.ambiguous.append((path, named[name]))
        else:
            named[name] = path
    return named


def _named(root: Path, names: tuple[str, ...], more: tuple[str, ...]) -> Path | None:
    exact = next((root / name for name in names if (root / name).is_dir()), None)
    if exact is not None:
        return exact
    folders = {folder.name.lower(): folder for folder in _folders(root)}
    return next((folders[name] for name in (*names, *more) if name in folders), None)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())
