"""The metric keeps segzoo's contract, and counts as documented."""

import numpy as np
import pytest

from segzoo.build import make_metric
from segzoo.specs import numbered_labels
from segzoo.testing import check_metric


def test_the_metric_keeps_its_contract():
    check_metric("template")


def test_classes_of_the_foreground_may_be_confused_for_one_another():
    metric = make_metric("template", numbered_labels(3))
    metric.update(np.uint8([[1, 2, 0, 0]]), np.uint8([[2, 2, 1, 0]]))
    assert metric.compute() == pytest.approx({"foreground_iou": 2 / 3})
