"""Scores of a model on a data set."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from segzoo.errors import ImageError, OptionError
from segzoo.evaluation.classes import for_model
from segzoo.evaluation.evaluator import Evaluator, tally
from segzoo.evaluation.samples import ScoredSample, every_case, named_metrics
from segzoo.evaluation.writing import mask_paths, save_mask
from segzoo.files import keep_apart, refuse_taken, writable
from segzoo.labels import valid_pixels
from segzoo.prediction.concurrency import side_by_side
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.predictor import MEASURED, Predictor, evenly
from segzoo.prediction.shortage import MemoryShortageError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from segzoo.evaluation.results import Evaluation, Score
    from segzoo.evaluation.samples import NamedMetric
    from segzoo.interfaces import Dataset, Sample
    from segzoo.prediction.pipeline import Concurrency
    from segzoo.prediction.predictor import Model, Prepared

    #: A sample, and its image on the way into the network.
    _Read = tuple[Sample, Prepared]


def evaluate(
    model: Model | Predictor,
    dataset: Dataset,
    *,
    metrics: Sequence[str] = ("iou", "dice"),
    ignore_unknown: bool = False,
    progress: bool = False,
) -> list[Score]:
    """Predict every image of a data set at its own size and score the masks.

    `segzoo.evaluation.score_model` finds more: scores per image and class, intervals, the worst images.

    Args:
        model: weights by name, their folder, or a model that segzoo made, scored as it is; or a
            `segzoo.Predictor`, scored as it predicts.
        dataset: such as `segzoo.build.open_dataset` gives; its classes are matched with the model's by name,
            see `segzoo.evaluation.for_model`.
        metrics: names of registered metrics.
        ignore_unknown: whether pixels of classes that the model does not know are left out.
        progress: whether to show a bar.

    Raises:
        OptionError: the data set is empty, or has a class that the model does not know.
    """
    predictor = _predictor(model)
    dataset = for_model(dataset, predictor.config.labels, ignore_unknown=ignore_unknown)
    counted = named_metrics(metrics, dataset.labels)
    found = tally(_cases(predictor, dataset, counted, progress=progress), counted, dataset.labels)
    predictor.tell_watched()
    return found


def score_model(
    model: Model | Predictor,
    dataset: Dataset,
    *,
    metrics: Sequence[str] = ("iou", "dice"),
    subject: str | None = None,
    data: str = "",
    split: str | None = None,
    batch: int = 1,
    worst: int = 0,
    resamples: int = 1000,
    seed: int = 0,
    save_predictions: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    keep_going: bool = False,
    ignore_unknown: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Score a model on a data set in full: in total, per class and image, with intervals.

    Args:
        model: weights by name, their folder, or a model that segzoo made, scored as it is; or a
            `segzoo.Predictor`, scored as it predicts.
        dataset: such as `segzoo.build.open_dataset` gives; its classes are matched with the model's by name,
            see `segzoo.evaluation.for_model`.
        metrics: names of registered metrics; the worst images are those of the first.
        subject: what the model is called in the result; its name, or its network's.
        data: what the data set is called in the result.
        split: which part of it it is.
        batch: how many images of one size are run together.
        worst: of how many images to keep pictures.
        resamples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.
        save_predictions: a folder for the predicted masks, one palette PNG per image. It must not hold files
            of the data set.
        overwrite: whether masks that are there may be replaced.
        keep_going: whether a sample whose files cannot be read is left out and told in
            `Evaluation.unscored`, unless that is so of all; else the first is an error.
        ignore_unknown: whether pixels of classes that the model does not know are left out.
        progress: whether to show a bar.

    Raises:
        OptionError: the data set is empty, or has a class that the model does not know.
        FailureError: a mask cannot be written, is there already, or does not fit its image.

    Example:
        >>> test = open_dataset("dsb2018", root="dsb2018", split="test")
        >>> found = segzoo.evaluation.score_model("unet-nuclei", test, metrics=["dice"])
        >>> found.classes[1].iou, found.classes[1].iou_interval
    """
    predictor = _predictor(model)
    dataset = for_model(dataset, predictor.config.labels, ignore_unknown=ignore_unknown)
    counted = named_metrics(metrics, dataset.labels)
    folder = None if save_predictions is None else _place(save_predictions, dataset, overwrite=overwrite)
    result = Evaluator(counted, dataset.labels, worst=worst, bootstrap=resamples > 0)
    unscored: list[str] | None = [] if keep_going else None
    for case in _cases(predictor, dataset, counted, batch=batch, progress=progress, unscored=unscored):
        if folder is not None:
            save_mask(case.prediction, dataset.labels, folder, case.name, overwrite=overwrite)
        result.add(case)
    predictor.tell_watched()
    named = not isinstance(model, nn.Module | Predictor)
    subject = subject or (str(model) if named else predictor.config.architecture.name)
    return result.result(
        subject=subject,
        data=data,
        split=split,
        about=predictor.about,
        resamples=resamples,
        seed=seed,
        unscored=unscored or (),
    )


def _place(save_predictions: str | os.PathLike[str], dataset: Dataset, *, overwrite: bool) -> Path:
    """Return the folder for masks, in which none of them replaces what must stay."""
    folder, files = Path(save_predictions), getattr(dataset, "files", None)
    inputs = [file for index in range(len(dataset)) for file in files(index)] if files is not None else []
    keep_apart(folder, inputs, inside=True)
    names = getattr(dataset, "names", None) or ()
    masks = [path for name in names for path in mask_paths(folder, name, dataset.labels)]
    refuse_taken(masks, overwrite=overwrite, inputs=inputs)
    return writable(folder)


def _predictor(model: Model | Predictor) -> Predictor:
    """Return what predicts: the network as it is, unless somebody made a predictor."""
    return model if isinstance(model, Predictor) else Predictor(model, backend="eager")


def _cases(
    predictor: Predictor,
    dataset: Dataset,
    metrics: Sequence[NamedMetric],
    *,
    batch: int = 1,
    progress: bool,
    unscored: list[str] | None = None,
) -> Iterator[ScoredSample]:
    if not len(dataset):
        raise OptionError("the data set is empty: there is nothing to score")
    if predictor.needs_measuring:
        few = evenly(range(len(dataset)), MEASURED)
        samples = (dataset[index] for index in few)
        predictor.measure((sample.image, sample.info) for sample in samples)
    probabilities = any(metric.needs("probabilities") for metric in metrics)

    def prepare(index: int) -> _Read:
        sample = dataset[index]
        return sample, _prepared(predictor, sample, probabilities=probabilities)

    def infer(read: Sequence[_Read]) -> list[ScoredSample]:
        samples, prepared = zip(*read, strict=True)
        return _scored(predictor, samples, prepared, probabilities=probabilities)

    stages: Stages[int, _Read, ScoredSample, ScoredSample] = Stages(
        prepare=prepare, kind=lambda read: read[1].kind, infer=infer, finish=lambda _, case: case
    )
    concurrency: Concurrency[_Read] | None = side_by_side(
        predictor, len(dataset), lambda read: read[1], batch=batch, probabilities=probabilities
    )
    outcomes = run_stages(range(len(dataset)), stages, batch=batch, concurrency=concurrency)

    def case(_: int) -> ScoredSample:
        outcome = next(outcomes)
        if outcome.result is None:
            raise outcome.error or AssertionError("an outcome has a result or an error")
        return outcome.result

    yield from every_case(len(dataset), case, progress=progress, unscored=unscored)


def predicted(predictor: Predictor, samples: Sequence[Sample], *, probabilities: bool) -> list[ScoredSample]:
    """Predict samples at their own size, and return the predictions with their truths.

    Args:
        predictor: ready to run.
        samples: images of one size.
        probabilities: whether they are wanted.

    Raises:
        MemoryShortageError: an image does not fit the memory; the text names it.
    """
    prepared = [_prepared(predictor, sample, probabilities=probabilities) for sample in samples]
    return _scored(predictor, samples, prepared, probabilities=probabilities)


def _prepared(predictor: Predictor, sample: Sample, *, probabilities: bool) -> Prepared:
    try:
        with _naming(sample):
            return predictor.prepare_pixels(
                sample.image, probabilities=probabilities, info=sample.info, name=sample.name
            )
    except ImageError as error:  # its bands or values are not those that the network takes
        raise ImageError(f"image {sample.name!r}: {error}") from error


@contextmanager
def _naming(*samples: Sample) -> Iterator[None]:
    """Let an error say which samples did not fit the memory."""
    try:
        yield
    except MemoryShortageError as error:
        raise MemoryShortageError(f"{', '.join(one.name for one in samples)}: {error}") from error


def _scored(
    predictor: Predictor, samples: Sequence[Sample], prepared: Sequence[Prepared], *, probabilities: bool
) -> list[ScoredSample]:
    with _naming(*samples):
        found = predictor.segment_prepared(prepared, probabilities=probabilities)
    return [
        ScoredSample(
            name=sample.name,
            prediction=one.mask,
            target=sample.mask,
            image=sample.image,
            info=sample.info,
            bands=predictor.config.preprocessing.bands,
            valid=valid_pixels(sample),
            probabilities=one.probabilities,
            instances=None if sample.instances is None else (None, sample.instances),
        )
        for sample, one in zip(samples, found, strict=True)
    ]
