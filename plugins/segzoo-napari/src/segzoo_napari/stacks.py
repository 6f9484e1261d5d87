"""Arrays of any number of axes, segmented slice by slice and returned as napari's layers.

Nothing here needs napari: a layer is described by its data, its attributes and its kind.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segzoo.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from segzoo import Predictor, Segmentation
    from segzoo.specs import Labels

    #: Data, attributes, and ``image`` or ``labels``.
    LayerData = tuple[NDArray[Any], dict[str, Any], str]

#: What can be shown of an image.
MASK, OBJECTS, UNCERTAINTY = OUTPUTS = ("mask", "objects", "uncertainty")
_TRANSPARENT = (0.0, 0.0, 0.0, 0.0)


class Stack:
    """An array as a stack of images: the last two axes, beside that of the bands, are rows and columns.

    Args:
        data: array, of NumPy or any library whose arrays are indexed like it; only one slice is read at once.
        bands: axis that holds the bands; ``None`` if there is none.
        alpha: whether the last band is transparency, as in RGBA images of 8 bits.

    Attributes:
        axes: axes of the array without the bands; those of the result.
        shape: sizes of the axes before rows and columns.
        size: rows and columns.

    Raises:
        ImageError: the array has too few axes.
    """

    def __init__(self, data: Any, bands: int | None = None, *, alpha: bool = False) -> None:
        self._data, self._bands, self._alpha = data, bands, alpha
        self.axes = [axis for axis in range(data.ndim) if axis != bands]
        if len(self.axes) < 2:
            raise ImageError("an image has rows and columns: choose another band axis, or none")
        *stack, rows, columns = (int(data.shape[axis]) for axis in self.axes)
        self.shape, self.size = tuple(stack), (rows, columns)

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __str__(self) -> str:
        rows, columns = self.size
        slices = f"{len(self)} slices of " if self.shape else ""
        count = 1 if self._bands is None else self._data.shape[self._bands]
        bands = "1 band" if count == 1 else f"{count} bands"
        return f"{slices}{columns} x {rows} pixels, {bands}, {self._data.dtype}"

    def __iter__(self) -> Iterator[NDArray[Any] | Image.Image]:
        """Yield each slice as ``(H, W)`` or ``(H, W, C)``, the last axis first; an image if it has alpha."""
        for place in np.ndindex(self.shape):
            index: list[int | slice] = [slice(None)] * self._data.ndim
            for axis, at in zip(self.axes, place, strict=False):
                index[axis] = at
            image = np.asarray(self._data[tuple(index)])
            if self._bands is not None:
                image = np.moveaxis(image, sum(axis < self._bands for axis in self.axes[-2:]), -1)
            yield Image.fromarray(image) if self._alpha else image


@dataclass
class Results:
    """What was found in a stack, collected slice by slice.

    Args:
        labels: labels of the model.
        stack: the stack that is segmented.
        outputs: which of `OUTPUTS` to collect.
    """

    labels: Labels
    stack: Stack
    outputs: Collection[str]
    _arrays: dict[tuple[str, str], NDArray[Any]] = field(default_factory=dict)
    _classes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _areas: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def collect(self, predictor: Predictor) -> Iterator[int]:
        """Segment the stack; yield the number of slices that are done after each.

        Args:
            predictor: predictor for every slice; an intensity rule that is measured over a run is measured
                over the whole stack.

        Raises:
            SegzooError: a slice cannot be segmented; the message explains why.
        """
        predictor.measure(self.stack)
        for number, image in enumerate(self.stack):
            found = predictor(image, probabilities=UNCERTAINTY in self.outputs)
            if self.labels.overlapping:
                for name in self.labels.classes:
                    self._add(number, name, found.of_class(name))
            else:
                self._add(number, "", found)
            yield number + 1

    def _add(self, number: int, name: str, found: Segmentation) -> None:
        if MASK in self.outputs:
            self._put(number, MASK, name, found.mask)
        if OBJECTS in self.outputs:
            objects = found.instances()
            # Numbers continue from slice to slice, as those of volumes do in files.
            before = len(self._classes[name])
            numbers = np.where(objects.numbers > 0, objects.numbers + before, 0).astype(np.int32)
            self._put(number, OBJECTS, name, numbers)
            self._classes[name] += [found.labels.classes[index] for index in objects.classes]
            self._areas[name] += objects.areas.tolist()
        if UNCERTAINTY in self.outputs:
            self._put(number, UNCERTAINTY, name, found.uncertainty())

    def _put(self, number: int, output: str, name: str, values: NDArray[Any]) -> None:
        if (output, name) not in self._arrays:
            self._arrays[output, name] = np.zeros((len(self.stack), *self.stack.size), values.dtype)
        self._arrays[output, name][number] = values

    def layers(self) -> list[LayerData]:
        """Return the layers, the mask last, so that it is on top; overlapping classes have one each."""
        found: list[LayerData] = []
        for output in reversed(OUTPUTS):
            for (kind, name), values in self._arrays.items():
                if kind == output:
                    shown = values.reshape(*self.stack.shape, *self.stack.size)
                    attributes = {"name": f"{output} {name}".strip(), **self._attributes(output, name)}
                    found.append((shown, attributes, "image" if output == UNCERTAINTY else "labels"))
        return found

    def _attributes(self, output: str, name: str) -> dict[str, Any]:
        if output == UNCERTAINTY:
            return {"colormap": "magma", "contrast_limits": (0.0, 1.0), "blending": "additive"}
        if output == OBJECTS:
            # Feature 0 is that of the background, which napari wants too.
            classes, areas = self._classes[name], self._areas[name]
            numbers = np.arange(len(classes) + 1)
            return {"features": {"index": numbers, "class": ["", *classes], "area": [0, *areas]}}
        labels = self.labels
        shown = range(len(labels.classes))
        if name:  # the mask of one of several classes that overlap: 1 where it is
            names, colours = ["", name], {1: labels.colours[labels.classes.index(name)]}
        else:
            names = list(labels.classes)
            colours = {index: labels.colours[index] for index in shown if index != labels.background}
        colormap: dict[int | None, Any] = {None: _TRANSPARENT, 0: _TRANSPARENT}
        colormap |= {index: (*(value / 255 for value in one), 1.0) for index, one in colours.items()}
        features = {"index": np.arange(len(names)), "class": names}
        return {"colormap": colormap, "features": features}
