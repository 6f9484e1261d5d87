"""The engine keeps segzoo's contract, and it can predict masks."""

import numpy as np

import segzoo
from segzoo.testing import check_engine


def test_the_engine_keeps_its_contract():
    check_engine("template")


def test_a_predictor_runs_on_it():
    model = segzoo.create("unet", num_classes=2, width=4, depth=2)
    predictor = segzoo.Predictor(model, backend="template")
    assert "channels last" in predictor.engine.description
    assert predictor(np.zeros((20, 30, 3), np.uint8)).mask.shape == (20, 30)
