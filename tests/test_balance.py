"""Weights of classes against naive counts, and classes that never occur."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segzoo.build import make_loss
from segzoo.errors import OptionError
from segzoo.interfaces import Sample
from segzoo.specs import Labels
from segzoo.training.data.class_weights import absent, balanced_weights, class_pixels, count_classes, weigh


class Samples:
    """A dataset in memory."""

    def __init__(self, labels, masks, views=None):
        self.labels = labels
        self._masks = [np.asarray(mask, np.uint8) for mask in masks]
        self._views = views or [None] * len(masks)

    def __len__(self):
        return len(self._masks)

    def __getitem__(self, index):
        mask, view = self._masks[index], self._views[index]
        return Sample(np.zeros((*mask.shape, 3), np.uint8), mask, f"sample {index}", field_of_view=view)


LABELS = Labels(classes=("ground", "cell", "vessel"), ignore_index=255)
# The vessel fills half of the one image that shows it; the cell is rare in both.
MASKS = [[[0, 0, 0, 1], [2, 2, 2, 2]], [[0, 0, 0, 0], [0, 0, 1, 255]]]


def test_pixels_are_counted_without_those_that_are_ignored():
    assert class_pixels(Samples(LABELS, MASKS)) == [9, 2, 4]


def test_pixels_outside_the_field_of_view_are_not_counted():
    views = [np.array([[True] * 4, [False] * 4]), None]
    assert class_pixels(Samples(LABELS, MASKS, views)) == [9, 2, 0]


def test_median_frequency_is_that_of_the_paper_with_mean_one():
    frequencies = np.array([9 / 15, 2 / 15, 4 / 8])
    wanted = np.median(frequencies) / frequencies
    assert balanced_weights(Samples(LABELS, MASKS)) == pytest.approx(list(wanted / wanted.mean()))


def test_inverse_weights_are_one_over_the_share_with_mean_one():
    wanted = 1 / np.array([9, 2, 4])
    weights = balanced_weights(Samples(LABELS, MASKS), method="inverse")
    assert weights == pytest.approx(list(wanted / wanted.mean()))


def test_a_class_without_a_pixel_weighs_nothing_and_is_named():
    data = Samples(LABELS, [MASKS[1]])
    counts = count_classes(data)
    weights = weigh(counts)
    assert weights[2] == 0
    assert np.mean(weights[:2]) == pytest.approx(1)
    assert absent(LABELS, counts.pixels).startswith("1 of 3 classes ('vessel') occurs in no training image")
    assert absent(LABELS, [9, 2, 4]) == ""


def test_both_of_two_classes_are_weighed_as_the_loss_of_one_logit_takes_them():
    data = Samples(Labels(classes=("ground", "cell")), [[[0, 0, 0, 1]]])
    weights = balanced_weights(data)
    assert weights == pytest.approx([0.5, 1.5])
    logits, target = torch.zeros(1, 1, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    assert float(make_loss("ce-dice", weights=weights)(logits, target)) > 0


def test_images_without_a_pixel_that_counts_cannot_be_balanced():
    with pytest.raises(OptionError, match="no pixel of the training images counts"):
        balanced_weights(Samples(LABELS, [[[255, 255]]]))


def test_an_unknown_method_is_refused():
    with pytest.raises(OptionError, match="method must be median or inverse, got 'mean'"):
        balanced_weights(Samples(LABELS, MASKS), method="mean")
