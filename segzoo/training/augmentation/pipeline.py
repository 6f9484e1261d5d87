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
        pixels, classes, table, ignore = image, mask, None, self.ignore_index
        if mask.ndim == 3:
            # Each combination of classes is an index, so that all steps move planes as they move classes.
            classes, table = flattened(mask)
            ignore = len(table) - 1
        if colours is not None and tuple(colours) == tuple(range(image.shape[2])):
            colours = None
        for step in self.steps:
            pixels, classes = step.done(pixels, classes, random, ignore, colours, scale)
            scale = None
        if scale is not None:  # there is no step
            pixels = scale(pixels)
        if table is not None:
            classes = table.T[:, classes]
        return _own(pixels, image), _own(classes, mask)


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
