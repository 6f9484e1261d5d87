"""The results of an evaluation, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import segzoo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segzoo.specs import Labels


@dataclass(frozen=True)
class Score:
    """The values of one metric and the rules that define them.

    Attributes:
        metric: name of the metric.
        values: values by name, such as ``per_image`` and ``pooled``.
        contract: which pixels and classes count, how they are averaged, and how empty masks count.
    """

    metric: str
    values: Mapping[str, float]
    contract: str


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the scores of resampled images."""

    low: float
    high: float


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image.

    Attributes:
        name: name of the image in its dataset.
        height: height of the masks in pixels.
        width: width of the masks in pixels.
        counted: number of pixels that count: neither ignored nor outside the field of view.
        scores: scores by column: name of the metric, followed by that of the value if the metric has several.
    """

    name: str
    height: int
    width: int
    counted: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class, with pixels pooled over all images; NaN if neither mask has the class.

    Attributes:
        name: name of the class.
        images: number of images whose ground truth has it.
        truth: number of its pixels in the ground truth.
        predicted: number of its pixels in the predictions.
        iou: intersection over union.
        dice: 2 |A and B| / (|A| + |B|).
        precision: share of its predicted pixels that are correct.
        recall: share of its true pixels that were found.
        iou_interval: confidence interval by bootstrap over images, if there are at least two.
    """

    name: str
    images: int
    truth: int
    predicted: int
    iou: float
    dice: float
    precision: float
    recall: float
    iou_interval: Interval | None = None


def _contract(background: str) -> str:
    return (
        f"pixels of all images counted together at the image's own size{background}; "
        "ignored pixels and those outside the field of view left out; a class in neither mask has no score, "
        "precision and recall of a class in one mask only are 0"
    )


#: The rules of `ClassScore` and the confusion matrix, with and without a background.
CLASS_CONTRACT = _contract(", background a class like the others")
_BARE_CONTRACT = _contract("")
#: The rules for overlapping classes, which have no confusion matrix.
_APART_CONTRACT = (
    "pixels of all images counted together at the image's own size, each class by itself: a pixel may count "
    "in several; pixels of a class that its truth leaves open and those outside the field of view left out; "
    "a class in neither mask has no score, precision and recall of a class in one mask only are 0"
)


def class_contract(labels: Labels) -> str:
    """Return the rules of `ClassScore`."""
    if labels.overlapping:
        return _APART_CONTRACT
    return _BARE_CONTRACT if labels.background is None else CLASS_CONTRACT


@dataclass(frozen=True)
class Panel:
    """One small picture: caption, description, media type and bytes."""

    caption: str
    alt: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class WorstImage:
    """An image with one of the worst scores, and pictures of its errors."""

    name: str
    score: float
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class GroupScore:
    """The scores of one group of images, which share the value of a tag or a part of their names.

    Attributes:
        by: tag or regular expression.
        name: its value for these images; ``none`` for images without one.
        images: number of images.
        scores: scores of every metric.
        intervals: confidence intervals by metric and value, from resamples of these images.
    """

    by: str
    name: str
    images: int
    scores: tuple[Score, ...]
    intervals: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class Bootstrap:
    """How the confidence intervals were computed.

    Attributes:
        resamples: number of resamples; 0 for no confidence intervals.
        seed: seed of the random generator.
        level: confidence level: share of the resamples inside an interval.
        groups: number of units drawn with replacement: images, or groups of images if there are many.
    """

    resamples: int
    seed: int
    level: float
    groups: int

    def words(self, images: int) -> str:
        """Describe in one sentence how the intervals for that many images were computed."""
        if not self.resamples:
            return "no confidence intervals"
        drawn = f"{images} images" if self.groups == images else f"{self.groups} groups of {images} images"
        how = f"{self.resamples} resamples, seed {self.seed}"
        return f"{self.level:.0%} percentile bootstrap over {drawn}, {how}"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All results of evaluating a model, or a folder of predictions.

    Attributes:
        subject: what was scored: name of a model, or a folder of predictions.
        data: name of the dataset.
        split: split of the dataset, if it has splits.
        labels: labels of the classes.
        about: further facts by name, such as the network and its threshold.
        scores: scores of every metric.
        intervals: confidence intervals by metric and value.
        images: scores of every image.
        order: column of the image scores that selects the worst images, and whether higher is better.
        classes: scores of every class.
        confusion: ``(classes, classes)`` int64 pixel counts, rows are ground truth, columns predictions;
            ``None`` if classes overlap.
        worst: the worst images, worst first, if pictures were requested.
        bootstrap: how the confidence intervals were computed.
        unscored: why samples with unreadable files were left out; the scores are those of the others.
        groups: scores of groups of images, if requested.
    """

    subject: str
    data: str
    split: str | None
    labels: Labels
    about: Mapping[str, str]
    scores: tuple[Score, ...]
    intervals: Mapping[str, Mapping[str, Interval]]
    images: tuple[ImageScore, ...]
    order: tuple[str, bool]
    classes: tuple[ClassScore, ...]
    confusion: NDArray[np.int64] | None = field(repr=False)
    worst: tuple[WorstImage, ...] = ()
    bootstrap: Bootstrap
    unscored: tuple[str, ...] = ()
    groups: tuple[GroupScore, ...] = ()

    @property
    def left_out(self) -> int:
        """Number of pixels that were ignored or outside the field of view."""
        return sum(image.height * image.width - image.counted for image in self.images)

    def to_json(self) -> dict[str, Any]:
        """Return everything except the pictures as data for ``json.dump``; NaN becomes ``None``."""
        data = {
            "segzoo": segzoo.__version__,
            "subject": self.subject,
            "data": self.data,
            "split": self.split,
            "about": dict(self.about),
            "labels": asdict(self.labels),
            "bootstrap": asdict(self.bootstrap),
            "scores": _scores(self.scores, self.intervals),
            "groups": [
                {
                    "by": one.by,
                    "name": one.name,
                    "images": one.images,
                    "scores": _scores(one.scores, one.intervals),
                }
                for one in self.groups
            ],
            "classes": {
                "contract": class_contract(self.labels),
                "scores": [asdict(one) for one in self.classes],
            },
            "confusion": None
            if self.confusion is None
            else {
                "contract": f"rows the truth, columns the prediction; {class_contract(self.labels)}",
                "classes": list(self.labels.classes),
                "pixels": self.confusion.tolist(),
            },
            "pixels_left_out": self.left_out,
            "unscored": list(self.unscored),
            "images": [asdict(image) for image in self.images],
            "worst": [{"name": one.name, "score": one.score} for one in self.worst],
        }
        return without_nan(data)


def _scores(scores: Sequence[Score], intervals: Mapping[str, Mapping[str, Interval]]) -> list[dict[str, Any]]:
    return [
        {
            **asdict(score),
            "intervals": {name: [one.low, one.high] for name, one in intervals.get(score.metric, {}).items()},
        }
        for score in scores
    ]


def without_nan(value: Any) -> Any:
    """Return JSON data for every program: NaN and infinity, which JSON does not have, become ``None``."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# Scores as text, for pages and terminals alike.


def format_number(value: float) -> str:
    """Return a score as text: four decimals, or two from 10 on, and a dash for NaN."""
    if math.isnan(value):
        return "\N{EN DASH}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def interval_text(interval: Interval | None) -> str:
    """Return ``[low, high]``, or an empty text."""
    return "" if interval is None else f"[{format_number(interval.low)}, {format_number(interval.high)}]"


def group_tables(
    evaluation: Evaluation, metric: str
) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Yield a table of cells for each grouping: a metric's values for each group, with intervals.

    Args:
        evaluation: evaluation, with or without groups.
        metric: name of the metric.
    """
    for by in dict.fromkeys(one.by for one in evaluation.groups):
        groups = [one for one in evaluation.groups if one.by == by]
        values = [next(score.values for score in one.scores if score.metric == metric) for one in groups]
        names = [name for name in values[0] if "/" not in name] or list(values[0])
        rows = [
            (one.name, f"{one.images:,}", *_cells(names, value, one.intervals.get(metric, {})))
            for one, value in zip(groups, values, strict=True)
        ]
        yield (by, "images", *(cell for name in names for cell in (name, "[95 %]"))), rows


def _cells(
    names: Sequence[str], values: Mapping[str, float], intervals: Mapping[str, Interval]
) -> Iterator[str]:
    for name in names:
        yield format_number(values.get(name, math.nan))
        yield interval_text(intervals.get(name))
