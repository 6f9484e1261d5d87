"""Every metric once more, slow and simple: from lists of pixels and pairs of objects, by its contract."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from skimage.morphology import skeletonize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.specs import Labels
    from segzoo.testing import Example

    Oracle = Callable[[Labels, Sequence[Example]], Mapping[str, float]]


def visible(labels: Labels, one: Example) -> np.ndarray:
    return one.valid & (one.target != labels.ignore_index)


def pixels(labels: Labels, examples: Sequence[Example]) -> list[tuple[int, int]]:
    """Return (predicted, true) of every pixel that counts."""
    return [
        (int(p), int(t))
        for one in examples
        for p, t in zip(one.prediction[visible(labels, one)], one.target[visible(labels, one)], strict=True)
    ]


def mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


# Scores of classes.


def counts(pairs: Sequence[tuple[int, int]], index: int) -> tuple[int, int, int, int]:
    tp = sum(p == t == index for p, t in pairs)
    fp = sum(p == index != t for p, t in pairs)
    fn = sum(t == index != p for p, t in pairs)
    return tp, fp, fn, len(pairs) - tp - fp - fn


def rate(measure: str, pairs: Sequence[tuple[int, int]], index: int) -> float:
    tp, fp, fn, tn = counts(pairs, index)
    if not tp + fp + fn:
        return math.nan
    top, bottom = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
    }[measure]
    return top / bottom if bottom else 0.0


def class_score(measure: str, first: int = 1, *, frequency: bool = False) -> Oracle:
    def oracle(labels, examples):
        classes = range(first, len(labels.classes))
        single = []
        for one in examples:
            scores = [rate(measure, pixels(labels, [one]), index) for index in classes]
            single.append(mean([1.0 if math.isnan(score) else score for score in scores]))
        everything = pixels(labels, examples)
        scores = [rate(measure, everything, index) for index in classes]
        pooled = mean(scores)
        if frequency:
            true = Counter(t for _, t in everything)
            pooled = sum(true[index] * score for index, score in zip(classes, scores, strict=True))
            pooled /= len(everything)
        return {"per_image": mean(single), "pooled": pooled}

    return oracle


def agreement(measure: Callable[[list[tuple[int, int]]], float]) -> Oracle:
    def oracle(labels, examples):
        single = [measure(pixels(labels, [one])) for one in examples]
        return {"per_image": mean(single), "pooled": measure(pixels(labels, examples))}

    return oracle


def accuracy(pairs):
    return sum(p == t for p, t in pairs) / len(pairs)


def kappa(pairs):
    ours, theirs = Counter(p for p, _ in pairs), Counter(t for _, t in pairs)
    chance = sum(ours[index] * theirs[index] for index in ours) / len(pairs) ** 2
    return (accuracy(pairs) - chance) / (1 - chance)


def mcc(pairs):
    """The correlation of one-hot predictions and truths."""
    classes = sorted({index for pair in pairs for index in pair})
    columns = zip(*pairs, strict=True)
    ours, theirs = (np.array([[one == c for c in classes] for one in column], float) for column in columns)
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    return (ours * theirs).sum() / math.sqrt((ours**2).sum() * (theirs**2).sum())


def confusion(labels, examples):
    pairs, classes = pixels(labels, examples), range(len(labels.classes))
    found = {"accuracy": accuracy(pairs), "kappa": kappa(pairs), "mcc": mcc(pairs)}
    for measure in ("iou", "dice", "precision", "recall", "specificity"):
        scores = {index: rate(measure, pairs, index) for index in classes}
        found[f"mean_{measure}"] = mean(list(scores.values()))
        found |= {f"{measure}/{labels.classes[index]}": score for index, score in scores.items()}
    return found


# Shapes.


def masks(labels: Labels, one: Example, index: int) -> tuple[np.ndarray, np.ndarray]:
    seen = visible(labels, one)
    return (one.prediction == index) & seen, (one.target == index) & seen


def rim(mask, width):
    near = np.pad(mask, width)
    rows, columns = mask.shape
    windows = [
        near[row : row + rows, column : column + columns]
        for row in range(2 * width + 1)
        for column in range(2 * width + 1)
    ]
    return mask & ~np.all(windows, axis=0)


def boundary_iou(labels, examples):
    def common(one, index):
        width = max(round(0.02 * math.hypot(*one.target.shape)), 1)
        ours, theirs = (rim(mask, width) for mask in masks(labels, one, index))
        return (ours & theirs).sum(), (ours | theirs).sum()

    return _of_parts(labels, examples, common, lambda both, either: both / either if either else math.nan)


def cldice(labels, examples):
    def covered(one, index):
        found = []
        ours, theirs = masks(labels, one, index)
        for mask, other in ((ours, theirs), (theirs, ours)):
            line = skeletonize(mask) if mask.any() else mask
            found += [(line & other).sum(), line.sum()]
        return found

    def score(covered, predicted, found, true):
        if not predicted + true:
            return math.nan
        precision, recall = covered / max(predicted, 1), found / max(true, 1)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    return _of_parts(labels, examples, covered, score)


def _of_parts(labels, examples, count, score, absent=1.0):
    """Score counts of each class and image, per image and pooled."""
    classes = range(1, len(labels.classes))
    table = {index: [count(one, index) for one in examples] for index in classes}
    single = []
    for image in range(len(examples)):
        scores = [score(*table[index][image]) for index in classes]
        single.append(mean([absent if math.isnan(value) else value for value in scores]))
    pooled = mean([score(*map(sum, zip(*table[index], strict=True))) for index in classes])
    return {"per_image": mean(single), "pooled": pooled}


def surface(measure: Callable[[np.ndarray, np.ndarray], float]) -> Oracle:
    def edge(mask):
        rows, columns = mask.shape
        beside = ((0, 1), (2, 1), (1, 0), (1, 2))
        inside = [np.pad(mask, 1)[row : row + rows, column : column + columns] for row, column in beside]
        return np.argwhere(mask & ~np.all(inside, axis=0))

    def distance(one, index, labels):
        ours, theirs = masks(labels, one, index)
        if not ours.any() or not theirs.any():
            return math.hypot(*ours.shape) if ours.any() or theirs.any() else 0.0
        table = np.sqrt(((edge(ours)[:, None] - edge(theirs)[None]) ** 2).sum(-1))
        return measure(table.min(1), table.min(0))

    def oracle(labels, examples):
        classes = range(1, len(labels.classes))
        return {
            "per_image": mean([mean([distance(one, index, labels) for index in classes]) for one in examples])
        }

    return oracle


# Probabilities.


def curve(area: Callable[[np.ndarray, np.ndarray], float]) -> Oracle:
    def of(labels, examples, index):
        seen = [visible(labels, one) for one in examples]
        chances = np.concatenate([one.probabilities[index][v] for one, v in zip(examples, seen, strict=True)])
        truth = np.concatenate([one.target[v] == index for one, v in zip(examples, seen, strict=True)])
        return area(chances[truth], chances[~truth]) if truth.any() and not truth.all() else math.nan

    def oracle(labels, examples):
        classes = range(1, len(labels.classes))
        return {
            "pooled": mean([of(labels, examples, index) for index in classes]),
            "per_image": mean([mean([of(labels, [one], index) for one in examples]) for index in classes]),
        }

    return oracle


def roc_auc(positives, negatives):
    higher = positives[:, None] - negatives[None]
    return ((higher > 0) + (higher == 0) / 2).mean()


def average_precision(positives, negatives):
    total, recalls = 0.0, [0.0]
    for threshold in sorted({*positives.tolist(), *negatives.tolist()}, reverse=True):
        true, false = (positives >= threshold).sum(), (negatives >= threshold).sum()
        recalls.append(true / positives.size)
        total += (recalls[-1] - recalls[-2]) * true / (true + false)
    return total


def belief(score: Callable[[list[tuple[list[float], int]]], float]) -> Oracle:
    """Score the probabilities of all classes and the true class, of each pixel."""

    def of(labels, examples):
        found = [
            ([float(chance) for chance in one.probabilities[:, y, x]], int(one.target[y, x]))
            for one in examples
            for y, x in np.argwhere(visible(labels, one))
        ]
        return score(found) if found else math.nan

    def oracle(labels, examples):
        return {"pooled": of(labels, examples), "per_image": mean([of(labels, [one]) for one in examples])}

    return oracle


def calibration_error(found):
    gaps = [0.0] * 15
    for chances, true in found:
        sure = max(chances)
        number = next(i for i in range(15) if sure <= (i + 1) / 15 or i == 14)
        gaps[number] += sure - (chances.index(sure) == true)
    return sum(map(abs, gaps)) / len(found)


def brier(found):
    # One of two classes says all, as the other has what is left.
    total = sum((p - (k == true)) ** 2 for chances, true in found for k, p in enumerate(chances))
    return total / len(found) / (2 if len(found[0][0]) == 2 else 1)


def surprise(found):
    return sum(-math.log(max(chances[true], 1e-7)) for chances, true in found) / len(found)


def mindspore_dice(labels, examples):
    single = []
    for one in examples:
        seen = visible(labels, one)
        p = one.probabilities[:, seen].astype(float)
        y = np.array([one.target[seen] == index for index in range(len(labels.classes))], float)
        single.append(2 * (p * y).sum() / ((p**2).sum() + (y**2).sum() + 1e-6))
    return {"dice": mean(single)}


# Objects.


def objects(labels: Labels, one: Example, index: int, side: int) -> list[np.ndarray]:
    """Return the objects of a class, as sets of pixels that count."""
    seen, numbers = visible(labels, one), one.instances[side]
    classes = (one.prediction, one.target)[side]
    found = []
    for number in sorted(set(numbers[seen].tolist()) - {0}):
        mask = (numbers == number) & seen
        if len(labels.classes) == 2:
            found.append(mask)
            continue
        votes = np.bincount(classes[mask], minlength=len(labels.classes))
        votes[0] = 0
        if votes.any() and votes.argmax() == index:
            found.append(mask)
    return found


def panoptic(labels, examples):
    def count(one, index):
        ours, theirs = objects(labels, one, index, 0), objects(labels, one, index, 1)
        overlaps = [(a & b).sum() / (a | b).sum() for a in ours for b in theirs]
        pairs = [overlap for overlap in overlaps if overlap > 0.5]
        return sum(pairs), len(pairs), len(ours) + len(theirs) - 2 * len(pairs)

    def score(overlap, pairs, unpaired):
        return overlap / (pairs + unpaired / 2) if pairs + unpaired else math.nan

    return _of_parts(labels, examples, count, score, absent=math.nan)


def object_precision(labels, examples):
    levels = [0.5 + step / 20 for step in range(10)]

    def at(level):
        def count(one, index):
            ours, theirs = objects(labels, one, index, 0), objects(labels, one, index, 1)
            right = sum(any((a & b).sum() / (a | b).sum() > level for a in ours) for b in theirs)
            return right, len(ours) - right, len(theirs) - right

        def score(right, extra, missed):
            return right / (right + extra + missed) if right + extra + missed else math.nan

        return _of_parts(labels, examples, count, score, absent=math.nan)

    every = [at(level) for level in levels]
    return {
        name + part: value
        for name in ("per_image", "pooled")
        for part, value in (
            ("", every[0][name]),
            ("/0.75", every[5][name]),
            ("/0.5:0.95", float(np.mean([one[name] for one in every]))),
        )
    }


def count_error(labels, examples):
    single, differences, true = [], [0] * len(labels.classes), [0] * len(labels.classes)
    for one in examples:
        apart = []
        for index in range(1, len(labels.classes)):
            ours, theirs = (len(objects(labels, one, index, side)) for side in (0, 1))
            differences[index] += abs(ours - theirs)
            true[index] += theirs
            apart += [abs(ours - theirs)] if ours + theirs else []
        single += [mean(apart)] if apart else []
    pooled = [apart / all_ for apart, all_ in zip(differences, true, strict=True) if all_]
    return {"per_image": mean(single), "pooled": mean(pooled)}


def jaccard(labels, examples):
    def count(one, index):
        ours, theirs = objects(labels, one, index, 0), objects(labels, one, index, 1)
        common = either = 0
        used = set()
        for shape in theirs:
            overlaps = [(a & shape).sum() / (a | shape).sum() for a in ours]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] > 0:
                used.add(best)
                common, either = common + (ours[best] & shape).sum(), either + (ours[best] | shape).sum()
            else:
                either += shape.sum()
        return common, either + sum(a.sum() for number, a in enumerate(ours) if number not in used)

    return _of_parts(
        labels, examples, count, lambda both, either: both / either if either else math.nan, absent=math.nan
    )


def segments(labels: Labels, one: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true segments of pixels inside true ones of class 1."""
    sides = []
    for side in (0, 1):
        numbers = np.zeros(one.target.shape, int)
        for number, mask in enumerate(objects(labels, one, 1, side), start=1):
            numbers[mask] = number
        sides.append(numbers)
    inside = sides[1] > 0
    ours, theirs = sides[0][inside], sides[1][inside]
    # Between predicted segments every pixel is one of its own.
    ours[ours == 0] = -np.arange(1, (ours == 0).sum() + 1)
    return ours, theirs


def rand(labels, examples):
    scores = []
    for one in examples:
        ours, theirs = segments(labels, one)
        if theirs.size:
            together = ours[:, None] == ours[None], theirs[:, None] == theirs[None]
            both, split, merge = ((together[0] & together[1]).sum(), *(one.sum() for one in together[::-1]))
            scores.append((2 * both / (split + merge), both / split, both / merge))
    names = ("per_image", "per_image/split", "per_image/merge")
    return dict(zip(names, map(mean, zip(*scores, strict=True)), strict=True))


def info(labels, examples):
    def entropy(values):
        shares = [count / len(values) for count in Counter(values).values()]
        return -sum(share * math.log(share) for share in shares)

    scores = []
    for one in examples:
        ours, theirs = (side.tolist() for side in segments(labels, one))
        if theirs:
            joint = entropy(list(zip(ours, theirs, strict=True)))
            total = entropy(ours) + entropy(theirs)
            scores.append(2 * (total - joint) / total if total else 1.0)
    return {"per_image": mean(scores)}


# Other programs'.


def smooth_dice(labels, examples):
    single = []
    for one in examples:
        for index in range(1, len(labels.classes)):
            tp, fp, fn, _ = counts(pixels(labels, [one]), index)
            single.append((2 * tp + 1e-6) / (2 * tp + fp + fn + 1e-6))
    return {"dice": mean(single)}


def pooled_rates(names: Mapping[str, str]) -> Oracle:
    def oracle(labels, examples):
        pairs, classes = pixels(labels, examples), range(len(labels.classes))
        return {
            name: mean([rate(measure, pairs, index) for index in classes]) for name, measure in names.items()
        }

    return oracle


def nested_iou(labels, examples):
    """All of it is one batch."""
    parts = [counts(pixels(labels, examples), index)[:3] for index in range(1, len(labels.classes))]
    common = sum(tp for tp, _, _ in parts)
    return {"iou": (common + 1e-5) / (sum(map(sum, parts)) + 1e-5)}


def smp(labels, examples):
    def both(shown):
        parts = [counts(pixels(labels, shown), index)[:3] for index in range(len(labels.classes))]
        macro = mean([tp / (tp + fp + fn) if tp + fp + fn else 1.0 for tp, fp, fn in parts])
        return macro, sum(tp for tp, _, _ in parts) / sum(map(sum, parts))

    macro, micro = map(mean, zip(*(both([one]) for one in examples), strict=True))
    pooled = dict(zip(("macro", "micro"), both(examples), strict=True))
    return pooled | {"macro_imagewise": macro, "micro_imagewise": micro}


def torchmetrics_iou(labels, examples):
    classes = range(len(labels.classes))
    single = [rate("iou", pixels(labels, [one]), index) for one in examples for index in classes]
    return {**pooled_rates({"jaccard": "iou"})(labels, examples), "mean_iou": mean(single)}


ORACLES: dict[str, Oracle] = {
    **{name: class_score(name) for name in ("dice", "iou", "precision", "recall", "specificity")},
    "miou": class_score("iou", 0),
    "fw-iou": class_score("iou", 0, frequency=True),
    "mean-accuracy": class_score("recall", 0),
    "accuracy": agreement(accuracy),
    "kappa": agreement(kappa),
    "mcc": agreement(mcc),
    "confusion": confusion,
    "boundary-iou": boundary_iou,
    "hd95": surface(lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95))),
    "asd": surface(lambda there, back: np.concatenate([there, back]).mean()),
    "cldice": cldice,
    "roc-auc": curve(roc_auc),
    "average-precision": curve(average_precision),
    "ece": belief(calibration_error),
    "brier": belief(brier),
    "nll": belief(surprise),
    "rand": rand,
    "info": info,
    "ap": object_precision,
    "aji": jaccard,
    "pq": panoptic,
    "count-error": count_error,
    "milesial-dice": smooth_dice,
    "wzmiaomiao-dice": smooth_dice,
    "bubbliiiing-miou": pooled_rates({"mIoU": "iou", "mPA": "recall", "mPrecision": "precision"}),
    "nested-iou": nested_iou,
    "mindspore-dice": mindspore_dice,
    "torchmetrics-miou": torchmetrics_iou,
    "smp-miou": smp,
    "mmseg-miou": pooled_rates({"mIoU": "iou", "mAcc": "recall"}),
}
