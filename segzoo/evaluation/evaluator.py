"""One pass over the cases: metrics in total, by group and per image, confusion matrix, worst images."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segzoo.evaluation.bootstrap import draws, mean_interval, metric_intervals, percentiles
from segzoo.evaluation.pictures import panels
from segzoo.evaluation.results import (
    Bootstrap,
    ClassScore,
    Evaluation,
    GroupScore,
    ImageScore,
    Score,
    WorstImage,
)
from segzoo.metrics.confusion import confusion_matrix, count_apart
from segzoo.metrics.image import check_image
from segzoo.metrics.rates import rate_of, ratio, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.evaluation.grouping import Grouping
    from segzoo.evaluation.results import Interval, Panel
    from segzoo.evaluation.samples import NamedMetric, ScoredSample
    from segzoo.interfaces import Metric
    from segzoo.specs import Labels

#: With more images than this, the bootstrap uses groups of images, which limits its cost.
GROUPS = 200


@dataclass(frozen=True)
class Counted:
    """The counts of one case.

    Attributes:
        image: scores of the image.
        counters: counters of every metric by name, which have counted only this case.
        pixels: correct, predicted, true and all pixels of every class.
        matrix: confusion matrix; ``None`` if classes overlap.
    """

    image: ImageScore
    counters: Mapping[str, Metric]
    pixels: NDArray[np.int64]
    matrix: NDArray[np.int64] | None


class Evaluator:
    """Counts cases one by one.

    Args:
        metrics: metrics; the first of them selects the worst images.
        labels: labels of the masks.
        worst: number of worst images whose pictures are kept.
        bootstrap: whether to keep the data for confidence intervals.
        by: groupings of the images; each group is also scored separately.
    """

    def __init__(
        self,
        metrics: Sequence[NamedMetric],
        labels: Labels,
        *,
        worst: int = 0,
        bootstrap: bool = True,
        by: Sequence[Grouping] = (),
    ) -> None:
        self.metrics, self.labels = metrics, labels
        self._bootstrap, self._by = bootstrap, by
        self._sums = _Sums(metrics, bootstrap=bootstrap)
        self._grouped: dict[tuple[str, str], _Sums] = {}
        classes = len(labels.classes)
        self._confusion = None if labels.overlapping else np.zeros((classes, classes), np.int64)
        #: Correct, predicted, true and all pixels of every class, by group.
        self._pixels: list[NDArray[np.int64]] = []
        self._occurs = np.zeros(classes, np.int64)
        self._images: list[ImageScore] = []
        self._worst = Worst(worst, metrics[0].spec.higher_is_better)

    def add(self, case: ScoredSample) -> None:
        """Count one case."""
        self.take(self.count(case), lambda: panels(case, case.counted(self.labels), self.labels))

    def count(self, case: ScoredSample) -> Counted:
        """Return the counts of one case, which another evaluator may `take`."""
        counters: dict[str, Metric] = {}
        scores: dict[str, float] = {}
        for metric in self.metrics:
            counters[metric.name] = counter = metric.fresh()
            metric.count(counter, case)
            scores |= columns(metric.name, counter.compute())
        counted = case.counted(self.labels)
        height, width = counted.shape
        matrix = None
        if self.labels.overlapping:
            pixels = count_apart(check_image(self.labels, case.prediction, case.target, valid=case.valid))
        else:
            inside = None if counted.all() else counted
            matrix = confusion_matrix(case.prediction, case.target, len(self.labels.classes), inside)
            pixels = totals(matrix)
        image = ImageScore(case.name, height, width, int(counted.sum()), scores)
        return Counted(image, counters, pixels, matrix)

    def take(self, found: Counted, draw: Callable[[], tuple[Panel, ...]]) -> None:
        """Add the counts of one case.

        Args:
            found: result of `count`, from here or another process.
            draw: draws the case; called if it is among the worst so far.
        """
        number = len(self._images)
        self._sums.add(found)
        for grouping in self._by:
            key = grouping.by, grouping.of(found.image.name)
            if key not in self._grouped:
                self._grouped[key] = _Sums(self.metrics, bootstrap=self._bootstrap)
            self._grouped[key].add(found)
        if self._confusion is not None and found.matrix is not None:
            self._confusion += found.matrix
        self._count_classes(number, found.pixels)
        self._images.append(found.image)
        self._worst.add(found.image, draw)

    def result(
        self,
        *,
        subject: str,
        data: str,
        split: str | None,
        about: Mapping[str, str],
        resamples: int,
        seed: int,
        unscored: Sequence[str] = (),
    ) -> Evaluation:
        """Return the results, with confidence intervals from ``resamples`` resamples."""
        groups = min(len(self._images), GROUPS)
        drawn = draws(groups, resamples if self._bootstrap else 0, seed)
        column = next(iter(self._images[0].scores), self.metrics[0].name)
        return Evaluation(
            subject=subject,
            data=data,
            split=split,
            labels=self.labels,
            about=about,
            scores=self._sums.scores(),
            intervals=self._sums.intervals(drawn),
            images=tuple(self._images),
            order=(column, self.metrics[0].spec.higher_is_better),
            classes=self._classes(drawn),
            confusion=self._confusion,
            worst=self._worst.images(),
            bootstrap=Bootstrap(len(drawn), seed, 0.95, groups),
            unscored=tuple(unscored),
            groups=tuple(self._groups(len(drawn), seed)),
        )

    def _groups(self, resamples: int, seed: int) -> Iterator[GroupScore]:
        """Yield the scores of each group, ordered by grouping and then by name."""
        order = [grouping.by for grouping in self._by]
        for by, name in sorted(self._grouped, key=lambda key: (order.index(key[0]), key[1])):
            sums = self._grouped[by, name]
            drawn = draws(min(sums.images, GROUPS), resamples, seed)
            yield GroupScore(by, name, sums.images, sums.scores(), sums.intervals(drawn))

    def _count_classes(self, number: int, pixels: NDArray[np.int64]) -> None:
        self._occurs += pixels[2] > 0
        if number < GROUPS:
            self._pixels.append(pixels.copy())
        else:
            self._pixels[number % GROUPS] += pixels

    def _classes(self, drawn: NDArray[np.int64]) -> tuple[ClassScore, ...]:
        counts = np.sum(self._pixels, axis=0)
        intervals = self._class_intervals(drawn)
        rates = [rate_of(measure, counts).tolist() for measure in ("iou", "dice", "precision", "recall")]
        return tuple(
            ClassScore(
                name,
                int(self._occurs[index]),
                int(counts[2, index]),
                int(counts[1, index]),
                *(values[index] for values in rates),
                iou_interval=intervals[index],
            )
            for index, name in enumerate(self.labels.classes)
            if self.labels.overlapping or index != self.labels.ignore_index
        )

    def _class_intervals(self, drawn: NDArray[np.int64]) -> list[Interval | None]:
        """Return the confidence interval of every class's IoU, as one matrix product over resamples."""
        if not len(drawn):
            return [None] * len(self.labels.classes)
        right, predicted, truth, _ = np.tensordot(drawn, np.stack(self._pixels), axes=1).transpose(1, 0, 2)
        iou = ratio(right, truth + predicted - right)
        return [percentiles(iou[:, index]) for index in range(iou.shape[1])]


class Worst:
    """Keeps pictures of the images with the worst scores only."""

    def __init__(self, keep: int, higher_is_better: bool) -> None:
        self._keep, self._sign = keep, -1 if higher_is_better else 1
        #: Badness, negative order of arrival, and the image; the least bad comes first.
        self._heap: list[tuple[float, int, WorstImage]] = []
        self._seen = 0

    def add(self, image: ImageScore, draw: Callable[[], tuple[Panel, ...]]) -> None:
        """Add an image, which is drawn if it is among the worst so far."""
        self._seen += 1
        score = next(iter(image.scores.values()), math.nan)
        badness = self._sign * score
        if not self._keep or math.isnan(badness):
            return
        if len(self._heap) == self._keep and badness <= self._heap[0][0]:
            return
        entry = (badness, -self._seen, WorstImage(image.name, score, draw()))
        (heapq.heappush if len(self._heap) < self._keep else heapq.heapreplace)(self._heap, entry)

    def images(self) -> tuple[WorstImage, ...]:
        """Return the worst images, the worst first."""
        return tuple(image for _, _, image in sorted(self._heap, key=lambda e: (-e[0], -e[1])))


class _Sums:
    """The counters of several cases: merged, and separate as far as confidence intervals need them."""

    def __init__(self, metrics: Sequence[NamedMetric], *, bootstrap: bool) -> None:
        self._metrics, self._bootstrap, self.images = metrics, bootstrap, 0
        self._fresh = {metric.name: metric.fresh for metric in metrics}
        self._totals = {metric.name: metric.fresh() for metric in metrics}
        self._groups: dict[str, list[Metric]] = {metric.name: [] for metric in metrics if metric.is_light}
        #: Scores of single images, for metrics whose counters are large.
        self._single: dict[str, list[float]] = {one.name: [] for one in metrics if not one.is_light}

    def add(self, found: Counted) -> None:
        """Add the counts of one case, which do not change."""
        for name, total in self._totals.items():
            total.merge(found.counters[name])
        for name, groups in self._groups.items() if self._bootstrap else ():
            if self.images < GROUPS:
                groups.append(self._fresh[name]())
            groups[self.images % GROUPS].merge(found.counters[name])
        for name, values in self._single.items():
            values.append(found.image.scores.get(name, math.nan))
        self.images += 1

    def scores(self) -> tuple[Score, ...]:
        """Return the score of every metric."""
        totals = self._totals.items()
        return tuple(Score(name, dict(total.compute()), total.contract) for name, total in totals)

    def intervals(self, drawn: NDArray[np.int64]) -> dict[str, dict[str, Interval]]:
        """Return the confidence intervals of every metric; ``drawn`` is the result of `draws`."""
        return {metric.name: self._intervals(metric, drawn) for metric in self._metrics}

    def _intervals(self, metric: NamedMetric, drawn: NDArray[np.int64]) -> dict[str, Interval]:
        if metric.is_light:
            return metric_intervals(self._groups[metric.name], metric.fresh, drawn)
        total = self._totals[metric.name].compute().get("per_image", math.nan)
        return mean_interval(np.array(self._single[metric.name]), total, drawn)


def tally(cases: Iterable[ScoredSample], metrics: Sequence[NamedMetric], labels: Labels) -> list[Score]:
    """Return only the scores of the metrics, as training does after every epoch."""
    totals = [metric.fresh() for metric in metrics]
    for case in cases:
        for metric, total in zip(metrics, totals, strict=True):
            metric.count(total, case)
    return [
        Score(metric.name, dict(total.compute()), total.contract)
        for metric, total in zip(metrics, totals, strict=True)
    ]


def columns(metric: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of one image by column: ``dice``, or ``name value`` if a metric has several values.

    For a metric that averages over images in two ways, only ``per_image`` is meaningful for one image.
    """
    if "per_image" in values:
        return {metric: float(values["per_image"])} | {
            f"{metric} {name}": float(value)
            for name, value in values.items()
            if name not in ("per_image", "pooled")
        }
    if len(values) == 1:
        return {metric: float(next(iter(values.values())))}
    return {f"{metric} {name}": float(value) for name, value in values.items()}
