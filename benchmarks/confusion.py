"""The confusion matrix of segzoo against torchmetrics, segmentation_models.pytorch and plain NumPy.

All count the same pairs of masks, in one process on one thread, in turns; times are medians of CPU time, in
milliseconds per megapixel. ``scenes`` are masks of large regions with ragged edges, as masks are; ``noise``
has another class at every pixel, the worst case. Every way's IoU is held against segzoo's.

    python benchmarks/confusion.py [--size 1024] [--classes 21] [--runs 7]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import segmentation_models_pytorch.metrics as smp
import torch
from torchmetrics.classification import BinaryF1Score, MulticlassConfusionMatrix

from segzoo.metrics.confusion import confusion_matrix
from segzoo.metrics.image import check_image
from segzoo.specs import numbered_labels

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[np.ndarray, np.ndarray]


def scenes(size: int, classes: int) -> Pair:
    """Return masks of about a hundred regions, and the same masks with their edges moved and blurred."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((size, size))
    centres = random.integers(0, size, (100, 2))
    owners = random.integers(0, classes, 100).astype(np.uint8)
    nearest = np.full((size, size), np.inf)
    target = np.zeros((size, size), np.uint8)
    for (row, column), owner in zip(centres, owners, strict=True):
        distance = (rows - row) ** 2 + (columns - column) ** 2
        target[distance < nearest] = owner
        nearest = np.minimum(nearest, distance)
    shift = random.integers(-4, 5, (2, size, size))
    moved = target[np.clip(rows + shift[0], 0, size - 1), np.clip(columns + shift[1], 0, size - 1)]
    return moved, target


def noise(size: int, classes: int) -> Pair:
    random = np.random.default_rng(0)
    prediction, target = random.integers(0, classes, (2, size, size)).astype(np.uint8)
    return prediction, target


def ways(pair: Pair, classes: int) -> dict[str, Callable[[], np.ndarray]]:
    prediction, target = pair
    guess, truth = (torch.from_numpy(side).long() for side in pair)
    labels = numbered_labels(classes)
    checking, trusting = (
        MulticlassConfusionMatrix(classes, validate_args=validate) for validate in (True, False)
    )

    def segzoo_checked() -> np.ndarray:
        image = check_image(labels, prediction, target)
        return confusion_matrix(image.prediction, image.target, classes)

    def stats() -> np.ndarray:
        return np.stack(
            [
                part.numpy()[0]
                for part in smp.get_stats(guess[None], truth[None], "multiclass", num_classes=classes)
            ]
        )

    def plain() -> np.ndarray:
        index = target.astype(np.uint16) * np.uint16(classes) + prediction
        return np.bincount(index.ravel(), minlength=classes**2).reshape(classes, classes)

    return {
        "segzoo": lambda: confusion_matrix(prediction, target, classes),
        "segzoo, with its checks": segzoo_checked,
        "numpy.bincount": plain,
        "torchmetrics": lambda: checking(guess, truth).numpy(),
        "torchmetrics, no checks": lambda: trusting(guess, truth).numpy(),
        "smp.get_stats": stats,
    }


def binary_ways(pair: Pair) -> dict[str, Callable[[], float]]:
    prediction, target = pair
    guess, truth = (torch.from_numpy(side).long() for side in pair)
    score = BinaryF1Score(validate_args=False)

    def counted() -> float:
        matrix = confusion_matrix(prediction, target, 2)
        return float(2 * matrix[1, 1] / (2 * matrix[1, 1] + matrix[0, 1] + matrix[1, 0]))

    def floats() -> float:
        # What a program does that makes masks float tensors and multiplies them.
        one, other = guess.float(), truth.float()
        return float(2 * (one * other).sum() / (one.sum() + other.sum()))

    return {
        "segzoo": counted,
        "float tensors": floats,
        "torchmetrics, no checks": lambda: float(score(guess, truth)),
    }


def iou(result: np.ndarray) -> np.ndarray:
    """Return IoU of each class, of a matrix or of smp's (tp, fp, fn, tn)."""
    if result.shape[0] == result.shape[1]:
        common = np.diagonal(result)
        return common / (result.sum(0) + result.sum(1) - common)
    return result[0] / result[:3].sum(0)


def measure(calls: dict[str, Callable[[], object]], runs: int, pixels: int) -> dict[str, float]:
    """Return the median of each call in milliseconds per megapixel, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append((time.process_time() - start) * 1e3 / (pixels / 1e6))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def show(title: str, medians: dict[str, float]) -> None:
    print(f"\n{title:<34}{'ms/Mpx':>10}{'ratio':>9}")
    for name, value in medians.items():
        print(f"{name:<34}{value:>10.2f}{value / medians['segzoo']:>9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size, classes = arguments.size, arguments.classes
    print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}, torch {torch.__version__}")
    print(f"one thread, {size} x {size}, median of {arguments.runs} runs")
    for make in (scenes, noise):
        calls = ways(make(size, classes), classes)
        wanted = iou(calls["segzoo"]())
        for name, call in calls.items():
            np.testing.assert_allclose(iou(call()), wanted, rtol=1e-6, err_msg=name)
        show(f"{classes} classes, {make.__name__}", measure(calls, arguments.runs, size * size))
        binary = binary_ways(make(size, 2))
        scores = {round(call(), 5) for call in binary.values()}
        assert len(scores) == 1, scores
        show(f"binary Dice, {make.__name__}", measure(binary, arguments.runs, size * size))


if __name__ == "__main__":
    main()
