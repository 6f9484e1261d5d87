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
    """One of several steps, all equally likely; its own probability then decides whether it is applied.

    Attributes:
        steps: the steps to choose from.
        probability: probability of applying one of them.
    """

    steps: tuple[Step, ...]
    probability: float = 1.0

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
        """Return image and mask after one of the steps, or unchanged."""
        if scale is not None:
            image = scale(image)
        if not self.happens(random):
            return image, mask
        chosen = self.steps[int(random.integers(len(self.steps)))]
        return chosen.done(image, mask, random, ignore, colours, kinds=kinds)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size afterwards, if it is the same for every step."""
        sizes = {step.size_after(before) for step in self.steps}
        if self.probability < 1:
            sizes.add(before)
        return sizes.pop() if len(sizes) == 1 else None


@dataclass(frozen=True)
class Opened:
    """A sample before augmentation.

    Attributes:
        sample: its image ``(H, W, C)`` has the bands that the network takes; its mask ignores pixels that
            do not count.
        colours: indices of the colour bands, in the order red, green, blue if all exist: colour steps change
            only these. ``None`` if all bands are colours.
        scale: converts the image's values to pixels, value by value; if the first step is a crop, only what
            it leaves is converted. ``None`` if they are pixels already.
    """

    sample: Sample
    colours: Sequence[int] | None = None
    scale: Scale | None = None


@dataclass(frozen=True)
class Mixture:
    """A sample after augmentation.

    Attributes:
        sample: image, mask and instances.
        other: the sample that was blended in, whose masks have the rest of the loss; its image is not used.
        share: share of the loss for the sample's own masks; 1 if there is no other.
    """

    sample: Sample
    other: Sample | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of image and mask together; `make_augmentation` creates one.

    Attributes:
        steps: the steps, in the order in which they are applied.
        ignore_index: the mask's value for ignored pixels, if there is one.
        background: class of pixels from outside the image, if one is background.
        labels: labels of the masks; steps that combine two samples need them, and are skipped if ``None``.
    """

    steps: tuple[Step, ...]
    ignore_index: int | None = None
    background: int | None = 0
    labels: Labels | None = None

    @cached_property
    def size(self) -> Size | None:
        """Height and width of the output for images of any size; ``None`` if they vary."""
        return self.size_after(None)

    def size_after(self, before: Size | None) -> Size | None:
        """Return the height and width of the output for images of one size; ``None`` if they vary.

        Args:
            before: height and width of all images; ``None`` if they vary.
        """
        for step in self.steps:
            before = step.size_after(before)
        return before

    @property
    def of_colours(self) -> bool:
        """Whether a step changes colours."""
        every = (one for step in self.steps for one in (step.steps if isinstance(step, OneOf) else (step,)))
        return any(step.of_colours for step in every)

    @property
    def uses_objects(self) -> bool:
        """Whether a step uses the numbers of objects, if the data has them."""
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
        """Return an image and its mask after all steps, except those that need a second image.

        Args:
            image: ``(H, W, C)`` with any number of bands: uint8, or float32 in which 1 is white; any type if
                ``scale`` converts it.
            mask: ``(H, W)`` class indices, with ``ignore_index`` for ignored pixels; or ``(K, H, W)`` for
                classes that overlap, whose planes move together.
            random: source of all randomness.
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
            random: source of all randomness.
            partner: draws another sample of the dataset with a generator, for steps that combine two
                samples; these are skipped if it or `labels` is ``None``.
        """
        made, begun = Mixture(opened.sample), 0
        for number, step in enumerate(self.steps):
            if not step.mixes:
                continue
            made = self._moved(made, self.steps[begun:number], opened, random)
            opened, begun = replace(opened, scale=None), number + 1
            # The loss of one sample can be shared by two masks, not by more.
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
        """Return another sample after the same steps as the first, with the first's size."""
        made = self._moved(Mixture(opened.sample), steps, opened, random)
        height, width = first.image.shape[:2]
        return fitted(made.sample, (height, width), random)

    def _moved(
        self, made: Mixture, steps: Sequence[Step], opened: Opened, random: np.random.Generator
    ) -> Mixture:
        """Return a mixture after steps that move all its masks together."""
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
    """Create an augmentation for masks with these labels; see `make_augmentation`.

    If classes overlap, pixels from outside the image belong to no class, or are ignored.
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
    """Create an augmentation from the names and options of steps, in the order in which they are applied.

    To repeat a step, append a number to its name: ``blur_2``.

    Args:
        steps: options by name.
        ignore_index: the mask's value for ignored pixels, if there is one.
        background: the class of pixels from outside the image; if ``None``, no class is background, and
            such pixels are ignored.

    Raises:
        OptionError: there is no such step or option, or the value is not valid; the message names its key.
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
        raise OptionError(f"{key} is not a step: {registry.unknown(kind)}")
    step: Any = read_step(key, registry.get(kind), options)
    becomes_ignored = background is None and getattr(step, "outside", "") == "background"
    if background != 0 and getattr(step, "outside", "") == "background":
        step = replace(step, outside="ignore" if background is None else background)
    setting = step.ignores()
    if setting and ignore_index is None:
        if becomes_ignored:
            raise OptionError(
                f"{key}.{setting} = 'background' needs a background class, and the dataset has none: give "
                "its labels an ignore_index, such as 255, for pixels outside"
            )
        raise OptionError(
            f"{key}.{setting} = 'ignore' needs a value for ignored pixels, and the dataset has none: give "
            f"its labels an ignore_index, such as 255, or set another {key}.{setting}"
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
            f"{key} cannot contain {mixing}, which needs a second image: write [augment.{mixing}] next to it"
        )
    return OneOf(steps, probability)


def _own(pixels: Pixels, given: Pixels) -> Pixels:
    """Return pixels in C order that do not share memory with the given ones."""
    if np.may_share_memory(pixels, given):
        return pixels.copy()
    return np.require(pixels, requirements=("C", "W"))
