"""Steps by name, one after the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import OptionError
from segzoo.labels import flattened
from segzoo.specs import IGNORED
from segzoo.training.augmentation.step import Step, read_share, read_step, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.specs import Labels
    from segzoo.training.augmentation.step import Pair, Pixels, Scale, Size


@dataclass(frozen=True)
class OneOf(Step):
    """One of several steps, each as likely; its own probability decides whether it is then done.

    Attributes:
        steps: to choose from.
        probability: how often one is done.
    """

    steps: tuple[Step, ...]
    probability: float = 1.0

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask after the step chosen."""
        return self.steps[int(random.integers(len(self.steps)))].done(image, mask, random, ignore)

    def done(
        self,
        image: Pixels,
        mask: Pixels,
        random: np.random.Generator,
        ignore: int | None,
        colours: Sequence[int] | None = None,
        scale: Scale | None = None,
    ) -> Pair:
        """Return image and mask after one of the steps, or after none."""
        if scale is not None:
            image = scale(image)
        if self.probability < 1 and random.random() >= self.probability:
            return image, mask
        return self.steps[int(random.integers(len(self.steps)))].done(image, mask, random, ignore, colours)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size after it, if it is the same after every step."""
        sizes = {step.size_after(before) for step in self.steps}
        if self.probability < 1:
            sizes.add(before)
        return sizes.pop() if len(sizes) == 1 else None


@dataclass(frozen=True)
class Augmentation:
    """What is done to image and mask together; `make_augmentation` makes one.

    Attributes:
        steps: in the order in which they are done.
        ignore_index: the mask's value for pixels that count for nothing, if there is one.
    """

    steps: tuple[Step, ...]
    ignore_index: int | None = None

    @cached_property
    def size(self) -> Size | None:
        """Height and width that come out of images of any size; ``None`` where they vary."""
        return self.size_after(None)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the height and width that come out of images of one size; ``None`` where they vary.

        Args:
            before: height and width of all images; ``None`` where they vary.
        """
        for step in self.steps:
            before = step.size_after(before)
        return before

    @property
    def of_colours(self) -> bool:
        """Whether a step is about colours."""
        every = (one for step in self.steps for one in (step.steps if isinstance(step, OneOf) else (step,)))
        return any(step.of_colours for step in every)

    def __call__(
        self,
        image: Pixels,
        mask: Pixels,
        random: np.random.Generator,
        *,
        colours: Sequence[int] | None = None,
        scale: Scale | None = None,
    ) -> Pair:
        """Return an image and its mask after all steps, in memory of their own.

        Args:
            image: ``(H, W, C)`` of any number of bands: uint8, or float32 in which 1 is white; of any type
                where ``scale`` makes that of it.
            mask: ``(H, W)`` uint8 class indices, ``ignore_index`` where pixels count for nothing; or
                ``(K, H, W)`` of classes that overlap, whose planes move together.
            random: decides everything.
            colours: which bands are colours, red, green and blue in this order where all are there: steps
                about colours change them alone. ``None`` if all are.
            scale: makes pixels of the image's values, value by value; of those alone that the first step
                leaves, where it is a crop. ``None`` if they are pixels already.
        """
        if mask.ndim == 2:
            pixels, classes = self._done(image, mask, random, self.ignore_index, colours, scale)
            return _own(pixels, image), _own(classes, mask)
        # Each combination of classes is an index, so that all steps move planes as they move classes.
        classes, table = flattened(mask)
        pixels, classes = self._done(image, classes, random, len(table) - 1, colours, scale)
        return _own(pixels, image), _own(table.T[:, classes], mask)

    def with_objects(
        self,
        image: Pixels,
        mask: Pixels,
        objects: Pixels,
        random: np.random.Generator,
        *,
        labels: Labels,
        colours: Sequence[int] | None = None,
        scale: Scale | None = None,
    ) -> tuple[Pixels, Pixels, Pixels]:
        """Return an image, its mask and its objects after all steps, in memory of their own.

        Image and mask are those of a call.

        Args:
            image: as that of a call.
            mask: ``(H, W)`` class indices, as that of a call.
            objects: ``(H, W)``: 0 for none, else the number of the object.
            random: decides everything.
            labels: of the mask.
            colours: as those of a call.
            scale: as that of a call.
        """
        # Each pair of class and object is an index, so that all steps move objects as they move classes.
        pairs, table = paired(mask, objects, labels)
        pixels, pairs = self._done(image, pairs, random, len(table) - 1, colours, scale)
        classes, numbers = table.T[:, pairs]
        return _own(pixels, image), classes.astype(mask.dtype), numbers

    def _done(
        self,
        pixels: Pixels,
        indices: Pixels,
        random: np.random.Generator,
        ignore: int | None,
        colours: Sequence[int] | None,
        scale: Scale | None,
    ) -> Pair:
        if colours is not None and tuple(colours) == tuple(range(pixels.shape[2])):
            colours = None
        for step in self.steps:
            pixels, indices = step.done(pixels, indices, random, ignore, colours, scale)
            scale = None
        return pixels if scale is None else scale(pixels), indices


def augmentation_for(steps: Mapping[str, Mapping[str, Any]], labels: Labels) -> Augmentation:
    """Make an augmentation for masks with these labels; arguments and errors as those of `make_augmentation`.

    Where classes overlap, pixels from outside the image have none of them, or count for none.
    """
    if labels.overlapping:
        return make_augmentation(steps, ignore_index=IGNORED)
    return make_augmentation(steps, ignore_index=labels.ignore_index, background=labels.background)


def make_augmentation(
    steps: Mapping[str, Mapping[str, Any]], *, ignore_index: int | None, background: int | None = 0
) -> Augmentation:
    """Make an augmentation of steps by name with their options, in the order in which they are done.

    A step that is done twice has a number after its name the second time: ``blur_2``.

    Args:
        steps: options by name.
        ignore_index: the mask's value for pixels that count for nothing, if there is one.
        background: the class of pixels from outside the image; ``None`` if every class is something: then
            such pixels count for nothing.

    Raises:
        OptionError: there is no such step or option, or not with that value; the text names its key.
    """
    made = []
    for name, options in read_table("augment", steps).items():
        made.append(_make(f"augment.{name}", name, options, ignore_index, background))
    return Augmentation(tuple(made), ignore_index)


def _make(key: str, name: str, options: Any, ignore_index: int | None, background: int | None) -> Step:
    registry = zoo.registry("augmentations")
    kind = name if name in registry else re.sub(r"_\d+$", "", name)
    if kind == "one_of":
        return _one_of(key, options, ignore_index, background)
    if kind not in registry:
        raise OptionError(f"{key} is no step: {registry.unknown(kind)}")
    step: Any = read_step(key, registry.get(kind), options)
    becomes_ignored = background is None and getattr(step, "outside", "") == "background"
    if background != 0 and getattr(step, "outside", "") == "background":
        step = replace(step, outside="ignore" if background is None else background)
    setting = step.ignores()
    if setting and ignore_index is None:
        if becomes_ignored:
            raise OptionError(
                f"{key}.{setting} = 'background' needs a class that is background, and every class of the"
                " data set is something: give its labels an ignore_index, such as 255, for pixels outside"
            )
        raise OptionError(
            f"{key}.{setting} = 'ignore' needs a value for pixels that count for nothing, and the data set"
            f" has none: give its labels an ignore_index, such as 255, or set another {key}.{setting}"
        )
    return step


def _one_of(key: str, options: Any, ignore_index: int | None, background: int | None) -> Step:
    table = dict(read_table(key, options))
    probability = read_share(f"{key}.probability", table.pop("probability", 1.0))
    if not table:
        raise OptionError(f"{key} must name the steps to choose from, such as [{key}.brightness]")
    steps = (_make(f"{key}.{name}", name, its, ignore_index, background) for name, its in table.items())
    return OneOf(tuple(steps), probability)


def _own(pixels: Pixels, given: Pixels) -> Pixels:
    """Return pixels in C order that share no memory with those given."""
    if np.may_share_memory(pixels, given):
        return pixels.copy()
    return np.require(pixels, requirements=("C", "W"))


def paired(
    mask: NDArray[Any], objects: NDArray[Any], labels: Labels
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return class and object of each pixel as one index, by which steps for class indices can move both.

    Args:
        mask: ``(H, W)`` class indices.
        objects: ``(H, W)``: 0 for none, else the number of the object.
        labels: of the mask.

    Returns:
        Indices ``(H, W)``, uint8 or uint16, and what each stands for, ``(pairs, 2)``: its class and its
        object. The index of a class is that of its pixels without an object, the last index is for pixels
        that count for nothing. ``table.T[:, indices]`` are mask and objects again.

    Raises:
        OptionError: there are more pairs than 16 bits can number.
    """
    classes, ignored = len(labels.classes), labels.ignore_index
    numbers, known = _ranked(objects)
    first = int(numbers[0] == 0)
    counted = mask < classes
    # Without an object, a pair's number is that of its class.
    codes = np.where(counted, mask, 0) + classes * np.where(counted, known + 1 - first, 0).astype(np.int64)
    occurs = np.bincount(codes.ravel(), minlength=classes) > 0
    occurs[:classes] = True
    pairs = np.flatnonzero(occurs)
    if len(pairs) >= 1 << 16:
        raise OptionError(
            f"{len(pairs):,} objects are in one image; 65,535 are the most that can be told apart"
        )
    places = np.append(0, numbers[first:])
    table = np.stack([pairs % classes, places[pairs // classes]], axis=1)
    table = np.append(table, [[0 if ignored is None else ignored, 0]], axis=0).astype(np.int32)
    indices = np.where(counted, (np.cumsum(occurs) - 1)[codes], len(pairs))
    return indices.astype(np.uint8 if len(table) <= 256 else np.uint16), table


def _ranked(objects: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the numbers that occur, from the least, and which of them each pixel has."""
    if int(objects.max()) >= 1 << 20:
        numbers, known = np.unique(objects, return_inverse=True)
        return numbers, known.reshape(objects.shape)
    # Many times as fast as sorting.
    occurs = np.bincount(objects.ravel()) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[objects]
