"""What ``segzoo data`` is pointed at: a folder of images and masks, or a registered data set.

A folder that is laid out as a registered data set is, such as an unpacked archive, is looked at as that.
"""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.data_check.layout import SPLITS, Layout, read_layout
from segzoo.datasets.pairs import Pairs
from segzoo.datasets.sampling import evenly_spread
from segzoo.errors import (
    FailureError,
    ImageError,
    MissingExtraError,
    SegzooError,
    UnknownNameError,
    did_you_mean,
    no_address,
)
from segzoo.images import count_pages, has_suffix, searched_suffixes
from segzoo.labels import read_layers
from segzoo.options import listed
from segzoo.plugins import resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset

FOLDER = "folder"


@dataclass(frozen=True)
class Source:
    """What is looked at.

    Attributes:
        data: as ``segzoo train --data`` takes it.
        root: where it lies; empty where the environment says it.
        layout: of a folder of images and masks.
        datasets: the splits of a registered data set.
        guessed: whether the data set was recognised rather than named.
        options: those that `segzoo train` needs.
        overlaps: where classes overlap that have mask files of their own, or objects that may lie on others.
    """

    data: str
    root: str = ""
    layout: Layout | None = None
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    guessed: bool = False
    options: tuple[str, ...] = ()
    overlaps: Overlaps | None = None


@dataclass(frozen=True)
class Overlaps:
    """Where classes that have mask files of their own overlap.

    Attributes:
        shares: of the images in which two classes share pixels, by name, the share of the pixels of any class
            that have several; the largest first.
        images: how many were looked at.
        objects: whether the classes are those of objects in a file, not of mask files.
    """

    shares: Mapping[str, float]
    images: int
    objects: bool = False

    @property
    def meant(self) -> bool:
        """Whether it is more than the edges of classes that are drawn one after the other."""
        return sum(self.shares.values()) >= _MEANT * self.images > 0


#: Classes that overlap on purpose do so in a larger share of their pixels, on average.
_MEANT = 0.01
#: Images in which it is looked whether classes overlap, evenly spread.
_LOOKED_AT = 500


def find_source(data: str, root: str | os.PathLike[str] | None = None) -> Source:
    """Return what ``data`` names.

    Raises:
        UnknownNameError: it is neither a registered data set nor a folder.
        FailureError: it is a file, or a folder in which nothing is recognised.
    """
    registered = zoo.registry("datasets")
    if data in registered:
        name = registered.get(data).name
        if name != FOLDER:
            return _overlapped(Source(data, str(root or ""), datasets=_open(data, root)))
        data, root = str(root or data), None
    folder = Path(data)
    if folder.is_file() and folder.suffix.lower() in (".csv", ".json"):
        return Source(data, layout=read_layout(folder))
    if folder.is_file():
        return _of_file(folder)
    if not folder.is_dir():
        names = registered.names()
        raise UnknownNameError(
            f"there is neither a folder nor a data set {data!r}"
            + did_you_mean(data, names, "`segzoo list datasets` shows those that have names")
            + no_address(data)
        )
    layout = read_layout(folder)
    if not layout.found:
        return _recognised(folder)
    return _layered(data, layout) or Source(data, layout=layout)


def _layered(data: str, layout: Layout) -> Source | None:
    """Return the samples of a folder whose classes have mask files of their own, if it opens so.

    They are taken as classes that overlap where they share more than a few pixels.
    """
    if not layout.layers:
        return None
    apart = _opened_layers(data, layout, list(layout.layers), "overlapping")
    overlaps = _overlaps(apart)
    if overlaps.meant:
        kind, classes, opened = "overlapping", list(layout.layers), apart
    else:
        kind, classes = "per_class", ["background", *layout.layers]
        opened = _opened_layers(data, layout, classes, kind)
    said = f"data.classes={json.dumps(classes, separators=(',', ':'))}"
    options = (*layout.options, f"data.{kind}=true", said)
    if not {"train", "val"} <= set(opened):
        return None
    return Source(data, datasets=opened, options=options, overlaps=overlaps)


def _overlapped(source: Source) -> Source:
    """Return a data set as one of classes that overlap, where its objects share more than a few pixels."""
    spec = zoo.registry("datasets").get(source.data)
    if "overlapping" not in inspect.signature(resolve(spec.factory)).parameters:
        return source
    try:
        opened = _open(source.data, source.root or None, overlapping=True)
    except SegzooError:
        return source
    overlaps = replace(_overlaps(opened), objects=True)
    if not overlaps.meant:
        return source
    return replace(source, datasets=opened, options=("data.overlapping=true",), overlaps=overlaps)


def _opened_layers(data: str, layout: Layout, classes: Sequence[str], kind: str) -> dict[str, Dataset]:
    """Return the splits of a folder whose masks are a file a class, as one kind of data set or another."""
    told = {kind: True, "classes": classes, "images": layout.image_folder, "masks": layout.mask_folder}
    opened: dict[str, Dataset] = {}
    for split in SPLITS:
        with suppress(FailureError):
            opened[split] = open_dataset(FOLDER, root=data, split=split, **told)
    return opened


def _overlaps(opened: Mapping[str, Dataset]) -> Overlaps:
    """Return how far classes overlap; masks that cannot be read are skipped, and reported elsewhere."""
    keys = [(dataset, index) for dataset in opened.values() for index in range(len(dataset))]
    chosen = [keys[number] for number in evenly_spread(len(keys), _LOOKED_AT)]
    shares: dict[str, float] = {}
    for dataset, index in chosen:
        with suppress(SegzooError):
            name, planes = _planes(dataset, index)
            classes = (planes == 1).sum(axis=0)
            if (classes > 1).any():
                shares[name] = float((classes > 1).sum() / (classes > 0).sum())
    ordered = dict(sorted(shares.items(), key=lambda one: -one[1]))
    return Overlaps(ordered, len(chosen))


def _planes(dataset: Dataset, index: int) -> tuple[str, NDArray[np.uint8]]:
    """Return the name of a sample and the mask of each class."""
    if isinstance(dataset, Pairs):
        pair = dataset.pairs[index]
        if isinstance(pair.mask, tuple):
            return pair.name, read_layers(pair.mask, dataset.labels)
    sample = dataset[index]
    return sample.name, sample.mask


def _of_file(path: Path) -> Source:
    """Return the data set that a file is, such as an archive."""
    found = _matching(path)
    if found is None:
        raise FailureError(
            f"{path} is a file: name the folder that holds the images and the masks; an archive is "
            "unpacked by `segzoo data prepare`"
        )
    return found


def _recognised(folder: Path) -> Source:
    found = _matching(folder)
    if found is not None:
        return _overlapped(found)
    if not any(folder.iterdir()):
        raise FailureError(f"{folder} is empty: it should hold a folder images and a folder masks")
    raise FailureError(
        f"{folder} holds no images with masks that segzoo recognises: it needs a folder images (or imgs) "
        f"and a folder masks (or labels) with files of the same names.{_hint(folder)}"
    )


def _hint(folder: Path) -> str:
    """Say what there is instead."""
    parts = sorted(path.name for path in folder.iterdir())
    shown = f" There is: {listed(parts)}."
    stacks = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and has_suffix(path, searched_suffixes()) and _pages(path) > 1
    ]
    if stacks:
        shown += (
            f" {' and '.join(stacks[:2])} hold several pages, as stacks of slices do: save each slice of the "
            "images and of the masks as a file of its own"
        )
    return shown


def _pages(path: Path) -> int:
    try:
        return count_pages(path)
    except (ImageError, MissingExtraError):
        return 0


def _matching(root: Path) -> Source | None:
    """Return the one registered data set that opens at ``root``, if it is one."""
    found = []
    registered = zoo.registry("datasets")
    for name in registered.names():
        if name == FOLDER:
            continue
        try:
            datasets = _open(name, root)
        except (SegzooError, OSError, ValueError, TypeError):
            continue
        if any(len(dataset) for dataset in datasets.values()):
            found.append(Source(name, str(root), datasets=datasets, guessed=True))
    return found[0] if len(found) == 1 else None


def _open(name: str, root: str | os.PathLike[str] | None, **options: Any) -> dict[str, Dataset]:
    """Open the splits of a data set that share no image: train, val and test, else whatever there is."""
    splits = zoo.registry("datasets").get(name).splits
    chosen = [split for split in SPLITS if split in splits] or [s for s in splits if s != "all"] or ["all"]
    opened: dict[str, Dataset] = {}
    refused: Exception | None = None
    for split in chosen:
        try:
            opened[split] = open_dataset(name, root=root, split=split, **options)
        except ImageError:
            raise
        except FailureError as error:
            refused = error
    if not opened and refused is not None:
        raise refused
    return opened
