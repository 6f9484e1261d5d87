"""A prediction with its ground truth, which metrics score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from segzoo import zoo
from segzoo.build import make_metric
from segzoo.errors import FailureError, MissingExtraError, OptionError
from segzoo.images import displayed
from segzoo.printing import bar
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, ImageInfo, Metric
    from segzoo.specs import Labels, MetricSpec


#: A prediction with its ground truth, or its counts.
Case = TypeVar("Case")


@dataclass(frozen=True)
class ScoredSample:
    """A prediction and its ground truth.

    Attributes:
        name: name of the image in its dataset.
        prediction: ``(H, W)`` uint8 class indices, or ``(K, H, W)`` if classes overlap.
        target: ground truth in the same form, with ``labels.ignore_index`` for ignored pixels; 255 if classes
            overlap.
        image: ``(H, W)`` or ``(H, W, C)``, for pictures; ``None`` if only masks are known.
        valid: ``(H, W)`` field of view; ``None`` if every pixel counts.
        probabilities: ``(num_classes, H, W)``, or ``(1, H, W)`` of class 1.
        instances: predicted and true objects, ``(H, W)`` each, 0 for background; ``None`` if unknown.
        info: metadata of the image's file.
        bands: bands of the image that pictures show, by number from 1 or by name, if some were chosen.
    """

    name: str
    prediction: NDArray[np.uint8]
    target: NDArray[np.uint8]
    image: NDArray[Any] | None = field(default=None, repr=False)
    valid: NDArray[np.bool_] | None = field(default=None, repr=False)
    probabilities: NDArray[np.float32] | None = field(default=None, repr=False)
    instances: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = field(default=None, repr=False)
    info: ImageInfo | None = field(default=None, repr=False)
    bands: tuple[str, ...] = field(default=(), repr=False)

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The image as shown to people, ``(H, W, 3)``; see `segzoo.images.displayed`."""
        return None if self.image is None else displayed(self.image, self.info, bands=self.bands)

    def __post_init__(self) -> None:
        for what, mask in (("ground truth", self.target), ("field of view", self.valid)):
            if mask is not None and mask.shape != self.prediction.shape[-mask.ndim :]:
                raise FailureError(
                    f"{self.name}: the prediction has size {size(self.prediction)}, but the {what} "
                    f"{size(mask)} (height x width): score masks of the image's size, or resize with "
                    "nearest-neighbour interpolation"
                )

    def counted(self, labels: Labels) -> NDArray[np.bool_]:
        """Return ``(H, W)``: which pixels are neither ignored nor outside the field of view.

        If classes overlap, pixels that count for at least one of them.
        """
        size = self.target.shape[-2:]
        counted = np.ones(size, np.bool_) if self.valid is None else self.valid.astype(np.bool_)
        if labels.overlapping:
            return counted & (self.target != IGNORED).any(axis=0)
        return counted if labels.ignore_index is None else counted & (self.target != labels.ignore_index)


class NamedMetric:
    """A registered metric: its requirements, and any number of counters.

    Args:
        name: name as registered.
        labels: labels of the masks.

    Raises:
        UnknownNameError: no metric has that name.
    """

    def __init__(self, name: str, labels: Labels) -> None:
        self.spec: MetricSpec = zoo.registry("metrics").get(name)
        self.name = name
        self._labels = labels

    def fresh(self) -> Metric:
        """Return an empty counter."""
        return make_metric(self.name, self._labels)

    def needs(self, what: str) -> bool:
        """Whether the metric needs ``what``: ``probabilities`` or ``instances``."""
        return what in getattr(self.spec, "needs", ())

    @property
    def is_light(self) -> bool:
        """Whether a counter is small and merges fast; one of probabilities may hold every pixel's value."""
        return not self.needs("probabilities")

    def count(self, counter: Metric, case: ScoredSample) -> None:
        """Count one case.

        Raises:
            OptionError: the metric cannot count it; the message names the image.
        """
        given: dict[str, Any] = {"valid": case.valid}
        for what in ("probabilities", "instances"):
            if self.needs(what):
                given[what] = getattr(case, what)
        try:
            # A metric that needs only masks may not accept other keywords.
            counter.update(case.prediction, case.target, **{k: v for k, v in given.items() if v is not None})
        except OptionError as error:
            raise OptionError(f"{self.name} of {case.name}: {error}") from error


def named_metrics(names: Sequence[str], labels: Labels) -> list[NamedMetric]:
    """Return metrics by name, without duplicates.

    Raises:
        UnknownNameError: no metric has one of the names.
        OptionError: no name was given.
    """
    if not names:
        raise OptionError("name at least one metric; `segzoo list metrics` shows all")
    return [NamedMetric(name, labels) for name in dict.fromkeys(names)]


def sample_names(dataset: Dataset) -> list[str]:
    """Return the names of all samples; a dataset that does not list them is read completely."""
    names = getattr(dataset, "names", None)
    if isinstance(names, list | tuple) and len(names) == len(dataset):
        return list(names)
    return [dataset[index].name for index in range(len(dataset))]


def every_case(
    count: int, case: Callable[[int], Case], *, progress: bool, unscored: list[str] | None
) -> Iterator[Case]:
    """Yield the case of every index, with a progress bar.

    Args:
        count: number of cases.
        case: returns the case of an index.
        progress: whether to show the progress bar, on a terminal only.
        unscored: if given, cases with unreadable files, or that do not fit in memory, are left out and the
            reasons are added to this list.

    Raises:
        FailureError: a file cannot be read, and ``unscored`` is not given or every case fails.
        MissingExtraError: the same, if reading the file needs an extra that is not installed.
    """
    first: FailureError | MissingExtraError | None = None
    done = 0
    for index in bar(range(count), what="evaluate", unit="image", shown=None if progress else False):
        try:
            found = case(index)
        except (FailureError, MissingExtraError) as error:
            if unscored is None:
                raise
            unscored.append(str(error))
            first = first or error
            continue
        done += 1
        yield found
    if first is not None and not done:
        raise first


def size(array: NDArray[Any]) -> str:
    """Return the shape of an array as text, such as 480x640."""
    return "x".join(map(str, array.shape))
