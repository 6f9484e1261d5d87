"""Chooses values on validation images after training: temperature, thresholds, seeds, the smallest object.

Training does not decide how confident probabilities are, above which probability a pixel belongs to a class,
from which seeds touching objects grow, and which objects are too small to count. These values are chosen in
two deterministic passes over the validation images, and are stored with the weights.

Temperature: Guo et al., 2017, arXiv:1706.04599. Logits are divided by the number that minimises the negative
log-likelihood. This does not change masks of the most probable class.
"""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from segzoo.config import config_of
from segzoo.errors import OptionError
from segzoo.evaluation.cases import check_ready, scored_sample, segmented
from segzoo.evaluation.classes import for_model
from segzoo.evaluation.samples import every_case, named_metrics
from segzoo.files import refuse_taken
from segzoo.labels import alone
from segzoo.machine import parse_device
from segzoo.options import listed
from segzoo.prediction.postprocessing import find_instances, may_lack_measurements, measured_alone
from segzoo.prediction.predictor import Predictor
from segzoo.specs import IGNORED, Separator
from segzoo.training.data.splits import open_part
from segzoo.training.data.trained import open_scored, training_of
from segzoo.training.loop.validation import chosen_by
from segzoo.training.recipe.schema import CHOICES
from segzoo.weights.folder import FILES, save, save_config
from segzoo.weights.loading import load

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.evaluation.samples import NamedMetric, ScoredSample
    from segzoo.interfaces import Dataset, Metric, Sample
    from segzoo.prediction.predictor import Model
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.specs import Labels
    from segzoo.training.recipe.schema import Recipe

_log = logging.getLogger(__name__)

#: Probabilities that are tried as thresholds, and as seeds of the separator, in addition to the current one.
_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
#: A new value must score better than the current one by this much.
_MARGIN = 5e-4
#: The share of the true objects that the largest size to try may remove.
_REMOVED = 0.1
#: Pixels of the smallest seed that are tried, in addition to the current one.
_SMALLEST_SEEDS = (1, 4, 16)
#: Lowest and highest temperature that is tried, relative to the current one.
_COLDEST, _HOTTEST = 0.1, 10.0
#: Most pixels of an image, and most values of all images, for fitting the temperature.
_PIXELS, _VALUES = 20_000, 1 << 25
#: Halvings of the range of temperatures.
_HALVINGS = 40
#: Half-precision probabilities can be exactly 1; they are clipped this far from 1, and from 0.
_LEAST = 1e-7
#: Digits of a threshold that was adjusted to the temperature; it must not round to 0 or 1.
_DIGITS = 6
#: Fields of a `Chosen` that provenance keeps, in addition to its reasons.
_STORED = ("column", "images", "before", "after", "nll_before", "nll_after")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The chosen values, and their effect on the validation score.

    Attributes:
        threshold: probability above which a pixel belongs to the one class of a one-logit network, or to
            each class if classes overlap.
        thresholds: thresholds of individual classes, by name.
        separator: the seeds from which touching objects grow; ``None`` if the network has no separator.
        smallest_object: objects with fewer pixels are removed; 0 keeps all.
        temperature: number by which class logits are divided.
        column: name of the score, such as ``dice_per_image``.
        before: the score with the config's values.
        after: the score with the chosen values.
        nll_before: negative log-likelihood of a pixel at the config's temperature; NaN if none was fitted.
        nll_after: negative log-likelihood of a pixel at the chosen temperature.
        images: number of validation images.
        reasons: one sentence for each value.
    """

    threshold: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    separator: Separator | None = None
    smallest_object: int
    temperature: float
    column: str
    before: float
    after: float
    nll_before: float
    nll_after: float
    images: int
    reasons: tuple[str, ...]

    def applied(self, config: ModelConfig) -> ModelConfig:
        """Return a config that predicts with the chosen values, and records the reasons in its provenance."""
        found = {name: getattr(self, name) for name in _STORED}
        # A config is JSON, which has neither NaN nor tuples.
        kept = {name: one for name, one in found.items() if not isinstance(one, float) or math.isfinite(one)}
        provenance = {**config.provenance, "chosen": {**kept, "reasons": list(self.reasons)}}
        return replace(
            config,
            threshold=self.threshold,
            thresholds=self.thresholds,
            separator=self.separator,
            smallest_object=self.smallest_object,
            temperature=self.temperature,
            provenance=provenance,
        )


def chosen_of(config: ModelConfig) -> Chosen | None:
    """Return the values chosen for weights, as `Chosen.applied` stored them; ``None`` if there are none."""
    told = config.provenance.get("chosen")
    if not isinstance(told, dict) or not isinstance(told.get("reasons"), list):
        return None
    return Chosen(
        threshold=config.threshold,
        thresholds=config.thresholds,
        separator=config.separator,
        smallest_object=config.smallest_object,
        temperature=config.temperature,
        reasons=tuple(told["reasons"]),
        **{name: told.get(name, math.nan) for name in _STORED},
    )


def choose(
    model: Model,
    dataset: Dataset,
    metric: str = "dice",
    *,
    what: Sequence[str] = CHOICES,
    progress: bool = False,
) -> Chosen:
    """Choose the temperature, thresholds, seeds and smallest object that score best on validation images.

    Args:
        model: weights by name, their folder, or a model that segzoo made; it is not changed.
        dataset: validation images, which must not be training images.
        metric: a registered metric, or ``metric.value``: thresholds and the smallest object are chosen for
            its best score. The temperature is chosen for the likelihood of the ground truth, and the seeds
            of the separator for the AP of objects at an IoU of 0.5.
        what: which of ``temperature``, ``threshold``, ``separator`` and ``smallest_object`` to choose; the
            others stay.
        progress: whether to show a bar.

    Raises:
        OptionError: the dataset is empty, a name is unknown, or the model lacks a class.

    Example:
        >>> chosen = choose("runs/cells", validation, "dice.per_image")
        >>> chosen.threshold, chosen.smallest_object, chosen.temperature
    """
    if isinstance(what, str) or not what or set(what) - set(CHOICES):
        raise OptionError(f"what must be a list of some of {listed(CHOICES)}, got {what!r}")
    network = model if isinstance(model, nn.Module) else load(model)
    config = config_of(network)
    dataset = for_model(dataset, config.labels)
    named = named_metrics([metric.partition(".")[0]], dataset.labels)[0]
    column, up = chosen_by(metric, [named])
    score = _Score(column.removeprefix(f"{named.name}_"), up)
    scores_masks = not named.needs("probabilities")
    before, sizes, pixels = named.fresh(), _Sizes(config.labels), _Pixels(config, len(dataset))
    sweeps = _sweeps(config, named) if "threshold" in what and scores_masks else []
    predictor = Predictor(network, backend="eager")
    likelihood = named_metrics(["nll"], dataset.labels)[0]
    wanted = [named, likelihood]
    for sample, found in _segmented(predictor, dataset, wanted, progress=progress):
        case = scored_sample(sample, found, wanted)
        named.count(before, case)
        pixels.add(case)
        sizes.add(case)
        for sweep in sweeps:
            sweep.add(case)
    temperature, nll, reasons = config.temperature, (math.nan, math.nan), list[str]()
    if "temperature" in what:
        temperature, nll, why = pixels.fitted()
        reasons.append(why)
    if "threshold" in what:
        reasons += [sweep.choose(score, column) for sweep in sweeps] or [_why_none(config, named)]
    decided = _with_thresholds(replace(config, temperature=temperature), sweeps, config.temperature)

    tried = [config.smallest_object]
    if "smallest_object" in what and scores_masks:
        tried = sorted({*tried, *sizes.tried()})
    counters = [named.fresh() for _ in tried]
    seeds = _Seeds(config.separator, dataset.labels) if "separator" in what and config.separator else None
    with_decided = Predictor(_deciding(network, decided), backend="eager", smallest_object=0)
    for sample, found in _segmented(with_decided, dataset, [named], progress=progress):
        if seeds is not None:
            seeds.add(sample, found)
        for size, counter in zip(tried, counters, strict=True):
            named.count(counter, scored_sample(sample, found.cleaned(smallest_object=size), [named]))
    scores = [score.of(counter) for counter in counters]
    place = score.best(tried, scores, config.smallest_object)
    separator = config.separator
    if seeds is not None:
        separator, why = seeds.choose()
        reasons.append(why)
    elif "separator" in what and set(what) != {*CHOICES}:
        reasons.append("separator: this network has none")
    if "smallest_object" in what:
        reasons.append(_size_reason(tried, scores, place, config.smallest_object, column))
    return Chosen(
        threshold=decided.threshold,
        thresholds=decided.thresholds,
        separator=separator,
        smallest_object=tried[place],
        temperature=temperature,
        column=column,
        before=score.of(before),
        after=scores[place],
        nll_before=nll[0],
        nll_after=nll[1],
        images=len(dataset),
        reasons=tuple(reasons),
    )


def check_choices(recipe: Recipe, labels: Labels) -> None:
    """Raise before training what `choose_for_run` would raise after it, because a library is missing.

    Raises:
        MissingExtraError: the objects that the seeds of a separator find cannot be scored.
    """
    if "separator" in recipe.choose and recipe.separator:
        _Seeds(Separator(kind="boundary"), labels)


def choose_for_run(recipe: Recipe, *, progress: bool = False) -> Chosen:
    """Choose the values that a recipe asks for, for the weights in its run folder, and store them there.

    Values that were already chosen for exactly these weights stay.

    Args:
        recipe: the recipe of the weights in its ``out``.
        progress: whether to show a bar.

    Raises:
        FailureError: the config cannot be written.
    """
    folder = Path(recipe.out)
    network = load(f"local-dir:{folder}")
    if (known := chosen_of(config_of(network))) is not None:
        return known
    network.to(parse_device(None if recipe.device == "auto" else recipe.device))
    # At the files' own size, which the weights in the folder take.
    dataset = open_part(recipe.source, recipe.split, "val")
    metric = recipe.best or recipe.metrics[0]
    chosen = choose(network, dataset, metric, what=recipe.choose, progress=progress)
    save_config(folder, chosen.applied(config_of(network)))
    return chosen


def calibrate(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    data: str | None = None,
    root: str | None = None,
    part: str = "val",
    data_options: Mapping[str, Any] | None = None,
    metric: str = "dice",
    what: Sequence[str] = ("temperature",),
    device: str | torch.device | None = None,
    overwrite: bool = False,
    progress: bool = False,
    on_message: Callable[[str], object] = _log.info,
) -> Chosen:
    """Choose values on images with masks for trained weights, and write new weights with these values.

    Args:
        model: weights by name, or their folder; they are not changed.
        out: folder for the new weights.
        data: a dataset by name, or a folder or file; if ``None``, the data that the model was trained on.
        root: location of a registered dataset.
        part: part of the data, such as ``val``.
        data_options: options of the dataset; if ``None``, those that the model was trained with.
        metric: the score to maximise, see `choose`.
        what: which values to choose, see `choose`.
        device: device to compute on; by default a GPU if there is one.
        overwrite: whether existing weights in the folder may be replaced.
        progress: whether to show a bar.
        on_message: called with one sentence for each option that was taken from the model's training.

    Raises:
        UnknownNameError: there are no such weights, or no such data.
        OptionError: see `choose`; also if ``data`` is missing and the weights do not name their data.
        FailureError: the folder holds weights already, or cannot be written.
    """
    folder = Path(out)
    refuse_taken([folder / name for name in FILES], overwrite=overwrite)
    network = load(model)
    config = config_of(network)
    trained = training_of(str(model), config.provenance)
    found = open_scored(config.labels, trained, data=data, root=root, part=part, options=data_options)
    for text in found.told:
        on_message(text)
    network.to(parse_device(device))
    chosen = choose(network, found.dataset, metric, what=what, progress=progress)
    # Weights that are stored in half precision keep that size.
    tensors = [one for one in network.state_dict().values() if one.is_floating_point()]
    half = all(torch.equal(one, one.half().to(one.dtype)) for one in tensors)
    save(network, folder, config=chosen.applied(config), dtype=torch.float16 if half else None)
    return chosen


def _segmented(
    predictor: Predictor, dataset: Dataset, metrics: Sequence[NamedMetric], *, progress: bool
) -> Iterator[tuple[Sample, Segmentation]]:
    check_ready(predictor, dataset)

    def segment(index: int) -> tuple[Sample, Segmentation]:
        sample = dataset[index]
        return sample, segmented(predictor, [sample], metrics)[0]

    return every_case(len(dataset), segment, progress=progress, unscored=None)


def _deciding(network: nn.Module, config: ModelConfig) -> nn.Module:
    """Return a network with the same weights that predicts with another config."""
    network = copy.copy(network)
    network.segzoo_config = config  # pyright: ignore[reportArgumentType]
    return network


@dataclass(frozen=True)
class _Score:
    """One value of a metric."""

    value: str
    higher_is_better: bool

    def of(self, counter: Metric) -> float:
        return float(counter.compute()[self.value])

    def best(self, tried: Sequence[float], scores: Sequence[float], now: float) -> int:
        """Return the index of the value closest to the current one among those with about the best score."""
        found = np.nan_to_num(np.array(scores) * (1 if self.higher_is_better else -1), nan=-np.inf)
        good = [place for place, one in enumerate(found) if one >= found.max() - _MARGIN]
        return min(good, key=lambda place: (abs(tried[place] - now), tried[place]))


class _Sweep:
    """The scores of one class at every threshold, counted image by image.

    Args:
        named: the metric.
        labels: labels of the scored masks: two classes.
        index: the class's index if classes overlap, else ``None``.
        now: the class's current threshold.
        name: the class's name.
    """

    def __init__(self, named: NamedMetric, labels: Labels, index: int | None, now: float, name: str) -> None:
        self.named = named if index is None else type(named)(named.name, labels)
        self.labels, self.index, self.now, self.name = labels, index, now, name
        self.tried = sorted({*_THRESHOLDS, now})
        self.counters = [self.named.fresh() for _ in self.tried]
        self.chosen = now

    def add(self, case: ScoredSample) -> None:
        """Count one image, which must have probabilities."""
        assert case.probabilities is not None
        if self.index is None:
            true = None if case.instances is None else case.instances[1]
            probability, target, instances = case.probabilities[-1], case.target, (None, true)
        else:
            probability, target, instances = case.probabilities[self.index], case.target[self.index], None
        for threshold, counter in zip(self.tried, self.counters, strict=True):
            mask = (probability > threshold).astype(np.uint8)
            if may_lack_measurements(case.info, self.labels) and case.image is not None:
                nodata = None if case.info is None else case.info.nodata
                mask = measured_alone(mask, case.image, nodata, self.labels)
            one = replace(case, prediction=mask, target=target, probabilities=None, instances=instances)
            self.named.count(counter, one)

    def choose(self, score: _Score, column: str) -> str:
        """Choose the threshold, and return the reason."""
        scores = [score.of(counter) for counter in self.counters]
        place, before = score.best(self.tried, scores, self.now), scores[self.tried.index(self.now)]
        self.chosen = self.tried[place]
        what = f"threshold of {self.name}" if self.index is not None else "threshold"
        if self.chosen == self.now:
            return f"{what} stays {self.now:g}: no other gains {_MARGIN:g} in {column}, which is {before:.4f}"
        return f"{what} {self.chosen:g} instead of {self.now:g}: {column} {before:.4f} -> {scores[place]:.4f}"


def _sweeps(config: ModelConfig, named: NamedMetric) -> list[_Sweep]:
    """Return a sweep for each class if classes overlap, else one for the second of two classes."""
    labels = config.labels
    if labels.overlapping:
        planes = [replace(alone(labels, index), ignore_index=IGNORED) for index in range(len(labels.classes))]
        return [
            _Sweep(named, plane, index, _now(config, plane.classes[-1]), plane.classes[-1])
            for index, plane in enumerate(planes)
        ]
    if len(labels.classes) != 2:
        return []
    name = labels.classes[1]
    return [_Sweep(named, labels, None, _now(config, name), name)]


def _now(config: ModelConfig, name: str) -> float:
    # With two logits the larger one decides: the config's threshold is for networks with one.
    rest = config.threshold if config.labels.overlapping or config.class_logits == 1 else 0.5
    return config.thresholds.get(name, rest)


def _with_thresholds(config: ModelConfig, sweeps: Sequence[_Sweep], fitted_at: float) -> ModelConfig:
    """Return a config with thresholds that were found at another temperature, converted to its own.

    Args:
        config: config with the new temperature.
        sweeps: the thresholds found; empty if thresholds stay.
        fitted_at: the temperature at which the thresholds were found.
    """
    binary = len(config.labels.classes) == 2 or config.labels.overlapping

    def moved(threshold: float) -> float:
        logit = math.log(threshold / (1 - threshold)) * fitted_at / config.temperature
        if not binary:
            return threshold
        least = 10.0**-_DIGITS
        return min(max(round(1 / (1 + math.exp(-logit)), _DIGITS), least), 1 - least)

    chosen = {sweep.name: moved(sweep.chosen) for sweep in sweeps}
    if sweeps and config.class_logits == 1 and not config.labels.overlapping:
        return replace(config, threshold=chosen.popitem()[1], thresholds={})
    kept = {**{name: moved(value) for name, value in config.thresholds.items()}, **chosen}
    usual = moved(config.threshold) if config.labels.overlapping or config.class_logits == 1 else 0.5
    kept = {name: value for name, value in kept.items() if value != usual}
    threshold = config.threshold if usual == 0.5 and not config.labels.overlapping else usual
    return replace(config, threshold=threshold, thresholds=kept)


def _why_none(config: ModelConfig, named: NamedMetric) -> str:
    if named.needs("probabilities"):
        return f"thresholds stay: {named.name} scores probabilities, not masks"
    return f"thresholds stay: with {len(config.labels.classes)} classes the most probable class is taken"


class _Seeds:
    """The AP of objects for every seed of a separator, counted image by image.

    Args:
        now: the current separator.
        labels: labels of the scored masks.
    """

    def __init__(self, now: Separator, labels: Labels) -> None:
        self._named = named_metrics(["ap"], labels)[0]
        every = [replace(now, seed=seed, smallest=least) for seed in _THRESHOLDS for least in _SMALLEST_SEEDS]
        self._now, self._tried = now, list(dict.fromkeys([now, *every]))
        self._counters = [self._named.fresh() for _ in self._tried]
        self._numbered = False

    def add(self, sample: Sample, found: Segmentation) -> None:
        """Count one image."""
        self._numbered |= sample.instances is not None
        for separator, counter in zip(self._tried, self._counters, strict=True):
            one = scored_sample(sample, replace(found, separator=separator), [self._named])
            self._named.count(counter, one)

    def choose(self) -> tuple[Separator, str]:
        """Return the separator with the best score, and the reason."""
        now = f"seed {self._now.seed:g}, smallest seed {self._now.smallest} pixels"
        if not self._numbered:
            return self._now, f"separator stays {now}: the masks do not number objects"
        scores = [float(counter.compute()["per_image"]) for counter in self._counters]
        place = int(np.argmax(scores))
        best, before, after = self._tried[place], scores[0], scores[place]
        if not after >= before + _MARGIN:
            return self._now, f"separator stays {now}: no other gains {_MARGIN:g} in ap_per_image"
        told = f"seed {best.seed:g}, smallest seed {best.smallest} pixels"
        return best, f"separator with {told} instead of {now}: ap_per_image {before:.4f} -> {after:.4f}"


class _Sizes:
    """The areas of the true objects, which determine the sizes to try."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._areas: list[NDArray[np.int64]] = []

    def add(self, case: ScoredSample) -> None:
        """Add the objects of one image."""
        if case.instances is not None and case.instances[1] is not None:
            _, areas = np.unique(case.instances[1][case.instances[1] > 0], return_counts=True)
            self._areas.append(areas.astype(np.int64))
            return
        ignored = IGNORED if self._labels.overlapping else self._labels.ignore_index
        mask = case.target
        if ignored is not None:
            mask = np.where(mask == ignored, self._labels.background or 0, mask).astype(mask.dtype)
        self._areas.append(find_instances(mask, self._labels).areas)

    def tried(self) -> list[int]:
        """Return 0 and the powers of two up to the size that removes a tenth of the true objects."""
        areas = np.concatenate([*self._areas, np.empty(0, np.int64)])
        most = float(np.quantile(areas, _REMOVED)) if areas.size else 0.0
        return [0, *(2**power for power in range(1, 31) if 2**power <= most)]


def _size_reason(tried: Sequence[int], scores: Sequence[float], place: int, now: int, column: str) -> str:
    before = scores[tried.index(now)]
    if tried[place] != now:
        change = f"{column} {before:.4f} -> {scores[place]:.4f}"
        return f"smallest object {tried[place]} pixels instead of {now}: {change}"
    if len(tried) == 1:
        return f"smallest object stays {now}: the true objects are too small, or the metric scores no masks"
    return f"smallest object stays {now}: no other up to {tried[-1]} pixels gains {_MARGIN:g} in {column}"


class _Pixels:
    """Pixels of every image with their ground truth, for fitting the temperature.

    Pixels are sampled evenly over each image: as many of a small image as of a large one.
    """

    def __init__(self, config: ModelConfig, images: int) -> None:
        self._config, classes = config, max(2, len(config.labels.classes))
        self._most = max(1, min(_PIXELS, _VALUES // (classes * max(images, 1))))
        self._logs: list[NDArray[np.float32]] = []
        self._truths: list[NDArray[np.int64]] = []

    def add(self, case: ScoredSample) -> None:
        """Sample pixels of one image, which must have probabilities."""
        labels, found = self._config.labels, case.probabilities
        assert found is not None
        if labels.overlapping:
            for plane, target in zip(found, case.target, strict=True):
                self._take(plane[None], target, case.valid, IGNORED)
        else:
            self._take(found, case.target, case.valid, labels.ignore_index)

    def _take(
        self,
        found: NDArray[np.float32],
        target: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        ignored: int | None,
    ) -> None:
        counted = np.ones(target.shape, np.bool_) if valid is None else valid.astype(np.bool_)
        if ignored is not None:
            counted &= target != ignored
        where = np.flatnonzero(counted)
        where = where[np.linspace(0, len(where) - 1, min(len(where), self._most)).astype(np.int64)]
        values = found.reshape(len(found), -1)[:, where].astype(np.float64)
        if len(values) == 1:
            values = np.concatenate([1 - values, values])
        logs = np.log(np.clip(values, _LEAST, 1 - _LEAST))
        self._logs.append(logs.T.astype(np.float32))
        self._truths.append(target.ravel()[where].astype(np.int64))

    def fitted(self) -> tuple[float, tuple[float, float], str]:
        """Return the temperature, the likelihoods before and after, and the reason.

        The likelihood is convex in the reciprocal of the temperature, whose derivative is 0 at the best one.
        """
        now = self._config.temperature
        logs = np.concatenate([*self._logs, np.empty((0, self._logs[0].shape[1]), np.float32)])
        truths = np.concatenate(self._truths)
        if not len(truths):
            return now, (math.nan, math.nan), f"temperature stays {now:g}: no validation pixel counts"
        low, high = 1 / _HOTTEST, 1 / _COLDEST
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if _likelihood(logs, truths, middle)[1] > 0 else (middle, high)
        found = float(f"{now / math.sqrt(low * high):.4g}")
        before, after = (_likelihood(logs, truths, one)[0] for one in (1.0, now / found))
        over = f"over {len(truths):,} validation pixels"
        if not after < before:
            told = f"temperature stays {now:g}: no other makes the ground truth more likely, {over}"
            return now, (before, before), told
        inside = 1.01 * _COLDEST < found / now < _HOTTEST / 1.01
        limit = "" if inside else ", the end of the range that is tried"
        told = f"temperature {found:g} instead of {now:g}{limit}: negative log-likelihood of a pixel"
        return found, (before, after), f"{told} {before:.4f} -> {after:.4f}, {over}"


def _likelihood(logs: NDArray[np.float32], truths: NDArray[np.int64], factor: float) -> tuple[float, float]:
    """Return the mean negative log-likelihood of logits times a factor, and its derivative by that."""
    total = slope = 0.0
    for start in range(0, len(truths), 1 << 18):
        part = logs[start : start + (1 << 18)].astype(np.float64)
        true = np.take_along_axis(part, truths[start : start + (1 << 18), None], axis=1)[:, 0]
        scaled = part * factor
        most = scaled.max(axis=1, keepdims=True)
        weights = np.exp(scaled - most)
        sums = weights.sum(axis=1)
        total += float((np.log(sums) + most[:, 0] - factor * true).sum())
        slope += float(((weights * part).sum(axis=1) / sums - true).sum())
    return total / len(truths), slope / len(truths)
