"""Score a folder of masks that another program wrote. Torch is not needed."""

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

#: Possible endings of mask files after the names of image and class.
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
    """Score a folder of predicted masks, one file per image, against their ground truth.

    Files are paired by name; ``prediction_17.npy`` and ``17.png`` match. Where the ground truth ignores a
    pixel, the prediction may have any value.

    Args:
        predictions: folder of images with one value per pixel, or ``.npy`` files of integers ``(H, W)``. If
            classes overlap, one file per class (``cat_ear_mask.png``, ``ear/cat.png``) or a stack, as
            `segzoo predict` writes them.
        truth: folder of the same kind, or a dataset whose samples have the predictions' names.
        labels: classes and their values in the files; two classes by default. A dataset has its own.
        metrics: names of registered metrics; the first selects the worst images.
        data: name of the ground truth in the result; by default the folder's name.
        split: split of a dataset, such as ``test``, in the result.
        instances: whether masks in folders number their objects, all of one class; a dataset defines this
            itself.
        worst: number of worst images whose pictures are kept.
        resamples: number of bootstrap resamples; 0 for no confidence intervals.
        seed: seed of the bootstrap.
        keep_going: whether pairs with an unreadable or unfitting file are left out and reported in
            `Evaluation.unscored`, unless all are; otherwise the first one raises an error.
        by: tags of a dataset, or regular expressions for names: these groups are also scored separately.
        progress: whether to show a progress bar.

    Raises:
        OptionError: a metric needs more than masks.
        FailureError: a file has no partner or another size; the message lists it.
        MaskError: a file cannot be read, or has a value that belongs to no class.

    Example:
        >>> labels = segzoo.specs.numbered_labels(4)
        >>> found = segzoo.evaluation.score_predictions("predictions", "truths", labels=labels)
        >>> found.classes[1].iou
    """
    folder = Path(predictions)
    if isinstance(truth, str | os.PathLike):
        if labels is not None and labels.overlapping:
            raise OptionError(
                "for overlapping classes, the ground truth must be a dataset with that option: --data DIR "
                "--data-option overlapping=true, or open_dataset(DIR, overlapping=True)"
            )
        truths = _Truths(Path(truth), labels, instances=instances)
    else:
        truths = truth
    if instances and truths.labels.overlapping:
        raise OptionError("object numbers in masks need objects of one class, but these classes overlap")
    counted = named_metrics(metrics, truths.labels)
    _check_needs(counted, folder)
    given: Any = {"worst": worst, "bootstrap": resamples > 0, "by": read_groupings(by, truths)}
    result = Evaluator(counted, truths.labels, **given)
    unscored: list[str] | None = [] if keep_going else None
    # Ignored pixels are cut out of a prediction, in which any number is an object.
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
    """A folder of masks as a dataset without images."""

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
        raise OptionError("the dataset is empty: there is nothing to score")
    if truths.labels.overlapping:
        yield from _overlapping_cases(folder, truths, progress=progress, unscored=unscored)
        return
    files = masks_in(folder)
    where = str(folder), str(getattr(truths, "folder", "the dataset"))
    partners = {theirs: ours for ours, theirs in pair(files, sample_names(truths), where=where)}

    def case(index: int) -> ScoredSample:
        sample = truths[index]
        path, page = files[partners[sample.name]]
        values = read_mask(path, page=page, colours=numbered is not None)
        if values.shape[:2] != sample.mask.shape:
            raise MaskError(
                f"{path} has size {size(values)}, but the ground truth of {sample.name} has "
                f"{size(sample.mask)} (height x width): resize the prediction with nearest-neighbour "
                "interpolation"
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
    """Yield the cases of overlapping classes, whose predictions are one file per class or a stack."""
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
            f"{folder} has no prediction for {len(alone)} of {len(truths)} ground truths: {shown}. Each "
            f"needs one file per class, such as {alone[0]}_{words[0][-1]}_mask.png, or a stack, "
            f"{alone[0]}_mask.tif"
        )

    def case(index: int) -> ScoredSample:
        sample, plain = truths[index], replace(labels, ignore_index=None)
        files = found[sample.name]
        planes = read_planes(files, plain) if isinstance(files, Path) else read_layers(files, plain)
        if planes.shape != sample.mask.shape:
            raise MaskError(
                f"the prediction of {sample.name} in {folder} has size {size(planes[0])}, but its ground "
                f"truth {size(sample.mask[0])} (height x width): resize the prediction with "
                "nearest-neighbour interpolation"
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
    """Return the class indices of a prediction; ignored pixels may have any value."""
    if labels.ignore_index is not None:
        ignored = target == labels.ignore_index
        if ignored.any():
            values = np.where(ignored, values.dtype.type(labels.values[0] if labels.values else 0), values)
    return to_classes(values, replace(labels, ignore_index=None), where)


def _check_needs(metrics: Sequence[NamedMetric], folder: Path) -> None:
    for metric in metrics:
        if metric.needs("probabilities"):
            raise OptionError(
                f"metric {metric.name!r} needs probabilities, but {folder} contains masks: score a model, "
                "or leave the metric out"
            )
