"""What an evaluation finds, as plain data."""

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
    """The values of one metric and the rules they were counted by.

    Attributes:
        metric: its name.
        values: by name, such as ``per_image`` and ``pooled``.
        contract: which pixels, which classes, which average, which rule for empty masks.
    """

    metric: str
    values: Mapping[str, float]
    contract: str


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of what resamples of the images score."""

    low: float
    high: float


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image.

    Attributes:
        name: of the image in its data set.
        height: of the masks, in pixels.
        width: of the masks, in pixels.
        counted: pixels that count: neither ignored nor outside the field of view.
        scores: by column: the metric's name, and that of the value where the metric has several.
    """

    name: str
    height: int
    width: int
    counted: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class, its pixels pooled over all images; NaN where neither mask has it.

    Attributes:
        name: of the class.
        images: in how many images the truth has it.
        truth: pixels of it in the truth.
        predicted: pixels of it in the predictions.
        iou: intersection over union.
        dice: 2 |A and B| / (|A| + |B|).
        precision: share of its predicted pixels that are right.
        recall: share of its true pixels that were found.
        iou_interval: by bootstrap over images, where there are at least two.
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


#: The rules by which `ClassScore` and the confusion matrix count, with a background and without.
CLASS_CONTRACT = _contract(", background a class like the others")
_BARE_CONTRACT = _contract("")
#: The same for classes that overlap, which have no confusion matrix.
_APART_CONTRACT = (
    "pixels of all images counted together at the image's own size, each class by itself: a pixel may count "
    "in several; pixels of a class that its truth leaves open and those outside the field of view left out; "
    "a class in neither mask has no score, precision and recall of a class in one mask only are 0"
)


def class_contract(labels: Labels) -> str:
    """Return the rules by which `ClassScore` counts."""
    if labels.overlapping:
        return _APART_CONTRACT
    return _BARE_CONTRACT if labels.background is None else CLASS_CONTRACT


@dataclass(frozen=True)
class Panel:
    """One small picture: its caption, what it shows in words, its media type and its bytes."""

    caption: str
    alt: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class WorstImage:
    """An image with one of the lowest scores, and pictures of what went wrong."""

    name: str
    score: float
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class GroupScore:
    """The scores of one group of images, which share a tag's value or a part of their names.

    Attributes:
        by: the tag, or the regular expression.
        name: its value for these images; ``none`` for those without one.
        images: how many they are.
        scores: of every metric.
        intervals: by metric and name of the value, from resamples of these images.
    """

    by: str
    name: str
    images: int
    scores: tuple[Score, ...]
    intervals: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class Bootstrap:
    """How the intervals were made.

    Attributes:
        resamples: how many; 0 for no intervals.
        seed: of the random generator.
        level: share of the resamples inside an interval.
        groups: what was drawn with replacement: images, or groups of them where they are many.
    """

    resamples: int
    seed: int
    level: float
    groups: int

    def words(self, images: int) -> str:
        """Return one sentence on how the intervals of that many images were made."""
        if not self.resamples:
            return "no intervals"
        drawn = f"{images} images" if self.groups == images else f"{self.groups} groups of {images} images"
        how = f"{self.resamples} resamples, seed {self.seed}"
        return f"{self.level:.0%} percentile bootstrap over {drawn}, {how}"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that is known of how well a model, or a folder of predictions, does.

    Attributes:
        subject: what was scored: a model by name, or a folder of predictions.
        data: what it was scored on.
        split: which part of it, if it has parts.
        labels: the classes.
        about: further facts by name, such as the network and its threshold.
        scores: of every metric.
        intervals: by metric and name of the value.
        images: scores of every image.
        order: the column of the image scores by which the worst are found, and whether higher is better.
        classes: scores of every class.
        confusion: ``(classes, classes)`` int64 counts of pixels, rows the truth, columns the prediction;
            ``None`` where classes overlap.
        worst: the worst images, the worst first, where pictures were asked for.
        bootstrap: how the intervals were made.
        unscored: why samples are left out whose files cannot be read; the scores are those of the others.
        groups: scores of groups of images, where they were asked for.
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
        """Pixels that were ignored or outside the field of view."""
        return sum(image.height * image.width - image.counted for image in self.images)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pictures as what ``json.dump`` writes; NaN becomes ``None``."""
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
    """Return JSON that every program reads: NaN and infinity are none of its numbers."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# Scores in words, for pages and terminals alike.


def format_number(value: float) -> str:
    """Return a score as people read it: four decimals, or two from 10 on, and a dash for none."""
    if math.isnan(value):
        return "\N{EN DASH}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def interval_text(interval: Interval | None) -> str:
    """Return ``[low, high]``, or nothing."""
    return "" if interval is None else f"[{format_number(interval.low)}, {format_number(interval.high)}]"


def group_tables(
    evaluation: Evaluation, metric: str
) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Yield a table of cells for each grouping: the groups' values of a metric, with their intervals.

    Args:
        evaluation: with groups, or without any.
        metric: by name.
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
