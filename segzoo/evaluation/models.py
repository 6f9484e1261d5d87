"""Score a model on a dataset."""

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
    """Predict every image of a dataset at its own size and score the masks.

    `segzoo.evaluation.score_model` returns more: scores per image and class, confidence intervals, the worst
    images.

    Args:
        model: name of weights, their folder, or a model that segzoo made, scored unchanged; or a
            `segzoo.Predictor`, scored with its options.
        dataset: dataset, for example from `segzoo.build.open_dataset`; its classes are matched with the
            model's by name, see `segzoo.evaluation.for_model`.
        metrics: names of registered metrics.
        ignore_unknown: whether to ignore pixels of classes that the model does not know.
        progress: whether to show a progress bar.

    Raises:
        OptionError: the dataset is empty, or has a class that the model does not know.
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
    """Score a model on a dataset in full: in total, per class and image, with confidence intervals.

    Args:
        model: name of weights, their folder, or a model that segzoo made, scored unchanged; or a
            `segzoo.Predictor`, scored with its options.
        dataset: dataset, for example from `segzoo.build.open_dataset`; its classes are matched with the
            model's by name, see `segzoo.evaluation.for_model`.
        metrics: names of registered metrics; the first selects the worst images.
        subject: name of the model in the result; by default its own name, or its network's.
        data: name of the dataset in the result.
        split: split of the dataset, such as ``test``, in the result.
        batch: how many images of one size are run together.
        worst: number of worst images whose pictures are kept.
        resamples: number of bootstrap resamples; 0 for no confidence intervals.
        seed: seed of the bootstrap.
        save_predictions: folder for the predicted masks, one palette PNG per image. It must not contain files
            of the dataset.
        overwrite: whether existing masks may be replaced.
        keep_going: whether samples with unreadable files are left out and reported in `Evaluation.unscored`,
            unless all are unreadable; otherwise the first one raises an error.
        ignore_unknown: whether to ignore pixels of classes that the model does not know.
        by: tags of the dataset, such as ``stain``, or regular expressions for the names of its samples: these
            groups are also scored separately, in `Evaluation.groups`.
        progress: whether to show a progress bar.
        cluster: computes masks and counts in its workers instead of this process; the numbers are equal.

    Raises:
        OptionError: the dataset is empty, or has a class that the model does not know; or ``by`` is not a tag
            and matches no name.
        FailureError: a mask cannot be written, exists already, or does not fit its image.

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
    """Return the folder for masks, after checking that none of them replaces a file that must stay."""
    folder, files = Path(save_predictions), getattr(dataset, "files", None)
    inputs = [file for index in range(len(dataset)) for file in files(index)] if files is not None else []
    keep_apart(folder, inputs, inside=True)
    names = getattr(dataset, "names", None) or ()
    masks = [path for name in names for path in mask_paths(folder, name, dataset.labels)]
    refuse_taken(masks, overwrite=overwrite, inputs=inputs)
    return writable(folder)


def _predictor(model: Model | Predictor) -> Predictor:
    """Return the predictor; for a model, one that runs the network unchanged."""
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
