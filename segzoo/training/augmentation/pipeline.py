"""Steps by name, one after the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import OptionError
from segzoo.interfaces import Sample
from segzoo.specs import IGNORED
from segzoo.training.augmentation.layers import Layers
from segzoo.training.augmentation.mixing import fitted
from segzoo.training.augmentation.step import Step, read_share, read_step, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        kinds: NDArray[np.int64] | None = None,
    ) -> Pair:
        """Return image and mask after one of the steps, or after none."""
        if scale is not None:
            image = scale(image)
        if not self.happens(random):
            return image, mask
        chosen = self.steps[int(random.integers(len(self.steps)))]
        return chosen.done(image, mask, random, ignore, colours, kinds=kinds)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size after it, if it is the same after every step."""
        sizes = {step.size_after(before) for step in self.steps}
        if self.probability < 1:
            sizes.add(before)
        return sizes.pop() if len(sizes) == 1 else None


@dataclass(frozen=True)
class Opened:
    """A sample before augmentation.

    Attributes:
        sample: its image ``(H, W, C)``, of the bands that the network takes; pixels that do not count are
            ignored in its mask.
        colours: which bands are colours, red, green and blue in this order where all are there: steps about
            colours change them alone. ``None`` if all are.
        scale: makes pixels of the image's values, value by value; of those alone that the first step leaves,
            where it is a crop. ``None`` if they are pixels already.
    """

    sample: Sample
    colours: Sequence[int] | None = None
    scale: Scale | None = None


@dataclass(frozen=True)
class Mixture:
    """A sample after augmentation.

    Attributes:
        sample: image, mask and instances.
        other: the sample that was blended in, whose masks have the rest of the loss; its image is of no use.
        share: of the loss that the sample's own masks have; 1 where there is no other.
    """

    sample: Sample
    other: Sample | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """What is done to image and mask together; `make_augmentation` makes one.

    Attributes:
        steps: in the order in which they are done.
        ignore_index: the mask's value for pixels that count for nothing, if there is one.
        background: class of pixels from outside the image, if one is background.
        labels: of the masks; steps that make one sample of two need them, and are left out where ``None``.
    """

    steps: tuple[Step, ...]
    ignore_index: int | None = None
    background: int | None = 0
    labels: Labels | None = None

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

    @property
    def uses_objects(self) -> bool:
        """Whether a step asks for the numbers of objects, where the data has them."""
        return any(step.uses_objects for step in self.steps)

    def __call__(
        self,
        image: Pixels,
        mask: Pixels,
        random: np.random.Generator,
        *,
        colours: Sequence[int] | None = None,
        scale: Scale | None = None,
    ) -> Pair:
        """Return an image and its mask after all steps but those that need a second image.

        Args:
            image: ``(H, W, C)`` of any number of bands: uint8, or float32 in which 1 is white; of any type
                where ``scale`` makes that of it.
            mask: ``(H, W)`` class indices, ``ignore_index`` where pixels count for nothing; or ``(K, H, W)``
                of classes that overlap, whose planes move together.
            random: decides everything.
            colours: see `Opened`.
            scale: see `Opened`.
        """
        made = self.mixture(Opened(Sample(image, mask, ""), colours, scale), random)
        return made.sample.image, made.sample.mask

    def mixture(
        self,
        opened: Opened,
        random: np.random.Generator,
        partner: Callable[[np.random.Generator], Opened] | None = None,
    ) -> Mixture:
        """Return a sample after all steps, in memory of its own; instances move with the mask.

        Args:
            opened: the sample.
            random: decides everything.
            partner: draws another sample of the data set by a generator, for steps that make one sample of
                two; they are left out where it or `labels` is ``None``.
        """
        made, begun = Mixture(opened.sample), 0
        for number, step in enumerate(self.steps):
            if not step.mixes:
                continue
            made = self._moved(made, self.steps[begun:number], opened, random)
            opened, begun = replace(opened, scale=None), number + 1
            # Masks of two images can share the loss of one, not of more.
            if partner and self.labels and made.other is None and step.happens(random):
                before = tuple(one for one in self.steps[:number] if not one.mixes)
                other = self._partner(partner(random), before, made.sample, random)
                sample, share = step.mixed(made.sample, other, random, self.labels)
                made = Mixture(sample, other if share < 1 else None, share)
        made = self._moved(made, self.steps[begun:], opened, random)
        sample = made.sample
        return replace(
            made,
            sample=replace(
                sample,
                image=_own(sample.image, opened.sample.image),
                mask=_own(sample.mask, opened.sample.mask),
            ),
        )

    def _partner(
        self, opened: Opened, steps: Sequence[Step], first: Sample, random: np.random.Generator
    ) -> Sample:
        """Return another sample after the same steps as the first, at the first's size."""
        made = self._moved(Mixture(opened.sample), steps, opened, random)
        height, width = first.image.shape[:2]
        return fitted(made.sample, (height, width), random)

    def _moved(
        self, made: Mixture, steps: Sequence[Step], opened: Opened, random: np.random.Generator
    ) -> Mixture:
        """Return a mixture after steps that move all its masks alike."""
        image, colours, scale = made.sample.image, opened.colours, opened.scale
        if not steps:
            image = image if scale is None else scale(image)
            return replace(made, sample=replace(made.sample, image=image))
        if colours is not None and tuple(colours) == tuple(range(image.shape[2])):
            colours = None
        samples = [made.sample] if made.other is None else [made.sample, made.other]
        layers = Layers(samples, self.ignore_index, self.background)
        classes = layers.index
        for step in steps:
            image, classes = step.done(image, classes, random, layers.ignore, colours, scale, layers.kinds)
            scale = None
        sample, *other = layers.moved(classes)
        return replace(made, sample=replace(sample, image=image), other=other[0] if other else None)


def augmentation_for(steps: Mapping[str, Mapping[str, Any]], labels: Labels) -> Augmentation:
    """Make an augmentation for masks with these labels; arguments and errors as those of `make_augmentation`.

    Where classes overlap, pixels from outside the image have none of them, or count for none.
    """
    overlapping = labels.overlapping
    made = make_augmentation(
        steps,
        ignore_index=IGNORED if overlapping else labels.ignore_index,
        background=0 if overlapping else labels.background,
    )
    for step in made.steps:
        step.check(labels)
    return replace(made, labels=labels)


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
    return Augmentation(tuple(made), ignore_index, background)


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
    steps = tuple(_make(f"{key}.{name}", name, its, ignore_index, background) for name, its in table.items())
    mixing = next((name for name, step in zip(table, steps, strict=True) if step.mixes), None)
    if mixing is not None:
        raise OptionError(
            f"{key} cannot choose {mixing}, which needs a second image: write [augment.{mixing}] beside it"
        )
    return OneOf(steps, probability)


def _own(pixels: Pixels, given: Pixels) -> Pixels:
    """Return pixels in C order that share no memory with those given."""
    if np.may_share_memory(pixels, given):
        return pixels.copy()
    return np.require(pixels, requirements=("C", "W"))
