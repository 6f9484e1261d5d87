"""Objects in masks: their size and thickness, which of them touch, and where in an image they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.data_check.objects import central_window
from segzoo.labels import counted, with_ignored
from segzoo.prediction.postprocessing import find_components
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from segzoo.interfaces import Sample
    from segzoo.specs import Labels


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFacts:
    """The objects of one mask: connected components of every class, including background, or its numbers.

    Attributes:
        classes: int64, the class of each object.
        areas: int64, pixels of each object.
        touching: number of numbered objects that share an edge with another of their class; 0 if objects
            have no numbers.
        numbered: number of objects with numbers.
        edges: by class, number of pixel edges to other classes, without those at the image's border.
        pixels: by class, number of pixels in which edges were counted.
        quarters: by class, its share of the upper left, upper right, lower left and lower right quarter.
    """

    classes: NDArray[np.int64]
    areas: NDArray[np.int64]
    touching: int
    numbered: int
    edges: Mapping[int, int]
    pixels: Mapping[int, int]
    quarters: Mapping[int, tuple[float, float, float, float]]


def look_at_objects(sample: Sample, labels: Labels) -> ObjectFacts:
    """Measure the objects of a sample; in a large mask, sizes are measured in a central window."""
    labels = with_ignored(labels)
    classes, areas = list[np.ndarray[Any, Any]](), list[np.ndarray[Any, Any]]()
    edges, pixels, quarters = dict[int, int](), dict[int, int](), dict[int, Any]()
    for mask, names in _layers(counted(sample, labels), labels):
        quarters |= {names[value]: shares for value, shares in _quarters(mask).items() if value in names}
        window = central_window(mask)
        found = find_components(window)
        kept = np.isin(found.classes, list(names))
        classes.append(np.array([names[int(value)] for value in found.classes[kept]], np.int64))
        areas.append(found.areas[kept])
        values, counts = np.unique(window, return_counts=True)
        pixels |= {names[int(v)]: int(n) for v, n in zip(values, counts, strict=True) if int(v) in names}
        edges |= {names[value]: count for value, count in _edges(window).items() if value in names}
    touching = numbered = 0
    if sample.instances is not None:
        numbers = central_window(sample.instances)
        values, counts = np.unique(numbers[numbers > 0], return_counts=True)
        numbered = len(values)
        if not labels.overlapping:
            touching = len(_meeting(numbers, central_window(sample.mask)))
        if not labels.overlapping and len(labels.classes) == 2:  # otherwise a number has no unique class
            object_class, rest = 1 - (labels.background or 0), classes[0] == (labels.background or 0)
            classes = [classes[0][rest], np.full(numbered, object_class)]
            areas = [areas[0][rest], counts]
    return ObjectFacts(
        classes=np.concatenate(classes).astype(np.int64),
        areas=np.concatenate(areas).astype(np.int64),
        touching=touching,
        numbered=numbered,
        edges=edges,
        pixels=pixels,
        quarters=quarters,
    )


def _layers(mask: NDArray[Any], labels: Labels) -> Iterator[tuple[NDArray[Any], dict[int, int]]]:
    """Yield masks ``(H, W)`` with the class of each value."""
    if labels.overlapping:
        for index, plane in enumerate(mask):
            yield np.where(plane == IGNORED, 0, plane), {1: index}
        return
    yield mask, {index: index for index in range(len(labels.classes)) if index != labels.ignore_index}


def _quarters(mask: NDArray[Any]) -> dict[int, tuple[float, float, float, float]]:
    """Return each value's share of the four quarters."""
    middle, centre = mask.shape[0] // 2, mask.shape[1] // 2
    if not middle or not centre:
        return {}
    found: dict[int, list[float]] = {}
    parts = (mask[:middle, :centre], mask[:middle, centre:], mask[middle:, :centre], mask[middle:, centre:])
    for place, part in enumerate(parts):
        for value, count in zip(*np.unique(part, return_counts=True), strict=True):
            found.setdefault(int(value), [0.0] * 4)[place] = float(count / part.size)
    return {value: (one[0], one[1], one[2], one[3]) for value, one in found.items()}


def _edges(mask: NDArray[Any]) -> dict[int, int]:
    """Return the number of pixel edges between each value and other values."""
    found: dict[int, int] = {}
    for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        border = one != other
        for side in (one[border], other[border]):
            for value, count in zip(*np.unique(side, return_counts=True), strict=True):
                found[int(value)] = found.get(int(value), 0) + int(count)
    return found


def _meeting(numbers: NDArray[Any], classes: NDArray[Any]) -> set[int]:
    """Return the objects that share an edge with another object of their class."""
    found: set[int] = set()
    for lower, upper in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        one, other = numbers[lower], numbers[upper]
        both = (one != other) & (one > 0) & (other > 0) & (classes[lower] == classes[upper])
        found.update(np.unique(one[both]).tolist(), np.unique(other[both]).tolist())
    return found
