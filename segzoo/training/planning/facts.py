"""The facts about the data that a plan uses, measured on training and validation images.

The survey of the data check reads the images, from the datasets that training itself opens. Test parts are
not read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from segzoo.data_check.check import network_options
from segzoo.data_check.survey import look_at_samples
from segzoo.data_check.twins import near_copies
from segzoo.datasets.subset import Subset, evenly_spread
from segzoo.errors import FailureError, MissingExtraError, OptionError
from segzoo.options import listed, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.data_check.extents import ObjectFacts
    from segzoo.data_check.facts import ImageFacts
    from segzoo.data_check.survey import Look
    from segzoo.interfaces import Dataset
    from segzoo.specs import Labels

#: Most images that are measured, of the training and of the validation part; evenly spread.
LOOKED_AT = 200
#: Fewest images with a class that can show an up or a down.
_EVIDENCE = 8
#: Images have colours if red, green and blue differ by more than this on average, in levels of 255.
_TINTED = 4.0
#: Most unreadable files that an error names.
_NAMED = 2
#: Lines are thinner than this, in pixels, and their area is more than this multiple of their squared width
#: (5 for a disc).
_LINE, _LONG = 12.0, 40.0


@dataclass(frozen=True, kw_only=True)
class Asymmetry:
    """How much more of a class, or of brightness, one half of the images has than the other half.

    Attributes:
        what: the class, or ``brightness``.
        share: mean over images of (one half - other half) / (both halves), from -1 to 1.
        steady: that mean divided by its standard error.
        images: number of images in the mean.
    """

    what: str
    share: float
    steady: float
    images: int


@dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """Measurements of one class in the masks.

    Attributes:
        name: name of the class.
        background: whether it is the background.
        share: its share of the pixels of all classes.
        images: number of images in which it occurs.
        objects: number of measured objects: connected components, or numbered objects.
        side: side of a square with the typical object's area, in pixels; 0 without objects. Half of the
            class's pixels lie in smaller objects, so that many small specks do not make it small.
        width: mean thickness in pixels: twice the area divided by the length of the outline.
        thin: whether it consists of lines: its objects are far longer than thick.
    """

    name: str
    background: bool
    share: float
    images: int
    objects: int
    side: float
    width: float
    thin: bool


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Measurements of the training images, and the number of validation images.

    Attributes:
        training: number of training images.
        validation: number of validation images.
        looked_at: number of training images that were measured.
        sizes: their heights and widths.
        channels: input channels of a network for them: 3 for grey and colour images, else the number of bands
            without opacity.
        grey: whether all of them are grey.
        tinted: whether they have colours.
        dtypes: data types of their values.
        intensity: the intensity rule for values without a fixed scale; empty if they have one.
        levels: lowest and highest mean level of an image, from 0 to 1; empty if values have no fixed scale.
        reach: 10th and 90th percentile, over 8-bit images, of an image's highest value, from 0 to 1; 1 if
            there are no such images.
        every: facts about each class, including background.
        missing: names of classes that no training image has.
        touching: share of the numbered objects that touch another of their class; 0 if objects have no
            numbers.
        numbered: number of numbered objects.
        up: differences between the upper and the lower half of images, largest first.
        left: differences between the left and the right half, largest first.
        twins: pairs of nearly identical images, one for training and one for validation.
    """

    training: int
    validation: int
    looked_at: int
    sizes: tuple[tuple[int, int], ...]
    channels: int
    grey: bool
    tinted: bool
    dtypes: tuple[str, ...]
    intensity: str
    levels: tuple[float, float] | tuple[()]
    reach: tuple[float, float]
    every: tuple[ClassFacts, ...]
    missing: tuple[str, ...]
    touching: float
    numbered: int
    up: tuple[Asymmetry, ...]
    left: tuple[Asymmetry, ...]
    twins: int

    @property
    def short(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(np.median([min(size) for size in self.sizes]))

    @property
    def classes(self) -> tuple[ClassFacts, ...]:
        """Every class except the background."""
        return tuple(one for one in self.every if not one.background)

    @property
    def thin(self) -> tuple[ClassFacts, ...]:
        """The classes that are lines, thinnest first."""
        return tuple(sorted((one for one in self.every if one.thin), key=lambda one: one.width))

    @property
    def foreground(self) -> float:
        """Share of the pixels that are not background."""
        return sum(one.share for one in self.classes)


def look_at_data(training: Dataset, validation: Dataset, *, progress: bool = False) -> DataFacts:
    """Measure the training and validation images.

    Args:
        training: the training images.
        validation: the validation images.
        progress: whether to show a progress bar.

    Raises:
        FailureError: an image or mask cannot be read.
        OptionError: the masks have pixels of at most one class.
    """
    parts = {"train": _some(training), "val": _some(validation)}
    looks = look_at_samples(parts, sample=2 * LOOKED_AT, progress=progress, objects=True)
    _check_readable(looks)
    seen = [look for look in looks if look.split == "train"]
    found = [look.objects for look in seen if look.objects is not None]
    every = tuple(_classes(found, training.labels))
    _check_classes([one.images for one in every], training.labels)
    images = [look.image for look in seen]
    told = {key: value for key, _, value in (word.partition("=") for word in network_options(images))}
    channels = {image.channels for image in images}
    if len(channels) > 1:
        told_counts = ", ".join(f"{count} images with {one}" for one, count in _counted(images))
        raise OptionError(
            f"the images have different numbers of bands ({told_counts}): choose bands that all have, such "
            "as data.bands=1,2,3"
        )
    means = [np.mean([band.mean for band in image.taken]) for image in images if image.taken]
    scaled = [float(mean) for mean in means if np.isfinite(mean)]
    numbered = sum(one.numbered for one in found)
    pairs = near_copies([look.image.sketch for look in looks])
    return DataFacts(
        training=len(training),
        validation=len(validation),
        looked_at=len(seen),
        sizes=tuple(image.size for image in images),
        channels=channels.pop(),
        grey=all(len(image.names) == 1 for image in images),
        tinted=float(np.median([image.tint for image in images])) > _TINTED,
        dtypes=tuple(dict.fromkeys(image.dtype for image in images)),
        intensity=told.get("data.intensity", ""),
        levels=(min(scaled), max(scaled)) if len(scaled) == len(images) else (),
        reach=_reach(seen),
        every=every,
        missing=tuple(one.name for one in every if not one.images and not one.background),
        touching=sum(one.touching for one in found) / numbered if numbered else 0.0,
        numbered=numbered,
        up=tuple(_asymmetries(seen, training.labels, (0, 1), (2, 3), axis=0)),
        left=tuple(_asymmetries(seen, training.labels, (0, 2), (1, 3), axis=1)),
        twins=sum(looks[one].split != looks[other].split for one, other in pairs),
    )


def _some(dataset: Dataset) -> Dataset:
    """Return a dataset of at most `LOOKED_AT` evenly spread images."""
    if len(dataset) <= LOOKED_AT:
        return dataset
    return Subset([dataset], [(0, index) for index in evenly_spread(len(dataset), LOOKED_AT)])


def _check_readable(looks: Sequence[Look]) -> None:
    bad = [look for look in looks if not look.readable]
    if not bad:
        return
    told = listed([f"{look.name}: {look.image.problem or look.mask.problem}" for look in bad], _NAMED)
    extra = next(
        (look.image.extra or look.mask.extra for look in bad if look.image.extra or look.mask.extra), ""
    )
    if extra:
        raise MissingExtraError(told)
    raise FailureError(
        f"{many(len(bad), 'image')} with masks cannot be read ({told}): `segzoo data check DIR` lists all of "
        "them, and writes a copy without damaged files (--fix OUT)"
    )


def _check_classes(present: Sequence[int], labels: Labels) -> None:
    """Raise `OptionError` if the masks hold fewer classes than training needs."""
    there = [name for name, count in zip(labels.classes, present, strict=False) if count]
    if len(there) >= (1 if labels.overlapping else 2):
        return
    what = f"all training pixels are {there[0]!r}" if there else "no training pixel has a class"
    raise OptionError(
        f"{what}, of the classes {listed(labels.classes, _NAMED)}: a network cannot learn from that. Check "
        "the masks with `segzoo data check`; name other values with an option, such as data.values=0,255"
    )


def _counted(images: Sequence[ImageFacts]) -> list[tuple[int, int]]:
    """Return how many images have each number of bands, the most frequent number first."""
    return Counter(image.channels for image in images).most_common()


def _reach(looks: Sequence[Look]) -> tuple[float, float]:
    """Return `DataFacts.reach`: how much of their range 8-bit images use."""
    highs = [
        max(band.high for band in look.image.taken) / 255
        for look in looks
        if look.image.taken and look.image.dtype == "uint8"
    ]
    low, high = np.quantile(highs, (0.1, 0.9)) if highs else (1.0, 1.0)
    return float(low), float(high)


def _classes(objects: Sequence[ObjectFacts], labels: Labels) -> list[ClassFacts]:
    """Return measurements of each class, from the measured windows of the masks."""
    total = sum(sum(one.pixels.values()) for one in objects)
    kinds = np.concatenate([one.classes for one in objects])
    areas = np.concatenate([one.areas for one in objects])
    found = []
    for index, name in enumerate(labels.classes):
        mine = areas[kinds == index]
        edges = sum(one.edges.get(index, 0) for one in objects)
        pixels = sum(one.pixels.get(index, 0) for one in objects)
        width = 2 * pixels / edges if edges else 0.0
        ordered = np.sort(mine)
        typical = float(ordered[np.searchsorted(ordered.cumsum(), mine.sum() / 2)]) if len(mine) else 0.0
        found.append(
            ClassFacts(
                name=name,
                background=index == labels.background,
                share=pixels / total if total else 0.0,
                images=sum(index in one.pixels for one in objects),
                objects=len(mine),
                side=sqrt(typical),
                width=width,
                thin=0 < width < _LINE and typical > _LONG * width**2,
            )
        )
    return found


def _asymmetries(
    looks: Sequence[Look], labels: Labels, one: tuple[int, int], other: tuple[int, int], *, axis: int
) -> list[Asymmetry]:
    """Return the differences between two halves of the images, largest first."""
    differences: dict[str, list[float]] = {}
    for look in looks:
        quarters: Mapping[int, tuple[float, ...]] = {} if look.objects is None else look.objects.quarters
        for index, shares in quarters.items():
            first, second = (sum(shares[place] for place in side) for side in (one, other))
            differences.setdefault(labels.classes[index], []).append((first - second) / (first + second))
        if look.image.sketch is not None and look.image.tint > _TINTED:
            halves = np.array_split(look.image.sketch.astype(np.float64), 2, axis=axis)
            first, second = (float(half.mean()) + 1 for half in halves)
            differences.setdefault("brightness", []).append((first - second) / (first + second))
    found = []
    for what, values in differences.items():
        if len(values) >= _EVIDENCE:
            error = float(np.std(values, ddof=1)) / sqrt(len(values))
            mean = float(np.mean(values))
            steady = abs(mean) / max(error, 1e-6)
            found.append(Asymmetry(what=what, share=mean, steady=steady, images=len(values)))
    return sorted(found, key=lambda each: -abs(each.share))
