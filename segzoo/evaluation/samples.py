"""What is scored: one prediction with its truth."""

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


#: A prediction with its truth, or what was counted of it.
Case = TypeVar("Case")


@dataclass(frozen=True)
class ScoredSample:
    """A prediction and its truth.

    Attributes:
        name: of the image in its data set.
        prediction: ``(H, W)`` uint8 class indices, or ``(K, H, W)`` where classes overlap.
        target: likewise, or ``labels.ignore_index``; 255 where classes overlap.
        image: ``(H, W)`` or ``(H, W, C)``, for pictures; ``None`` where only masks are known.
        valid: ``(H, W)`` field of view; ``None`` where everything counts.
        probabilities: ``(num_classes, H, W)``, or ``(1, H, W)`` of class 1.
        instances: predicted and true objects, ``(H, W)`` each, 0 for none; ``None`` where unknown.
        info: the metadata of the image's file.
        bands: which bands of the image pictures show, by number from 1 or by name, where some were chosen.
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
        """The image as people can see it, ``(H, W, 3)``; see `segzoo.images.displayed`."""
        return None if self.image is None else displayed(self.image, self.info, bands=self.bands)

    def __post_init__(self) -> None:
        for what, mask in (("truth", self.target), ("field of view", self.valid)):
            if mask is not None and mask.shape != self.prediction.shape[-mask.ndim :]:
                raise FailureError(
                    f"{self.name}: the prediction is {size(self.prediction)}, the {what} {size(mask)} "
                    "(height x width): score masks of the image's own size, or resize them with nearest"
                )

    def counted(self, labels: Labels) -> NDArray[np.bool_]:
        """Return ``(H, W)``: which pixels are neither ignored nor outside the field of view.

        Where classes overlap, those that count for any of them.
        """
        size = self.target.shape[-2:]
        counted = np.ones(size, np.bool_) if self.valid is None else self.valid.astype(np.bool_)
        if labels.overlapping:
            return counted & (self.target != IGNORED).any(axis=0)
        return counted if labels.ignore_index is None else counted & (self.target != labels.ignore_index)


class NamedMetric:
    """A registered metric: what it needs, and as many counters of it as are wanted.

    Args:
        name: as registered.
        labels: of the masks.

    Raises:
        UnknownNameError: no metric has that name.
    """

    def __init__(self, name: str, labels: Labels) -> None:
        self.spec: MetricSpec = zoo.registry("metrics").get(name)
        self.name = name
        self._labels = labels

    def fresh(self) -> Metric:
        """Return a counter that has counted nothing."""
        return make_metric(self.name, self._labels)

    def needs(self, what: str) -> bool:
        """Say whether the metric asks for ``probabilities`` or ``instances``."""
        return what in getattr(self.spec, "needs", ())

    @property
    def is_light(self) -> bool:
        """Whether a counter is small and quickly merged; one of probabilities may hold every pixel's."""
        return not self.needs("probabilities")

    def count(self, counter: Metric, case: ScoredSample) -> None:
        """Let a counter count one case.

        Raises:
            OptionError: the metric cannot; the text names the image.
        """
        given: dict[str, Any] = {"valid": case.valid}
        for what in ("probabilities", "instances"):
            if self.needs(what):
                given[what] = getattr(case, what)
        try:
            # A metric of masks alone may know no other keyword.
            counter.update(case.prediction, case.target, **{k: v for k, v in given.items() if v is not None})
        except OptionError as error:
            raise OptionError(f"{self.name} of {case.name}: {error}") from error


def named_metrics(names: Sequence[str], labels: Labels) -> list[NamedMetric]:
    """Return metrics by name, each once.

    Raises:
        UnknownNameError: no metric has one of the names.
        OptionError: there is no name.
    """
    if not names:
        raise OptionError("name at least one metric; `segzoo list metrics` shows all")
    return [NamedMetric(name, labels) for name in dict.fromkeys(names)]


def sample_names(dataset: Dataset) -> list[str]:
    """Return the names of all samples; a data set that does not list them is read through."""
    names = getattr(dataset, "names", None)
    if isinstance(names, list | tuple) and len(names) == len(dataset):
        return list(names)
    return [dataset[index].name for index in range(len(dataset))]


def every_case(
    count: int, case: Callable[[int], Case], *, progress: bool, unscored: list[str] | None
) -> Iterator[Case]:
    """Yield the case of every index, with a progress bar.

    Args:
        count: how many there are.
        case: returns that of an index.
        progress: whether the bar is shown, on a terminal alone.
        unscored: where told, a case whose files cannot be read, or that does not fit the memory, is left
            out, and why is added here.

    Raises:
        FailureError: a file cannot be read, and ``unscored`` is not told, or that is so of every case.
        MissingExtraError: likewise, where reading it takes an extra that is not installed.
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
    """Return the shape of an array as people write it."""
    return "x".join(map(str, array.shape))
