"""Scores of masks that another program left in a folder. No torch is needed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets.matching import by_name, class_words, take_layers
from segzoo.datasets.numbered import numbered_objects
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.evaluation.evaluator import Evaluator
from segzoo.evaluation.grouping import read_groupings
from segzoo.evaluation.pairing import masks_in, pair
from segzoo.evaluation.samples import ScoredSample, every_case, named_metrics, sample_names, size
from segzoo.interfaces import Sample
from segzoo.labels import read_layers, read_mask, read_planes, to_classes, valid_pixels
from segzoo.options import listed
from segzoo.specs import numbered_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segzoo.datasets.numbered import NumberedObjects
    from segzoo.evaluation.results import Evaluation
    from segzoo.evaluation.samples import NamedMetric
    from segzoo.interfaces import Dataset
    from segzoo.specs import Labels

#: What files of masks may have after the name of their image, and of the class.
_SUFFIXES = ("", "_mask")


def score_predictions(
    predictions: str | os.PathLike[str],
    truth: str | os.PathLike[str] | Dataset,
    *,
    labels: Labels | None = None,
    metrics: Sequence[str] = ("iou", "dice"),
    data: str = "",
    split: str | None = None,
    instances: bool = False,
    worst: int = 0,
    resamples: int = 1000,
    seed: int = 0,
    keep_going: bool = False,
    by: Sequence[str] = (),
    progress: bool = False,
) -> Evaluation:
    """Score a folder of predicted masks, one file per image, against their truths.

    Files are paired by name; ``prediction_17.npy`` and ``17.png`` belong together. A pixel that the
    truth ignores may hold anything in the prediction.

    Args:
        predictions: the folder; images of one value a pixel, or ``.npy`` of integers ``(H, W)``. Where
            classes overlap, a file a class (``cat_ear_mask.png``, ``ear/cat.png``) or a stack, as
            `segzoo predict` writes them.
        truth: a folder of the same kind, or a data set whose samples have the predictions' names.
        labels: classes and their values in the files; two classes if not told. A data set has its own.
        metrics: names of registered metrics; the worst images are those of the first.
        data: what the truths are called in the result; the folder's name if not told.
        split: which part of a data set the truths are.
        instances: whether the masks in folders number their objects, all of the one class; those of a data
            set are what it makes of them.
        worst: of how many images to keep pictures.
        resamples: of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.
        keep_going: whether a pair of which a file cannot be read or does not fit is left out and told in
            `Evaluation.unscored`, unless that is so of all; else the first is an error.
        by: tags of a data set, or regular expressions for names: groups that are scored by themselves too.
        progress: whether to show a bar.

    Raises:
        OptionError: a metric needs more than masks.
        FailureError: a file has no partner or another size; the text lists it.
        MaskError: a file cannot be read, or holds a value that stands for no class.

    Example:
        >>> labels = segzoo.specs.numbered_labels(4)
        >>> found = segzoo.evaluation.score_predictions("predictions", "truths", labels=labels)
        >>> found.classes[1].iou
    """
    folder = Path(predictions)
    if isinstance(truth, str | os.PathLike):
        if labels is not None and labels.overlapping:
            raise OptionError(
                "where classes overlap, the truth is a data set that says so: --data DIR --data-option "
                "overlapping=true, or open_dataset(DIR, overlapping=True)"
            )
        truths = _Truths(Path(truth), labels, instances=instances)
    else:
        truths = truth
    if instances and truths.labels.overlapping:
        raise OptionError("numbers in masks count objects of one class, and these classes overlap")
    counted = named_metrics(metrics, truths.labels)
    _check_needs(counted, folder)
    given: Any = {"worst": worst, "bootstrap": resamples > 0, "by": read_groupings(by, truths)}
    result = Evaluator(counted, truths.labels, **given)
    unscored: list[str] | None = [] if keep_going else None
    # What the truth ignores is cut out of a prediction, in which any number is an object.
    bare = replace(truths.labels, values=(), ignore_index=None)
    numbered = numbered_objects(True, bare, []) if instances else None
    for case in _cases(folder, truths, numbered, progress=progress, unscored=unscored):
        result.add(case)
    return result.result(
        subject=str(predictions),
        data=data or (str(truth) if isinstance(truths, _Truths) else ""),
        split=split,
        about={"predictions": "masks from files"},
        resamples=resamples,
        seed=seed,
        unscored=unscored or (),
    )


class _Truths:
    """A folder of masks as a data set without images."""

    def __init__(self, folder: Path, labels: Labels | None, *, instances: bool) -> None:
        self.folder, self.labels = folder, labels or numbered_labels(2)
        self._objects = numbered_objects(True, self.labels, []) if instances else None
        self.files = masks_in(folder)
        self.names = list(self.files)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        (path, page), image = self.files[name], np.empty((0, 0), np.uint8)
        if self._objects is None:
            values = read_mask(path, page=page)
            return Sample(image=image, mask=to_classes(values, self.labels, str(path)), name=name)
        mask, objects = self._objects.split(read_mask(path, page=page, colours=True), [name], str(path))
        return Sample(image=image, mask=mask, name=name, instances=objects)


def _cases(
    folder: Path,
    truths: Dataset | _Truths,
    numbered: NumberedObjects | None,
    *,
    progress: bool,
    unscored: list[str] | None,
) -> Iterator[ScoredSample]:
    if not len(truths):
        raise OptionError("the data set is empty: there is nothing to score")
    if truths.labels.overlapping:
        yield from _overlapping_cases(folder, truths, progress=progress, unscored=unscored)
        return
    files = masks_in(folder)
    where = str(folder), str(getattr(truths, "folder", "the data set"))
    partners = {theirs: ours for ours, theirs in pair(files, sample_names(truths), where=where)}

    def case(index: int) -> ScoredSample:
        sample = truths[index]
        path, page = files[partners[sample.name]]
        values = read_mask(path, page=page, colours=numbered is not None)
        if values.shape[:2] != sample.mask.shape:
            raise MaskError(
                f"{path} is {size(values)}, the truth of {sample.name} is {size(sample.mask)} "
                "(height x width): resize the prediction to the truth, with nearest"
            )
        if numbered is None:
            prediction, found = _classes(values, sample.mask, truths.labels, str(path)), None
        else:
            prediction, found = numbered.split(values, [sample.name], str(path))
        return ScoredSample(
            name=sample.name,
            prediction=prediction,
            target=sample.mask,
            image=sample.image if sample.image.size else None,
            info=sample.info,
            valid=valid_pixels(sample),
            instances=None if found is None and sample.instances is None else (found, sample.instances),
        )

    yield from every_case(len(truths), case, progress=progress, unscored=unscored)


def _overlapping_cases(
    folder: Path, truths: Dataset | _Truths, *, progress: bool, unscored: list[str] | None
) -> Iterator[ScoredSample]:
    """Yield the cases of classes that overlap, whose predictions are a file a class or a stack."""
    files, labels = by_name(folder), truths.labels
    found: dict[str, Path | tuple[tuple[int, Path], ...]] = {}
    words, alone = class_words(labels), []
    for name in sample_names(truths):
        layers = take_layers(name, files, words, _SUFFIXES)
        stack = next((name + suffix for suffix in _SUFFIXES if name + suffix in files), None)
        if layers or stack:
            found[name] = layers or files[str(stack)]
        else:
            alone.append(name)
    if alone:
        shown = listed(alone)
        raise FailureError(
            f"{folder} has no prediction for {len(alone)} of {len(truths)} truths: {shown}. Each needs a "
            f"file a class, as {alone[0]}_{words[0][-1]}_mask.png, or a stack, as {alone[0]}_mask.tif"
        )

    def case(index: int) -> ScoredSample:
        sample, plain = truths[index], replace(labels, ignore_index=None)
        files = found[sample.name]
        planes = read_planes(files, plain) if isinstance(files, Path) else read_layers(files, plain)
        if planes.shape != sample.mask.shape:
            raise MaskError(
                f"the prediction of {sample.name} in {folder} is {size(planes[0])}, its truth "
                f"{size(sample.mask[0])} (height x width): resize the prediction to the truth, with nearest"
            )
        return ScoredSample(
            name=sample.name,
            prediction=planes,
            target=sample.mask,
            image=sample.image if sample.image.size else None,
            valid=valid_pixels(sample),
        )

    yield from every_case(len(truths), case, progress=progress, unscored=unscored)


def _classes(
    values: NDArray[Any], target: NDArray[np.uint8], labels: Labels, where: str
) -> NDArray[np.uint8]:
    """Return the class indices of a prediction; where the truth is ignored, anything may stand."""
    if labels.ignore_index is not None:
        ignored = target == labels.ignore_index
        if ignored.any():
            values = np.where(ignored, values.dtype.type(labels.values[0] if labels.values else 0), values)
    return to_classes(values, replace(labels, ignore_index=None), where)


def _check_needs(metrics: Sequence[NamedMetric], folder: Path) -> None:
    for metric in metrics:
        if metric.needs("probabilities"):
            raise OptionError(
                f"metric {metric.name!r} needs probabilities, and {folder} holds masks: score a model, "
                "or leave the metric out"
            )
