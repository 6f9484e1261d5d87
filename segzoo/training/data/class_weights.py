"""Class weights, so that rare classes count more: from the pixels of each class in the training images.

Median frequency balancing is from Eigen and Fergus, 2015, arXiv:1411.4734.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from segzoo.errors import OptionError
from segzoo.labels import counted, with_ignored
from segzoo.options import check_choice, listed
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset
    from segzoo.specs import Labels

Method = Literal["median", "inverse"]

#: Maximum number of missing classes in a message.
_NAMED = 10


@dataclass(frozen=True)
class ClassCounts:
    """Pixel counts of the classes, without pixels that are ignored or outside the field of view.

    Attributes:
        pixels: pixels of each class.
        areas: for each class, all pixels that count in the images in which it occurs.
    """

    pixels: tuple[int, ...]
    areas: tuple[int, ...]


def balanced_weights(dataset: Dataset, *, method: Method = "median") -> list[float]:
    """Return a weight for each class, high for rare ones, for the option ``weights`` of losses.

    There are as many weights as classes in the labels: two for a network with one logit.

    Args:
        dataset: the training images; all of them are read.
        method: ``median`` divides the median frequency by the class's own frequency, each counted in the
            images in which the class occurs; ``inverse`` divides 1 by the class's share of all pixels.

    Returns:
        Weights with mean 1 over the classes that occur; 0 for those that do not, which `absent` names.

    Raises:
        OptionError: there is no such method, or no pixel counts.
    """
    return weigh(count_classes(dataset), method)


def weigh(counts: ClassCounts, method: Method = "median") -> list[float]:
    """Return the weights of `balanced_weights` for pixels that are already counted."""
    check_choice("method", method, ("median", "inverse"))
    pixels = np.asarray(counts.pixels, np.float64)
    occurs = pixels > 0
    if not occurs.any():
        raise OptionError("classes cannot be balanced: no pixel of the training images counts")
    areas = np.asarray(counts.areas, np.float64) if method == "median" else np.full_like(pixels, pixels.sum())
    weights = np.zeros_like(pixels)
    # The factor of the median is the same for all, and normalising the mean to 1 removes it.
    weights[occurs] = areas[occurs] / pixels[occurs]
    weights /= weights[occurs].mean()
    return [float(weight) for weight in weights]


def class_pixels(dataset: Dataset) -> list[int]:
    """Return how many pixels each class has, without those ignored or outside the field of view."""
    return list(count_classes(dataset).pixels)


def count_classes(dataset: Dataset) -> ClassCounts:
    """Count the pixels of each class, and those of the images in which it occurs; reads every sample once."""
    pixels, areas = np.zeros((2, len(dataset.labels.classes)), np.int64)
    for here, area in each_image(dataset):
        pixels += here
        areas += (here > 0) * area
    return ClassCounts(tuple(map(int, pixels)), tuple(map(int, areas)))


def each_image(dataset: Dataset) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each sample's pixels of each class, and all that count for the class, ``(classes,)`` each."""
    labels, classes = with_ignored(dataset.labels), len(dataset.labels.classes)
    ignored = labels.ignore_index or 0
    for index in range(len(dataset)):
        mask = counted(dataset[index], labels)
        if labels.overlapping:
            here = np.count_nonzero(mask == 1, axis=(1, 2))
            yield here, np.count_nonzero(mask != IGNORED, axis=(1, 2))
            continue
        here = np.bincount(mask.reshape(-1), minlength=max(classes, ignored + 1))
        here[ignored] = 0
        here = here[:classes]
        yield here, np.full(classes, here.sum())


def absent(labels: Labels, pixels: Sequence[int]) -> str:
    """Return a sentence that names the classes without a pixel; empty if all have some."""
    gone = [name for name, count in zip(labels.classes, pixels, strict=True) if not count]
    if not gone:
        return ""
    names = listed([repr(name) for name in gone], _NAMED)
    occur, them = ("occurs", "it") if len(gone) == 1 else ("occur", "them")
    return (
        f"{len(gone)} of {len(labels.classes)} classes ({names}) {occur} in no training image, so the "
        f"network cannot learn {them}; move images that show {them} into the training split, or leave {them} "
        "out of the labels"
    )
