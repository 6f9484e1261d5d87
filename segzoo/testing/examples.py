"""Masks, predictions and what goes with them, made up by rule: what metrics are checked on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels

_SIZE = (12, 14)


@dataclass(frozen=True)
class Example:
    """What `segzoo.interfaces.Metric.update` is given of one image.

    Attributes:
        prediction: ``(H, W)`` class indices.
        target: ``(H, W)`` class indices, or ``labels.ignore_index``.
        probabilities: ``(num_classes, H, W)`` float32 that sum to 1; the largest is the prediction's.
        instances: predicted and true objects, ``(H, W)`` int32, 0 for none.
        valid: ``(H, W)`` bool, the field of view.
    """

    prediction: NDArray[np.uint8]
    target: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    instances: tuple[NDArray[np.int32], NDArray[np.int32]]
    valid: NDArray[np.bool_]

    def give(self, metric: Any) -> None:
        """Let a metric count it."""
        metric.update(
            self.prediction,
            self.target,
            probabilities=self.probabilities,
            instances=self.instances,
            valid=self.valid,
        )


def make_examples(labels: Labels, count: int = 6, *, seed: int = 0, plain: bool = False) -> list[Example]:
    """Return images of rectangles and predictions that resemble them; the same on every call.

    Every class occurs. Unless ``plain``, some pixels are ignored, where the labels have an index for that,
    and some lie outside the field of view.
    """
    return [_example(labels, np.random.default_rng((seed, index)), plain) for index in range(count)]


def perfect(labels: Labels, example: Example) -> Example:
    """Return the example with a prediction that is its truth."""
    classes, truth = len(labels.classes), np.where(example.target < len(labels.classes), example.target, 0)
    true = example.instances[1]
    return Example(
        prediction=truth.astype(np.uint8),
        target=example.target,
        probabilities=np.moveaxis(np.eye(classes, dtype=np.float32)[truth], -1, 0),
        instances=(true, true),
        valid=example.valid,
    )


def nothing(labels: Labels, *, ignored: bool) -> Example:
    """Return an image of which no pixel counts: ignored, or outside the field of view."""
    made = _example(labels, np.random.default_rng(0), plain=True)
    target = np.full_like(made.target, labels.ignore_index or 0) if ignored else made.target
    return Example(
        made.prediction, target, made.probabilities, made.instances, np.full(_SIZE, ignored, np.bool_)
    )


def _example(labels: Labels, random: np.random.Generator, plain: bool) -> Example:
    count = len(labels.classes)
    truth, objects = np.zeros(_SIZE, np.uint8), np.zeros(_SIZE, np.int32)
    for number in range(1, count + 4):
        top, left = random.integers(0, _SIZE[0] - 3), random.integers(0, _SIZE[1] - 3)
        height, width = random.integers(2, 7, 2)
        kind = number if number < count else random.integers(count)
        truth[top : top + height, left : left + width] = kind
        objects[top : top + height, left : left + width] = number if kind else 0
    # A corner of each class, since rectangles hide one another.
    truth[0, :count], objects[0, :count] = np.arange(count), np.arange(count) + (np.arange(count) > 0) * 50
    shift = tuple(int(step) for step in random.integers(-1, 2, 2))
    guess, found = np.roll(truth, shift, (0, 1)), np.roll(objects, shift, (0, 1))
    noise = random.random(_SIZE) < 0.05
    guess, found = np.where(noise, 1, guess).astype(np.uint8), np.where(noise, 99, found).astype(np.int32)
    valid = np.ones(_SIZE, np.bool_)
    if not plain:
        valid[:, -int(random.integers(2, 6)) :] = False
        if labels.ignore_index is not None:
            truth[-1] = labels.ignore_index
    scores = random.random((count, *_SIZE)) + 2 * np.moveaxis(np.eye(count)[guess], -1, 0)
    probabilities = (scores / scores.sum(0)).astype(np.float32)
    return Example(guess, truth, probabilities, (found, objects), valid)
