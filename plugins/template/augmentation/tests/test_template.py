"""The step keeps segzoo's contract, and does what it documents."""

import numpy as np
from segzoo_template.augmentation import Erase

from segzoo.testing import check_augmentation


def test_the_step_keeps_its_contract():
    check_augmentation("template")


def test_a_quarter_of_each_side_is_grey_and_counts_for_nothing():
    image, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
    made, labels = Erase()(image, mask, np.random.default_rng(0), 255)
    assert (made == 128).all(axis=-1).sum() == 10 * 15
    assert ((labels == 255) == (made == 128).all(axis=-1)).all()
