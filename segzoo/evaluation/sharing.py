"""Masks and counts that are computed by the workers of a cluster.

Each image has its own counters, which are merged here in the order of the dataset: the sums equal those of a
single process, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.clusters import DEADLY, beginning, spread
from segzoo.errors import FailureError, SegzooError
from segzoo.evaluation.cases import scored
from segzoo.evaluation.evaluator import Counted, Evaluator, Worst
from segzoo.evaluation.pictures import panels
from segzoo.evaluation.samples import every_case, named_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from segzoo.clusters import Task
    from segzoo.evaluation.results import Panel
    from segzoo.evaluation.samples import ScoredSample
    from segzoo.interfaces import Cluster, Dataset
    from segzoo.prediction.predictor import Predictor
    from segzoo.prediction.watching import Watched


@dataclass(frozen=True)
class Share:
    """What a worker needs to score samples of a dataset; called in the worker.

    Attributes:
        predictor: predictor whose intensity is measured.
        dataset: dataset with the predictor's classes.
        metrics: names of the metrics.
        batch: how many images of one size are run together.
        worst: number of worst images whose pictures are kept.
        masks: whether the predicted masks are requested.
    """

    predictor: Predictor
    dataset: Dataset
    metrics: list[str]
    batch: int
    worst: int
    masks: bool

    def __call__(self) -> _Worker:
        """Return the object that scores tasks."""
        return _Worker(self)


@dataclass(frozen=True)
class Answer:
    """A worker's result for one sample.

    Attributes:
        counted: counts of the sample.
        mask: prediction, if requested.
        panels: pictures, if it is among the worst of its task.
    """

    counted: Counted
    mask: NDArray[np.uint8] | None
    panels: tuple[Panel, ...]


class _Worker:
    """Scores a few samples at a time."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._metrics = named_metrics(share.metrics, share.dataset.labels)
        self._evaluator = Evaluator(self._metrics, share.dataset.labels)

    def __call__(self, task: Task[int]) -> tuple[list[Answer | SegzooError], Watched]:
        share, labels = self._share, self._share.dataset.labels
        worst = Worst(share.worst, self._metrics[0].spec.higher_is_better)
        found: list[Answer | SegzooError] = []
        drawn: dict[int, tuple[Panel, ...]] = {}
        outcomes = scored(share.predictor, share.dataset, task.items, self._metrics, batch=share.batch)
        for number, outcome in enumerate(outcomes):
            case = outcome.result
            if case is None:
                assert outcome.error is not None
                found.append(outcome.error)
                continue
            counted = self._evaluator.count(case)

            def draw(number: int = number, case: ScoredSample = case) -> tuple[Panel, ...]:
                drawn[number] = panels(case, case.counted(labels), labels)
                return drawn[number]

            worst.add(counted.image, draw)
            found.append(Answer(counted, case.prediction if share.masks else None, drawn.get(number, ())))
        return found, share.predictor.watch.drained()


def counted_on(
    cluster: Cluster, share: Share, *, progress: bool, unscored: list[str] | None
) -> Iterator[Answer]:
    """Yield the workers' counts of every sample, in the order of the dataset.

    Args:
        cluster: cluster whose context is entered.
        share: what workers need to score samples.
        progress: whether to show a progress bar; see `every_case`.
        unscored: list for the reasons of samples that are left out; see `every_case`.

    Raises:
        FailureError: a file cannot be read; see `every_case`.
        OptionError: the dataset cannot be sent to a cluster, or a metric cannot count.
    """
    indices, names = range(len(share.dataset)), getattr(share.dataset, "names", None)
    answers = spread(cluster, beginning(share), indices)
    ready: dict[int, Answer | SegzooError] = {}

    def case(index: int) -> Answer:
        while index not in ready:
            task, answer = next(answers)
            if answer is None:
                name = names[task.items[0]] if names else f"sample {task.items[0]}"
                ready[task.items[0]] = FailureError(f"{name}: {DEADLY}")
                continue
            found, watched = answer
            share.predictor.watch.add(watched)
            ready.update(zip(task.items, found, strict=True))
        found = ready.pop(index)
        if isinstance(found, SegzooError):
            raise found
        return found

    yield from every_case(len(indices), case, progress=progress, unscored=unscored)
