"""Which file is the mask of which image: pairs, and everything that does not pair.

Unlike `segzoo.datasets.folder`, nothing here is refused: what the data set would stop at is kept, so
that it can be told of, and so are folders under other names than it looks for.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segzoo.images import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

#: Names of folders in the order of preference; those that training knows come first.
IMAGES, MASKS = ("images", "imgs"), ("masks", "labels")
_MORE_IMAGES = ("image", "img", "jpegimages", "pictures", "photos", "inputs", "originals")
_MORE_MASKS = (
    *("mask", "label", "annotations", "annotation", "gt", "groundtruth", "ground_truth"),
    *("segmentationclass", "segmentation", "segmentations", "targets", "labelstr"),
)
SPLITS = ("train", "val", "test")
_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
MASK_SUFFIX = "_mask"


@dataclass(frozen=True)
class Pair:
    """An image and its mask; paths are as the root was given."""

    name: str
    split: str
    image: Path
    mask: Path


@dataclass
class Layout:
    """What lies below a root.

    Attributes:
        pairs: images with their masks, sorted by split and name.
        images: those without a mask.
        masks: those without an image.
        ambiguous: files of one name, of which only one can be meant; each with the one it rivals.
        leftovers: files that macOS leaves beside others, ``._name``.
        ignored: files of other kinds.
        renamed: folders under names that training does not look for, and what they should be called.
        suffix: what a mask's name has after its image's.
        divided: whether folders say the split; else it is by a hash of the name.
        inside: whether those folders lie inside the folders of images and masks.
        together: whether images and masks share one folder.
    """

    root: Path
    pairs: list[Pair] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    ambiguous: list[tuple[Path, Path]] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)
    renamed: list[tuple[Path, str]] = field(default_factory=list)
    suffix: str = MASK_SUFFIX
    divided: bool = False
    inside: bool = False
    together: bool = False

    @property
    def found(self) -> bool:
        """Whether there is any image or mask at all."""
        return bool(self.pairs or self.images or self.masks)


def read_layout(root: Path) -> Layout:
    """List the images and masks below ``root`` and pair them; nothing is opened."""
    layout = Layout(root)
    parts = _split_folders(root, layout)
    if parts:
        layout.divided = True
        for split, folder in parts:
            _pair_folders(folder, split, layout)
    elif not _pair_folders(root, "", layout):
        _pair_together(root, layout)
    _say_splits(layout)
    layout.pairs.sort(key=lambda pair: (SPLITS.index(pair.split), pair.name))
    return layout


def split_of(name: str) -> str:
    """Return the split of a name where no folder says it, as `segzoo.datasets.folder` decides it."""
    hundredth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 100
    return "train" if hundredth < 80 else "val" if hundredth < 90 else "test"


def _split_folders(root: Path, layout: Layout) -> list[tuple[str, Path]]:
    found = []
    for folder in _folders(root):
        split = _SPLIT_OF.get(folder.name.lower())
        if split and _named(folder, IMAGES, _MORE_IMAGES):
            found.append((split, folder))
            if folder.name != split:
                layout.renamed.append((folder, split))
    return found


def _pair_folders(root: Path, split: str, layout: Layout) -> bool:
    images, masks = _named(root, IMAGES, _MORE_IMAGES), _named(root, MASKS, _MORE_MASKS)
    if images is None or masks is None:
        return False
    for folder, wanted in ((images, IMAGES), (masks, MASKS)):
        if folder.name not in wanted:
            layout.renamed.append((folder, wanted[0]))
    _pair(_by_name(images, layout), _by_name(masks, layout), split, layout)
    return True


def _pair_together(root: Path, layout: Layout) -> None:
    """Pair ``a.jpg`` with ``a_mask.png`` in one and the same folder."""
    everything = _by_name(root, layout)
    masks = {name: path for name, path in everything.items() if name.endswith(("_mask", "_label", "_seg"))}
    if not masks:
        layout.images, layout.masks = [], []
        return
    layout.together = True
    _pair({name: path for name, path in everything.items() if name not in masks}, masks, "", layout)


def _pair(images: dict[str, Path], masks: dict[str, Path], split: str, layout: Layout) -> None:
    alone = {}
    for name, image in images.items():
        suffixed, same = masks.pop(name + MASK_SUFFIX, None), None
        if suffixed is None:
            same = masks.pop(name, None)
        mask = suffixed or same
        if mask is None:
            alone[name] = image
        else:
            layout.pairs.append(Pair(name, split, image, mask))
    suffix = _common_suffix(alone, masks)
    if suffix:
        layout.suffix = suffix
        for name in [name for name in alone if name + suffix in masks]:
            layout.pairs.append(Pair(name, split, alone.pop(name), masks.pop(name + suffix)))
    for name in [name for name in masks if name in images]:
        layout.ambiguous.append((masks.pop(name), next(p.mask for p in layout.pairs if p.name == name)))
    layout.images += alone.values()
    layout.masks += masks.values()


def _common_suffix(images: dict[str, Path], masks: dict[str, Path]) -> str:
    """Return what the names of at least half of the masks have after an image's, if that is one thing."""
    endings = Counter(
        name[cut:]
        for name in masks
        for cut in range(1, len(name))
        if name[:cut] in images and cut < len(name)
    )
    ending, count = endings.most_common(1)[0] if endings else ("", 0)
    return ending if count >= max(len(masks) / 2, 1) and not ending[0].isalnum() else ""


def _say_splits(layout: Layout) -> None:
    """Give every pair its split: by the first folder of its name where all have one, else by hash."""
    if layout.divided or not layout.pairs:
        return
    firsts = {pair.name.partition("/")[0].lower() if "/" in pair.name else "" for pair in layout.pairs}
    layout.inside = firsts <= set(_SPLIT_OF)
    layout.pairs = [
        Pair(
            pair.name,
            _SPLIT_OF[pair.name.partition("/")[0].lower()] if layout.inside else split_of(pair.name),
            pair.image,
            pair.mask,
        )
        for pair in layout.pairs
    ]


def _by_name(folder: Path, layout: Layout) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        if path.name.startswith("._") or "__MACOSX" in path.parts:
            layout.leftovers.append(path)
        elif path.suffix.lower() not in SUFFIXES:
            if not path.name.startswith("."):
                layout.ignored.append(path)
        else:
            name = path.relative_to(folder).with_suffix("").as_posix()
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
