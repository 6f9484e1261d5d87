"""How uncertain pixels are: entropy from 0 to 1, in Python and as files, whole and by rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import OptionError
from segzoo.prediction import write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels
from segzoo.testing import check_output
from segzoo.weights.folder import save

BINARY = Labels(classes=("background", "cell"))
SEVERAL = Labels(classes=("background", "cell", "rim", "dirt"))
OVERLAPPING = Labels(classes=("vessel", "lesion"), overlapping=True)


def found(probabilities, labels):
    probabilities = np.asarray(probabilities, np.float32)
    size = probabilities.shape[-2:]
    planes = (len(labels.classes),) if labels.overlapping else ()
    return Segmentation(
        np.zeros((*planes, *size), np.uint8), labels, np.zeros((*size, 3), np.uint8), probabilities
    )


def test_entropy_is_that_of_a_loop_over_pixels_and_lies_in_0_to_1():
    chances = np.moveaxis(np.random.default_rng(0).dirichlet(np.ones(4), (7, 9)), -1, 0)
    got = found(chances, SEVERAL).uncertainty()
    for row in range(7):
        for column in range(9):
            expected = -sum(p * math.log(p) for p in chances[:, row, column]) / math.log(4)
            assert got[row, column] == pytest.approx(expected, abs=1e-5)
    assert (got.dtype, got.shape) == (np.float32, (7, 9))


def test_sure_pixels_are_0_and_undecided_ones_1():
    assert found([[[0.0, 1.0, 0.5]]], BINARY).uncertainty() == pytest.approx(np.array([[0, 0, 1]]))
    one_of_four = np.eye(4, dtype=np.float32)[:, None]
    assert (found(one_of_four, SEVERAL).uncertainty() == 0).all()
    assert found(np.full((4, 1, 1), 0.25), SEVERAL).uncertainty() == pytest.approx(1)
    two = found([[[0.5, 0.1]], [[0.5, 0.9]]], BINARY).uncertainty()
    assert two == pytest.approx(found([[[0.5, 0.9]]], BINARY).uncertainty())


def test_classes_that_overlap_are_uncertain_each_by_itself(tmp_path):
    both = found([[[0.5, 1.0]], [[0.0, 0.5]]], OVERLAPPING)
    assert both.uncertainty() == pytest.approx(np.array([[[1, 0]], [[0, 1]]]))
    paths = write_outputs(both, tmp_path / "a", ["uncertainty"])
    assert [path.name for path in paths] == ["a_vessel_uncertainty.png", "a_lesion_uncertainty.png"]
    assert np.asarray(Image.open(paths[1])).tolist() == [[0, 255]]


def test_probabilities_must_have_been_kept(tmp_path):
    nothing = Segmentation(np.zeros((2, 3), np.uint8), BINARY, np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(OptionError, match="probabilities=True"):
        nothing.uncertainty()
    with pytest.raises(OptionError, match="probabilities=True"):
        write_outputs(nothing, tmp_path / "a", ["uncertainty"])


@pytest.mark.medium
def test_the_output_keeps_its_contract():
    check_output("uncertainty")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained network with a mask of both classes."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=3, width=4, depth=3, upsample="bilinear").eval()
    with torch.no_grad():
        model.head.weight.mul_(5)
    return save(model, tmp_path_factory.mktemp("weights") / "model")


@pytest.mark.medium
def test_files_are_grey_pictures_float_tiffs_and_arrays(weights, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (41, 57, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = segzoo.Predictor(weights)(pixels, probabilities=True).uncertainty()
    for word in ("uncertainty", "uncertainty:tif", "uncertainty:npy"):
        command = ["predict", str(tmp_path / "a.png"), "--model", str(weights), "--outputs", word]
        assert run([*command, "--out", str(tmp_path / "out")]) == 0
    grey = np.asarray(Image.open(tmp_path / "out/a_uncertainty.png"))
    assert (grey.dtype, grey.shape) == (np.uint8, (41, 57))
    assert np.abs(grey / 255 - expected).max() < 0.01
    page = tifffile.imread(tmp_path / "out/a_uncertainty.tif")
    array = np.load(tmp_path / "out/a_uncertainty.npy")
    assert page.dtype == array.dtype == np.float32
    assert np.array_equal(page, array)
    assert np.abs(page - expected).max() < 0.01
    with Image.open(tmp_path / "out/a_uncertainty.tif") as picture:
        assert picture.mode == "F"


@pytest.mark.medium
def test_a_large_image_is_written_by_rows(weights, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 900, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    command = ["predict", str(tmp_path / "a.png"), "--model", str(weights), "--outputs", "uncertainty:tif"]
    assert run([*command, "--out", str(tmp_path / "rows"), "--memory", "60MB"]) == 0
    assert run([*command, "--out", str(tmp_path / "whole")]) == 0
    rows, whole = (tifffile.imread(tmp_path / where / "a_uncertainty.tif") for where in ("rows", "whole"))
    assert rows.shape == (1200, 900)
    assert np.abs(rows - whole).max() < 0.02


def test_an_ensemble_and_views_say_how_uncertain_they_are_together(weights):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    predictor = segzoo.Predictor([weights, weights], flips=("horizontal",))
    got = predictor(pixels, probabilities=True).uncertainty()
    assert got.shape == (32, 40)
    assert 0 <= got.min() < got.max() <= 1
