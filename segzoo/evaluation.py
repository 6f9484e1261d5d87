"""Scores of a model on a data set, each with its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from segzoo.errors import OptionError
from segzoo.parts import make_metric
from segzoo.prediction.predictor import config_of, segment
from segzoo.weights.folder import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from segzoo.interfaces import Dataset


@dataclass(frozen=True)
class Score:
    """The values of one metric and the rules they were counted by.

    Attributes:
        metric: its name.
        values: by name, such as ``per_image`` and ``pooled``.
        contract: which pixels, which classes, which average, which rule for empty masks.
    """

    metric: str
    values: Mapping[str, float]
    contract: str


def evaluate(
    model: str | nn.Module,
    dataset: Dataset,
    *,
    metrics: Sequence[str] = ("iou", "dice"),
    progress: bool = False,
) -> list[Score]:
    """Predict every image of a data set at its own size and score the masks.

    Args:
        model: weights by name or ``local-dir:path``, or a model that segzoo made.
        dataset: whose classes are the model's, such as `segzoo.parts.open_dataset` gives.
        metrics: names of registered metrics.
        progress: whether to show a bar.

    Raises:
        OptionError: the data set is empty, or has other classes than the model.
    """
    network = load(model) if isinstance(model, str) else model
    config = config_of(network)
    ours, theirs = config.labels.classes, dataset.labels.classes
    if len(ours) != len(theirs):
        raise OptionError(
            f"the model tells {len(ours)} classes apart ({', '.join(ours)}), "
            f"the data set has {len(theirs)} ({', '.join(theirs)})"
        )
    if not len(dataset):
        raise OptionError("the data set is empty: there is nothing to score")
    counted = {name: make_metric(name, dataset.labels) for name in metrics}
    for index in tqdm(range(len(dataset)), desc="evaluate", disable=not progress):
        sample = dataset[index]
        predicted = segment(network, sample.image).mask
        for metric in counted.values():
            metric.update(predicted, sample.mask)
    return [Score(name, metric.compute(), metric.contract) for name, metric in counted.items()]
