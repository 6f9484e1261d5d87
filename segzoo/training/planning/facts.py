"""What a plan knows about the data, measured on the images that train and validate.

The data doctor's survey reads the images, from the data sets that the training itself opens. Test parts are
not looked at.
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
from segzoo.datasets.sampling import evenly_spread
from segzoo.datasets.subset import Subset
from segzoo.errors import FailureError, MissingExtraError, OptionError
from segzoo.options import listed, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segzoo.data_check.extents import ObjectFacts
    from segzoo.data_check.facts import ImageFacts
    from segzoo.data_check.survey import Look
    from segzoo.interfaces import Dataset
    from segzoo.specs import Labels

#: Most images that are looked at of those that train, and of those that validate; evenly spread.
LOOKED_AT = 200
#: Fewest images with a class that can show which way is up.
_EVIDENCE = 8
#: Images have colours where red, green and blue differ by more than this mean, in levels of 255.
_TINTED = 4.0
#: Most unreadable files that an error names.
_NAMED = 2
#: Lines are thinner than this, in pixels, and their area is more than this multiple of their squared width;
#: that of a disc is 5.
_LINE, _LONG = 12.0, 40.0


@dataclass(frozen=True, kw_only=True)
class Asymmetry:
    """How much more of a class, or of brightness, one half of the images has than the other.

    Attributes:
        what: the class, or ``brightness``.
        share: mean over images of (one half - other half) / (both halves), from -1 to 1.
        steady: that mean divided by its standard error.
        images: how many images the mean is of.
    """

    what: str
    share: float
    steady: float
    images: int


@dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """What the masks show of one class.

    Attributes:
        name: the class.
        background: whether it stands for nothing of interest.
        share: its share of the pixels of all classes.
        images: how many images it occurs in.
        objects: how many objects were measured: connected components, or numbered objects.
        side: side of a square of the typical object's area, in pixels; 0 where there is none. Half of the
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
    """What the images that train show, and how many images validate.

    Attributes:
        training: how many images train.
        validation: how many validate.
        looked_at: how many of those that train were looked at.
        sizes: heights and widths of those.
        channels: input channels of a network for them: 3 for grey and colour images, else the number of bands
            without opacity.
        grey: whether all of them are grey.
        tinted: whether they have colours.
        dtypes: types of their values.
        intensity: the intensity rule that values without a scale need; empty where they have a scale.
        levels: lowest and highest mean level of an image, from 0 to 1; empty where values have no scale.
        reach: 10th and 90th percentile, over 8-bit images, of an image's highest value, from 0 to 1; 1 where
            there are no such images.
        every: facts of each class, background included.
        missing: names of classes that no image that trains has.
        touching: share of the numbered objects that touch another of their class; 0 where none has a number.
        numbered: how many numbered objects there are.
        up: what differs between the upper and the lower half of images, the most first.
        left: what differs between the left and the right half.
        twins: pairs of almost the same image, one of which trains and the other validates.
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
        """Every class but the background."""
        return tuple(one for one in self.every if not one.background)

    @property
    def thin(self) -> tuple[ClassFacts, ...]:
        """The classes that are lines, the thinnest first."""
        return tuple(sorted((one for one in self.every if one.thin), key=lambda one: one.width))

    @property
    def foreground(self) -> float:
        """Share of the pixels that have a class but the background."""
        return sum(one.share for one in self.classes)


def look_at_data(training: Dataset, validation: Dataset, *, progress: bool = False) -> DataFacts:
    """Measure what the images that train and validate show.

    Args:
        training: the images that train.
        validation: the images that validate.
        progress: whether to show a bar.

    Raises:
        FailureError: an image or mask cannot be read.
        OptionError: there is no pixel of any class but one.
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
            f"the images have different numbers of bands ({told_counts}): name those that all have, as in "
            "data.bands=1,2,3"
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
    """Return a data set of at most `LOOKED_AT` images, evenly spread."""
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
        f"{many(len(bad), 'image')} with masks cannot be read ({told}): `segzoo data check DIR` tells more, "
        "and writes a copy without what is damaged (--fix OUT)"
    )


def _check_classes(present: Sequence[int], labels: Labels) -> None:
    """Raise `OptionError` where the masks hold fewer classes than training needs."""
    there = [name for name, count in zip(labels.classes, present, strict=False) if count]
    if len(there) >= (1 if labels.overlapping else 2):
        return
    what = f"every pixel that trains is {there[0]!r}" if there else "no pixel that trains has a class"
    raise OptionError(
        f"{what}, of the classes {listed(labels.classes, _NAMED)}: a network learns nothing from that. Look "
        "at the masks with `segzoo data check`; other values than these are named as in data.values=0,255"
    )


def _counted(images: Sequence[ImageFacts]) -> list[tuple[int, int]]:
    """Return how many images have each number of bands, the most frequent first."""
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
    """Return what masks show of each class, in the windows that were measured."""
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
    """Return what differs between two halves of the images, the most first."""
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
