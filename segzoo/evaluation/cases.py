"""Predict the samples of a dataset at their own size, to score a model."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from segzoo.errors import ImageError, OptionError
from segzoo.evaluation.samples import ScoredSample
from segzoo.labels import valid_pixels
from segzoo.prediction.concurrency import side_by_side
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.predictor import MEASURED, Predictor, evenly
from segzoo.prediction.shortage import MemoryShortageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.evaluation.samples import NamedMetric
    from segzoo.interfaces import Dataset, Sample
    from segzoo.prediction.pipeline import Concurrency, Outcome
    from segzoo.prediction.predictor import Prepared
    from segzoo.prediction.segmentation import Segmentation

    #: A sample, and its image prepared for the network.
    _Read = tuple[Sample, Prepared]


def check_ready(predictor: Predictor, dataset: Dataset) -> None:
    """Measure an intensity rule that holds for all images, if the predictor needs it.

    Raises:
        OptionError: the dataset is empty.
    """
    if not len(dataset):
        raise OptionError("the dataset is empty: there is nothing to score")
    if predictor.needs_measuring:
        few = evenly(range(len(dataset)), MEASURED)
        samples = (dataset[index] for index in few)
        predictor.measure((sample.image, sample.info) for sample in samples)


def scored(
    predictor: Predictor,
    dataset: Dataset,
    indices: Sequence[int],
    metrics: Sequence[NamedMetric],
    *,
    batch: int = 1,
) -> Iterator[Outcome[int, ScoredSample]]:
    """Yield the outcome of some samples of a dataset: the prediction with its ground truth, or an error.

    Args:
        predictor: predictor whose intensity is measured.
        dataset: dataset with the predictor's classes.
        indices: indices of the samples, in order.
        metrics: metrics, which may need probabilities or objects.
        batch: how many images of one size are run together.
    """
    probabilities = _need(metrics, "probabilities")

    def prepare(index: int) -> _Read:
        sample = dataset[index]
        return sample, _prepared(predictor, sample, probabilities=probabilities)

    def infer(read: Sequence[_Read]) -> list[ScoredSample]:
        samples, prepared = zip(*read, strict=True)
        found = _segmented(predictor, samples, prepared, probabilities=probabilities)
        return [scored_sample(sample, one, metrics) for sample, one in zip(samples, found, strict=True)]

    stages: Stages[int, _Read, ScoredSample, ScoredSample] = Stages(
        prepare=prepare, kind=lambda read: read[1].kind, infer=infer, finish=lambda _, case: case
    )
    concurrency: Concurrency[_Read] | None = side_by_side(
        predictor, len(indices), lambda read: read[1], batch=batch, probabilities=probabilities
    )
    return run_stages(indices, stages, batch=batch, concurrency=concurrency)


def predicted(
    predictor: Predictor, samples: Sequence[Sample], metrics: Sequence[NamedMetric]
) -> list[ScoredSample]:
    """Predict samples at their own size, and return the predictions with their ground truth.

    Args:
        predictor: predictor to run.
        samples: images of one size.
        metrics: metrics, which may need probabilities or objects.

    Raises:
        MemoryShortageError: an image does not fit in memory; the message names it.
    """
    found = segmented(predictor, samples, metrics)
    return [scored_sample(sample, one, metrics) for sample, one in zip(samples, found, strict=True)]


def segmented(
    predictor: Predictor, samples: Sequence[Sample], metrics: Sequence[NamedMetric]
) -> list[Segmentation]:
    """Segment samples at their own size, and keep what metrics need; see `predicted` for the arguments."""
    probabilities = _need(metrics, "probabilities")
    prepared = [_prepared(predictor, sample, probabilities=probabilities) for sample in samples]
    return _segmented(predictor, samples, prepared, probabilities=probabilities)


def _prepared(predictor: Predictor, sample: Sample, *, probabilities: bool) -> Prepared:
    try:
        with _naming(sample):
            return predictor.prepare_pixels(
                sample.image, probabilities=probabilities, info=sample.info, name=sample.name
            )
    except ImageError as error:  # its bands or values do not fit the network
        raise ImageError(f"image {sample.name!r}: {error}") from error


@contextmanager
def _naming(*samples: Sample) -> Iterator[None]:
    """Add to an error which samples did not fit in memory."""
    try:
        yield
    except MemoryShortageError as error:
        raise MemoryShortageError(f"{', '.join(one.name for one in samples)}: {error}") from error


def _need(metrics: Sequence[NamedMetric], what: str) -> bool:
    return any(metric.needs(what) for metric in metrics)


def _segmented(
    predictor: Predictor, samples: Sequence[Sample], prepared: Sequence[Prepared], *, probabilities: bool
) -> list[Segmentation]:
    with _naming(*samples):
        return predictor.segment_prepared(prepared, probabilities=probabilities)


def scored_sample(sample: Sample, found: Segmentation, metrics: Sequence[NamedMetric]) -> ScoredSample:
    """Return a prediction with its ground truth.

    Args:
        sample: an image with its ground truth.
        found: the predictor's segmentation of it.
        metrics: metrics, which may need objects.
    """
    splits = found.split_touching and _need(metrics, "instances")
    return ScoredSample(
        name=sample.name,
        prediction=found.mask,
        target=sample.mask,
        image=sample.image,
        info=sample.info,
        bands=found.bands,
        valid=valid_pixels(sample),
        probabilities=found.probabilities,
        # Without splitting, objects are components, which metrics find themselves.
        instances=(found.instances().numbers if splits else None, sample.instances),
    )
