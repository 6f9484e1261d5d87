"""The output keeps segzoo's contract, and draws what it documents."""

import numpy as np
from PIL import Image

from segzoo.prediction import Segmentation, write_outputs
from segzoo.specs import Labels
from segzoo.testing import check_output


def test_the_output_keeps_its_contract():
    check_output("template")


def test_it_is_white_where_classes_meet(tmp_path):
    mask = np.array([[0, 0, 1], [0, 0, 1]], np.uint8)
    found = Segmentation(mask, Labels(classes=("background", "thing")), np.zeros((2, 3, 3), np.uint8))
    (path,) = write_outputs(found, tmp_path / "a", ["template"])
    assert np.asarray(Image.open(path)).tolist() == [[False, True, False], [False, True, False]]
