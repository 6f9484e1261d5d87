"""The checks of metrics catch those that break a promise, and say which."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segzoo.errors import OptionError, PluginError
from segzoo.metrics.scores import class_score
from segzoo.specs import MetricSpec
from segzoo.testing import check_metric

HERE = __name__


class Accuracy:
    """Keeps every promise; subclasses break one each."""

    contract = "accuracy; classes: all; average: pooled; empty: NaN; ignored: target 255, invalid"

    def __init__(self, *, labels):
        self.right = self.all = 0

    def update(self, prediction, target, *, probabilities=None, instances=None, valid=None):
        if prediction.shape != target.shape or prediction.dtype.kind not in "iub":
            raise OptionError("masks of one size, please")
        seen = np.ones(target.shape, bool) if valid is None else valid
        self.count((prediction == target)[seen & (target != 255)])

    def count(self, right):
        self.right, self.all = self.right + right.sum(), self.all + right.size

    def merge(self, other):
        self.right, self.all = self.right + other.right, self.all + other.all

    def compute(self):
        return {"pooled": self.right / self.all if self.all else math.nan}


class Silent(Accuracy):
    contract = ""


class Vague(Accuracy):
    contract = "the accuracy"


class Optimist(Accuracy):
    def compute(self):
        return {"pooled": self.right / self.all if self.all else 1.0}


class Growing(Accuracy):
    def compute(self):
        return {"pooled": self.right / self.all} if self.all else {}


class LateName(Accuracy):
    def compute(self):
        return {**super().compute(), **({"more": 1.0} if self.all else {})}


class Averaging(Accuracy):
    """Averages the halves instead of adding counts."""

    def merge(self, other):
        if other.all:
            self.right, self.all = (self.right / self.all + other.right / other.all) / 2, 1


class Blind(Accuracy):
    def update(self, prediction, target, *, valid=None, **rest):
        super().update(prediction, target, **rest)


class Careless(Accuracy):
    def update(self, prediction, target, *, valid=None, **rest):
        shown = np.s_[: min(len(prediction), len(target))]
        super().update(np.asarray(prediction[shown], np.uint8), target[shown], valid=valid)


class Errors(Accuracy):
    def compute(self):
        return {"pooled": 1 - super().compute()["pooled"]}


class Keywordless(Accuracy):
    def update(self, prediction, target):
        super().update(prediction, target)


class Picky(Accuracy):
    def __init__(self, *, labels):
        raise OptionError("four classes, please")


def metric(factory):
    return MetricSpec(name="mine", factory=f"{HERE}:{factory}")


def slow_accuracy(labels, examples):
    pairs = [
        (p, t)
        for one in examples
        for p, t, v in zip(one.prediction.flat, one.target.flat, one.valid.flat, strict=True)
        if v and t != labels.ignore_index
    ]
    return {"pooled": sum(p == t for p, t in pairs) / len(pairs)}


def test_a_metric_that_keeps_its_promises_passes():
    check_metric(metric("Accuracy"), oracle=slow_accuracy, best=1.0)


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("Silent", "must have a `contract` in words"),
        ("Vague", "its contract lacks classes, average, empty, ignored; write"),
        ("Optimist", "before anything is counted, every score must be NaN"),
        ("Growing", "compute.. returns no score"),
        ("LateName", r"its names change from \['pooled'\] to \['pooled', 'more'\]"),
        ("Averaging", "two shards merged give .* all images together"),
        ("Blind", "outside the field of view"),
        ("Careless", "a prediction of another size must be an OptionError"),
        ("Errors", "of a perfect prediction is 0.0, of another .*say higher_is_better=False"),
        ("Keywordless", "promise 'names': it raised TypeError: .*probabilities"),
        ("Picky", "takes none of the labels tried, .*four classes, please"),
    ],
)
def test_a_metric_that_breaks_a_promise_is_told_which(factory, told):
    with pytest.raises(PluginError, match=told):
        check_metric(metric(factory))


def test_a_metric_is_held_against_its_oracle_and_its_best_score():
    with pytest.raises(PluginError, match=r"pooled is 0\.\d+, by its oracle 0\.5"):
        check_metric(metric("Accuracy"), oracle=lambda labels, examples: {"pooled": 0.5})
    with pytest.raises(PluginError, match=r"its oracle names \['dice'\], the metric \['pooled'\]"):
        check_metric(metric("Accuracy"), oracle=lambda labels, examples: {"dice": 0.5})
    with pytest.raises(PluginError, match=r"scores {'pooled': 1\.0}, not 2\.0"):
        check_metric(metric("Accuracy"), best=2.0)


def test_a_metric_for_two_classes_alone_is_checked_on_those():
    def binary(*, labels):
        if len(labels.classes) != 2:
            raise OptionError("two classes, please")
        return class_score(labels=labels)

    globals()["binary"] = binary
    check_metric(metric("binary"))
