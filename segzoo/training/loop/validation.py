"""Validation: every process scores its part of the images, and the counts are merged.

A process that runs out of memory reports it only when all have finished their images, so that no process
waits for one that has stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.evaluation.cases import predicted
from segzoo.evaluation.results import Score
from segzoo.evaluation.samples import named_metrics
from segzoo.prediction.predictor import Predictor
from segzoo.prediction.shortage import (
    MemoryShortageError,
    is_short_of_memory,
    release_memory,
    told_shortage,
)
from segzoo.training.loop.distributed import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accelerate import Accelerator
    from torch import nn

    from segzoo.evaluation.samples import NamedMetric, ScoredSample
    from segzoo.interfaces import Dataset, Metric

#: Number of validation images whose predictions the report shows.
SHOWN = 4


@dataclass(frozen=True)
class Validation:
    """Result of a validation.

    Attributes:
        scores: scores of every metric, with its contract.
        shown: a few predictions, of the same images every time.
    """

    scores: list[Score]
    shown: list[ScoredSample]

    def columns(self) -> dict[str, float]:
        """Return every value by ``metric_value``."""
        return {
            f"{score.metric}_{name}": value for score in self.scores for name, value in score.values.items()
        }


class Validator:
    """Scores networks on one dataset.

    Args:
        metrics: names of the metrics.
        dataset: dataset with labels and at least one image.
        accelerator: the processes that share the work.
        best: the metric, or ``metric.value``, by which the best weights are chosen; by default the first
            metric.
        on_message: called with one message for each image size that is cut into tiles.

    Attributes:
        column: the column of the value by which the best weights are chosen.
        higher_is_better: whether higher values in that column are better.

    Raises:
        UnknownNameError: there is no such metric.
        OptionError: ``best`` names a metric or a value that is not computed.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        dataset: Dataset,
        accelerator: Accelerator,
        *,
        best: str = "",
        on_message: Callable[[str], None],
    ) -> None:
        self.dataset, self.accelerator, self._on_message = dataset, accelerator, on_message
        self._predictor: tuple[nn.Module, Predictor] | None = None
        self.metrics = named_metrics(metrics, dataset.labels)
        self.column, self.higher_is_better = chosen_by(best, self.metrics)
        count = len(dataset)
        self._shown = {number * count // SHOWN for number in range(SHOWN)}

    def validate(self, network: nn.Module) -> Validation:
        """Predict every image at its own size and score the masks; every process gets the same result.

        Raises:
            MemoryShortageError: an image does not fit into a process's memory; every process raises it.
        """
        if self._predictor is None or self._predictor[0] is not network:
            self._predictor = network, Predictor(network, backend="eager", on_message=self._on_message)
        totals: list[Metric] = [metric.fresh() for metric in self.metrics]
        shown: list[tuple[int, ScoredSample]] = []
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        short = ""
        for index in range(rank, len(self.dataset), processes):
            short = self._counted(self._predictor[1], index, totals, shown)
            if short:
                break
        short = first_of(self.accelerator, short)
        if short:
            release_memory()
            raise MemoryShortageError(short)
        return self._merged(totals, shown)

    def _counted(
        self,
        predictor: Predictor,
        index: int,
        totals: list[Metric],
        shown: list[tuple[int, ScoredSample]],
    ) -> str:
        """Predict and score one image; return the error text if memory is short, else nothing."""
        name = f"image {index}"
        try:
            sample = self.dataset[index]
            name = f"{sample.name} ({sample.image.shape[0]}x{sample.image.shape[1]} pixels)"
            with self.accelerator.autocast():
                (case,) = predicted(predictor, [sample], self.metrics)
            for metric, total in zip(self.metrics, totals, strict=True):
                metric.count(total, case)
        except MemoryShortageError as error:
            return str(error)
        except (RuntimeError, MemoryError) as error:
            if not is_short_of_memory(error):
                raise
            return f"{name}: memory ran out ({told_shortage(error)})"
        if index in self._shown:
            shown.append((index, replace(case, probabilities=None)))
        return ""

    def _merged(self, totals: list[Metric], shown: list[tuple[int, ScoredSample]]) -> Validation:
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            parts = gather_object([(totals, shown)])
            totals, shown = parts[0][0], [pair for _, pairs in parts for pair in pairs]
            for others, _ in parts[1:]:
                for total, other in zip(totals, others, strict=True):
                    total.merge(other)
        scores = [
            Score(metric.name, dict(total.compute()), total.contract)
            for metric, total in zip(self.metrics, totals, strict=True)
        ]
        return Validation(scores, [case for _, case in sorted(shown, key=lambda pair: pair[0])])


def chosen_by(best: str, metrics: Sequence[NamedMetric]) -> tuple[str, bool]:
    """Return the column for ``metric.value``, and whether higher values are better.

    Raises:
        OptionError: the metric or the value is not computed.
    """
    name, _, value = best.partition(".")
    named = {metric.name: metric for metric in metrics}
    if not name:
        name = metrics[0].name
    if name not in named:
        raise OptionError(f"best={best!r} is not among the metrics, {', '.join(named)}: add it to metrics")
    values = list(named[name].fresh().compute())
    if value and value not in values:
        raise OptionError(f"best={best!r}: {name} has no value {value!r}; it has {', '.join(values)}")
    return f"{name}_{value or values[0]}", named[name].spec.higher_is_better
