"""Renumber the classes of a dataset as in the model that is scored: matched by name, never by chance.

Two datasets may list the same classes in different orders, and a dataset may have classes that a model does
not know.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.options import listed
from segzoo.specs import IGNORED, Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, Sample

#: Automatic names of classes without names.
_NUMBERED = re.compile(r"background|foreground|class \d+")


def for_model(
    dataset: Dataset,
    labels: Labels,
    *,
    ignore_unknown: bool = False,
    on_message: Callable[[str], object] | None = None,
) -> Dataset:
    """Return a dataset whose masks have the class indices of a model.

    Classes with equal names match, ignoring case; the backgrounds also match, whatever their names. If the
    classes of one side have numbers as names, or if both sides have a single class and a background, classes
    match by order.

    Args:
        dataset: dataset to score the model on.
        labels: labels of the model.
        ignore_unknown: whether to ignore pixels of classes that the model does not know; if classes overlap,
            these classes are ignored.
        on_message: called with a message if names or order differ from the model's.

    Returns:
        The dataset itself if its classes are in the model's order; else one with renumbered classes.

    Raises:
        OptionError: the model does not know a class, or classes overlap on one side only; the message names
            them.
    """
    theirs, tell = dataset.labels, on_message or (lambda text: None)
    if labels.overlapping != theirs.overlapping:
        one, other = ("the model", "the dataset")[:: 1 if labels.overlapping else -1]
        raise OptionError(
            f"classes overlap in {one}, but {other} has one class per pixel: open a dataset of overlapping "
            "masks with overlapping=true (--data-option overlapping=true, in recipes data.overlapping=true)"
        )
    if theirs.classes == labels.classes:
        return dataset
    both = (
        f"the model has {len(labels.classes)} classes ({listed(labels.classes)}), "
        f"the dataset has {len(theirs.classes)} ({listed(theirs.classes)})"
    )
    if _numbered(theirs) or _numbered(labels) or _alone(theirs, labels):
        if len(theirs.classes) != len(labels.classes):
            raise OptionError(both)
        tell(f"classes are matched by their order: {both}")
        return dataset
    places = _places(theirs, labels)
    unknown = [name for name, place in zip(theirs.classes, places, strict=True) if place is None]
    if len(unknown) >= len(theirs.classes) - (theirs.background is not None):
        raise OptionError(f"{both}: no class has the same name in both")
    if unknown and not ignore_unknown:
        raise OptionError(
            f"the model does not know {listed(unknown)}, which the dataset has; it knows "
            f"{listed(labels.classes)}. Leave their pixels out with --ignore-unknown (ignore_unknown=True), "
            "or rename the classes"
        )
    left = f"; not scored, because the model does not know them: {listed(unknown)}" if unknown else ""
    tell(f"classes are matched by name{left}")
    return Renumbered(dataset, labels, places)


def _numbered(labels: Labels) -> bool:
    return all(_NUMBERED.fullmatch(labels.classes[index]) for index in labels.foreground)


def _alone(one: Labels, other: Labels) -> bool:
    """Whether both have a single class and a background, at the same indices."""
    return len(one.foreground) == len(other.foreground) == 1 and one.background == other.background


def _places(theirs: Labels, ours: Labels) -> list[int | None]:
    """Return the model's index of each class of a dataset; ``None`` if the model does not have the class."""
    exact = {name: index for index, name in enumerate(ours.classes)}
    folded: dict[str, int | None] = {}
    for labels in (ours, theirs):  # on one side, names that differ only in case are different classes
        seen: set[str] = set()
        for index, name in enumerate(labels.classes):
            key = name.casefold()
            folded[key] = None if key in seen else index if labels is ours else folded.get(key)
            seen.add(key)
    places = [exact.get(name, folded.get(name.casefold())) for name in theirs.classes]
    if theirs.background is not None and ours.background is not None:
        places = [None if place == ours.background else place for place in places]
        places[theirs.background] = ours.background
    return places


class Renumbered:
    """A dataset whose masks have the class indices of a model.

    Args:
        dataset: dataset with its own class indices.
        labels: labels of the model.
        places: for each class of the dataset its index in the model; ``None`` for classes that are ignored.
    """

    def __init__(self, dataset: Dataset, labels: Labels, places: Sequence[int | None]) -> None:
        theirs = dataset.labels
        self._dataset, self._places = dataset, list(places)
        # The model cannot recognise what it ignored in training.
        known = [None if place is not None and place == labels.ignore_index else place for place in places]
        void = theirs.ignore_index is not None or None in known
        ignored = Labels(classes=labels.classes).unused_index if void else None
        self.labels = (
            replace(theirs, classes=labels.classes, palette=labels.palette)
            if labels.overlapping
            else replace(labels, values=(), ignore_index=ignored)
        )
        table = np.zeros(max(len(known), (theirs.ignore_index or 0) + 1), self.labels.index_type)
        table[: len(known)] = [ignored if place is None else place for place in known]
        if theirs.ignore_index is not None and not theirs.overlapping:
            table[theirs.ignore_index] = ignored
        self._table = table

    def __getattr__(self, name: str) -> Any:
        """Pass on the dataset's other attributes."""
        if name in ("names", "tags", "files", "scale", "remarks"):
            return getattr(self._dataset, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index`` with the model's class indices."""
        sample = self._dataset[index]
        mask = self._planes(sample.mask) if self.labels.overlapping else self._table[sample.mask]
        return replace(sample, mask=mask)

    def _planes(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return one plane per class of the model; a pixel that only unknown classes cover is ignored."""
        planes = np.zeros((len(self.labels.classes), *mask.shape[1:]), np.uint8)
        planes[:, (mask == IGNORED).all(axis=0)] = IGNORED
        for plane, place in zip(mask, self._places, strict=True):
            if place is not None:
                planes[place] = plane
        return planes
