"""Steps that combine two samples: blending, cutting together, or pasting objects of one into the other.

The first sample's generator draws the second one from the dataset, which goes through the same steps up to
this one. If its size differs, a window of it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.labels import class_index
from segzoo.options import as_names
from segzoo.prediction.postprocessing import find_components
from segzoo.training.augmentation.sizes import at, mirrored
from segzoo.training.augmentation.step import Step, like, option, read_number, read_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.interfaces import Sample
    from segzoo.specs import Labels
    from segzoo.training.augmentation.step import Size


@dataclass(frozen=True)
class Mixing(Step):
    """A step that combines two samples of one size."""

    mixes = True


def _read_alpha(key: str, value: Any) -> float:
    return read_number(key, value, low=0.01, high=100)


@dataclass(frozen=True, kw_only=True)
class MixUp(Mixing):
    """Blends two images; the loss is that of both masks, in the same shares.

    Paper: Zhang et al., 2018, arXiv:1710.09412.

    Attributes:
        alpha: parameter of the Beta distribution of the shares: small values give images close to one of
            the two, 1 gives all shares equally.
        probability: probability of applying the step.
    """

    alpha: float = option(_read_alpha, 0.2)
    probability: float = option(read_share, 0.5)

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return the blend, and the share of the first sample."""
        del labels
        share = float(random.beta(self.alpha, self.alpha))
        weights = np.float32(share), np.float32(1 - share)
        image = like(first.image, weights[0] * first.image + weights[1] * second.image)
        return replace(first, image=image), share


@dataclass(frozen=True, kw_only=True)
class CutMix(Mixing):
    """Replaces a rectangle of one image and its mask by that of another.

    Paper: Yun et al., 2019, arXiv:1905.04899; for masks, French et al., 2020, arXiv:1906.01916.

    Attributes:
        alpha: parameter of the Beta distribution of the rectangle's share of the area: 1 is uniform.
        probability: probability of applying the step.
    """

    alpha: float = option(_read_alpha, 1.0)
    probability: float = option(read_share, 0.5)

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return the first sample with a rectangle of the second."""
        del labels
        side = float(random.beta(self.alpha, self.alpha)) ** 0.5
        inside = np.zeros(first.image.shape[:2], np.bool_)
        window = []
        for whole in inside.shape:
            # The centre may lie anywhere, and the part beyond the border is cut off.
            middle, half = random.integers(whole), round(whole * side / 2)
            window.append(slice(max(int(middle) - half, 0), int(middle) + half))
        inside[tuple(window)] = True
        return put(first, second, inside), 1.0


def _read_classes(key: str, value: Any) -> tuple[str | int, ...]:
    value = as_names(value) if isinstance(value, str) else value
    values = value if isinstance(value, list | tuple) else (value,)
    if not all(
        isinstance(one, str) or (isinstance(one, int) and not isinstance(one, bool)) for one in values
    ):
        raise OptionError(f"{key} must list names or numbers of classes, got {value!r}")
    return tuple(values)


@dataclass(frozen=True, kw_only=True)
class CopyPaste(Mixing):
    """Pastes some objects of another image, with their masks, at the same places.

    Objects are the data's instances if it has them, else connected components of foreground classes.

    Paper: Ghiasi et al., 2021, arXiv:2012.07177, which first scales both images by 0.1 to 2:
    ``augment.crop.scale``.

    Attributes:
        share: probability of pasting each object.
        classes: names or numbers of the classes whose objects are pasted, such as rare ones; all but
            background if empty.
        probability: probability of applying the step.
    """

    share: float = option(read_share, 0.5)
    classes: tuple[str | int, ...] = option(_read_classes, ())
    probability: float = option(read_share, 0.5)

    uses_objects = True

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return the first sample with objects of the second."""
        numbers = _objects(second, self._planes(second, labels))
        pasted = random.random(int(numbers.max(initial=0)) + 1) < self.share
        pasted[0] = False
        return put(first, second, pasted[numbers]), 1.0

    def check(self, labels: Labels) -> None:
        """Raise `OptionError` if a class is unknown, or if no class is background and none is named."""
        if not self.classes and labels.background is None and not labels.overlapping:
            raise OptionError(
                "augment.copy_paste.classes must name the classes that have objects, because none of the "
                f"data's classes is background: {', '.join(labels.classes)}"
            )
        try:
            for one in self.classes:
                class_index(labels, one)
        except OptionError as error:
            raise OptionError(f"augment.copy_paste.classes: {error}") from error

    def _planes(self, sample: Sample, labels: Labels) -> NDArray[Any]:
        """Return the class of each pixel that may belong to an object, from 1, and 0 elsewhere."""
        named = [class_index(labels, one) for one in self.classes]
        if labels.overlapping:
            planes = sample.mask[named] if named else sample.mask
            return (planes == 1).any(axis=0).astype(np.uint8)
        classes = sample.mask.astype(np.int64) + 1
        nothing = {labels.background, labels.ignore_index}
        there = np.isin(
            sample.mask, named or [one for one in range(len(labels.classes)) if one not in nothing]
        )
        return np.where(there, classes, 0)


def _objects(sample: Sample, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each pixel's object among those of some classes, 0 for no object."""
    if sample.instances is not None:
        numbers = np.where(classes > 0, sample.instances, 0)
        return np.unique(np.append(0, numbers), return_inverse=True)[1][1:].reshape(numbers.shape)
    found = find_components(classes)
    there = found.classes > 0
    return np.where(there, np.cumsum(there), 0)[found.numbers]


def put(first: Sample, second: Sample, inside: NDArray[np.bool_]) -> Sample:
    """Return the first sample with image, mask and instances of the second where ``inside`` is true."""
    instances = first.instances
    if instances is not None:
        others = np.int64(0) if second.instances is None else second.instances.astype(np.int64)
        # The numbers of the second sample's objects continue after the first's.
        others = np.where(others > 0, others + int(instances.max(initial=0)), 0)
        instances = np.where(inside, others, instances).astype(np.int32)
    return replace(
        first,
        image=np.where(inside[..., None], second.image, first.image),
        mask=np.where(inside, second.mask, first.mask),
        instances=instances,
    )


def fitted(sample: Sample, size: Size, random: np.random.Generator) -> Sample:
    """Return a random window of a sample, which is mirrored at its borders if it is too small."""
    if sample.image.shape[:2] == size:
        return sample
    rows, columns = (
        mirrored(whole, int(random.integers(min(0, whole - side), max(0, whole - side) + 1)), side)
        for whole, side in zip(sample.image.shape[:2], size, strict=True)
    )
    instances = None if sample.instances is None else at(sample.instances, rows, columns)
    return replace(
        sample,
        image=at(sample.image, rows, columns),
        mask=sample.mask[..., rows[:, None], columns],
        instances=instances,
    )
