"""Your own images and masks in two folders, paired by name.

``images/cat.jpg`` belongs to ``masks/cat.png`` or ``masks/cat_mask.png``. The folders may also be
called ``imgs`` and ``labels``, and may lie inside ``train``, ``val`` and ``test``; without those,
the split is by a hash of the name: of a hundred, 80 train, 10 validate, 10 test.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.errors import FailureError, OptionError
from segzoo.images import SUFFIXES, read
from segzoo.interfaces import Sample
from segzoo.labels import read_mask, to_classes
from segzoo.specs import Labels

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

SPLITS = ("train", "val", "test", "all")
_IMAGES, _MASKS = ("images", "imgs"), ("masks", "labels")


class FolderDataset:
    """Pairs of files below ``root``.

    Args:
        root: holds the two folders, or ``train``, ``val``, ``test`` with two folders each.
        split: ``train``, ``val``, ``test`` or ``all``.
        classes: names of the classes, background first, or how many there are.
        values: the value in the masks of each class, where it is not the class's index.
        ignore_index: the value of pixels that count for nothing.
        mask_suffix: what a mask's stem has after its image's, tried before none.

    Raises:
        FailureError: there are no such folders, or a file has no partner; the text lists them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        classes: Sequence[str] | int = ("background", "foreground"),
        values: Sequence[int] = (),
        ignore_index: int | None = None,
        mask_suffix: str = "_mask",
    ) -> None:
        if split not in SPLITS:
            raise OptionError(f"a folder has the splits {', '.join(SPLITS)}, not {split!r}")
        names = tuple(f"class {i}" for i in range(classes)) if isinstance(classes, int) else tuple(classes)
        self.labels = Labels(classes=names, values=tuple(values), ignore_index=ignore_index)
        self._pairs = _pairs(Path(root), split, mask_suffix)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Decode one pair.

        Raises:
            ImageError: a file cannot be read, or the two differ in size.
            MaskError: the mask holds a value that stands for no class.
        """
        name, image_path, mask_path = self._pairs[index]
        image = read(image_path)
        mask = to_classes(read_mask(mask_path), self.labels, str(mask_path))
        if mask.shape != image.shape[:2]:
            raise FailureError(f"{mask_path} is {mask.shape}, its image {image_path} is {image.shape[:2]}")
        return Sample(image=image, mask=mask, name=name)


def _pairs(root: Path, split: str, mask_suffix: str) -> list[tuple[str, Path, Path]]:
    divided = [root / part for part in SPLITS[:3] if _folder(root / part, _IMAGES)]
    if divided:
        roots = divided if split == "all" else [root / split]
        return [pair for one in roots for pair in _pairs_in(one, mask_suffix)]
    pairs = _pairs_in(root, mask_suffix)
    return [pair for pair in pairs if split in ("all", _split_of(pair[0]))]


def _pairs_in(root: Path, mask_suffix: str) -> list[tuple[str, Path, Path]]:
    images, masks = _folder(root, _IMAGES), _folder(root, _MASKS)
    if images is None or masks is None:
        raise FailureError(
            f"{root} needs a folder of images ({' or '.join(_IMAGES)}) "
            f"and one of masks ({' or '.join(_MASKS)})"
        )
    by_name = _by_name(masks)
    pairs, alone = [], []
    for name, image in _by_name(images).items():
        mask = by_name.pop(name + mask_suffix, None) or by_name.pop(name, None)
        if mask is None:
            alone.append(image)
        else:
            pairs.append((name, image, mask))
    alone += by_name.values()
    if alone or not pairs:
        shown = ", ".join(str(path) for path in alone[:8]) + (" ..." if len(alone) > 8 else "")
        raise FailureError(
            f"{root}: {len(alone)} files have no partner of the same name: {shown}"
            if alone
            else f"{images} holds no images"
        )
    return pairs


def _by_name(folder: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in named:
                raise FailureError(f"{named[name]} and {path} have one name: keep one of them")
            named[name] = path
    return named


def _folder(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _split_of(name: str) -> str:
    hundredth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 100
    return "train" if hundredth < 80 else "val" if hundredth < 90 else "test"
