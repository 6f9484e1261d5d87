"""Scores of a model on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from segzoo.evaluation.cases import check_ready, scored
from segzoo.evaluation.classes import for_model
from segzoo.evaluation.evaluator import Evaluator, tally
from segzoo.evaluation.grouping import read_groupings
from segzoo.evaluation.samples import ScoredSample, every_case, named_metrics
from segzoo.evaluation.sharing import Share, counted_on
from segzoo.evaluation.writing import mask_paths, save_mask
from segzoo.files import keep_apart, refuse_taken, writable
from segzoo.prediction.predictor import Predictor

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segzoo.evaluation.results import Evaluation, Score
    from segzoo.evaluation.samples import NamedMetric
    from segzoo.interfaces import Cluster, Dataset
    from segzoo.prediction.predictor import Model


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
    by: Sequence[str] = (),
    progress: bool = False,
    cluster: Cluster | None = None,
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
        by: tags of the data set, such as ``stain``, or regular expressions for the names of its samples:
            groups that are scored by themselves too, in `Evaluation.groups`.
        progress: whether to show a bar.
        cluster: computes masks and counts in its workers, in place of this process; the numbers are the same.

    Raises:
        OptionError: the data set is empty, or has a class that the model does not know; or ``by`` names no
            tag and matches no name.
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
    groupings = read_groupings(by, dataset)
    result = Evaluator(counted, dataset.labels, worst=worst, bootstrap=resamples > 0, by=groupings)
    unscored: list[str] | None = [] if keep_going else None

    def save(mask: NDArray[np.uint8] | None, name: str) -> None:
        if folder is not None and mask is not None:
            save_mask(mask, dataset.labels, folder, name, overwrite=overwrite)

    if cluster is None:
        for case in _cases(predictor, dataset, counted, batch=batch, progress=progress, unscored=unscored):
            save(case.prediction, case.name)
            result.add(case)
    else:
        check_ready(predictor, dataset)
        share = Share(predictor, dataset, [one.name for one in counted], batch, worst, folder is not None)
        for found in counted_on(cluster, share, progress=progress, unscored=unscored):
            save(found.mask, found.counted.image.name)
            result.take(found.counted, lambda found=found: found.panels)
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
    check_ready(predictor, dataset)
    outcomes = scored(predictor, dataset, range(len(dataset)), metrics, batch=batch)

    def case(_: int) -> ScoredSample:
        outcome = next(outcomes)
        if outcome.result is None:
            raise outcome.error or AssertionError("an outcome has a result or an error")
        return outcome.result

    yield from every_case(len(dataset), case, progress=progress, unscored=unscored)
