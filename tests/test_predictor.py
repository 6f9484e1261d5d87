"""Weights made ready for many images give the masks that `segzoo.predict` gives."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.errors import FailureError, OptionError


@pytest.fixture(scope="module")
def model():
    """An untrained U-Net whose logits are spread around zero."""
    torch.manual_seed(0)
    made = segzoo.create("unet", num_classes=1, width=4, depth=3, upsample="bilinear").eval()
    made.head.bias.data.zero_()
    return made


@pytest.fixture(scope="module")
def image():
    """Smooth noise, so that neighbouring pixels are of one class."""
    small = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((75, 61), Image.Resampling.BICUBIC))


def differing(one, other):
    return float((one.mask != other.mask).mean())


def test_what_is_told_may_still_be_called_tell(model):
    told = []
    with pytest.warns(DeprecationWarning, match="tell is called on_message now"):
        segzoo.Predictor(model, tell=told.append)  # pyright: ignore[reportCallIssue]
    assert "float32" in told[-1]


def test_a_predictor_gives_the_mask_of_predict(model, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "image.png")
    told = []
    predictor = segzoo.Predictor(model, on_message=told.append)
    expected = segzoo.predict(image, model=model)
    assert 0.02 < expected.mask.mean() < 0.98
    for picture in (image, Image.fromarray(image), tmp_path / "image.png"):
        assert differing(predictor(picture), expected) < 1e-3
    found = predictor(image, probabilities=True)
    assert np.allclose(
        found.probabilities, segzoo.predict(image, model=model, probabilities=True).probabilities, atol=1e-4
    )
    assert "float32" in told[-1]


@pytest.mark.parametrize("name", ["head.bias", "encoder.stages.1.second.conv.weight"])
def test_a_network_whose_logits_are_no_numbers_is_refused(model, name):
    broken = copy.deepcopy(model)
    broken.state_dict()[name].view(-1)[0] = float("nan")
    with pytest.raises(FailureError, match="Segmenter: the network's logits for a random image are NaN"):
        segzoo.Predictor(broken)


def test_channels_that_the_config_does_not_decode_to_are_told(model, image):
    config = model.segzoo_config
    grey = copy.deepcopy(model)
    grey.segzoo_config = replace(config, preprocessing=replace(config.preprocessing, channels="grey"))
    with pytest.raises(OptionError, match="expects 3 bands, but its config has channels='grey'"):
        segzoo.Predictor(grey)(image)


def test_the_given_model_is_left_as_it_was(model, image):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    segzoo.Predictor(model, precision="fast")(image)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_several_models_are_averaged(model, image):
    torch.manual_seed(1)
    other = segzoo.create("unet", num_classes=1, width=4, depth=3, upsample="bilinear").eval()
    chances = [segzoo.predict(image, model=one, probabilities=True).probabilities for one in (model, other)]
    found = segzoo.Predictor([model, other])(image, probabilities=True)
    assert np.allclose(found.probabilities, np.mean(chances, axis=0), atol=1e-4)


def test_models_of_other_classes_are_no_ensemble(model):
    other = segzoo.create("unet", num_classes=3, width=2, depth=2)
    with pytest.raises(OptionError, match="class"):
        segzoo.Predictor([model, other])


def test_mirrored_images_give_the_mirrored_mask_where_views_are_averaged(model, image):
    predictor = segzoo.Predictor(model, flips=("horizontal", "vertical"))
    mirrored = predictor(np.ascontiguousarray(image[:, ::-1])).mask[:, ::-1]
    # 75 columns are no multiple of the stride: mirroring moves the pooling's grid.
    assert (predictor(image).mask != mirrored).mean() < 0.02


def test_other_options_share_the_engine_and_are_kept_in_copies(model, image):
    first = segzoo.Predictor(model, threshold=0.45)
    usual = first(image)
    chosen = {"threshold": 0.6, "bands": "3,2,1", "intensity": "percentiles:2,98"}
    other = first.with_options(**chosen)
    assert other.engine is first.engine
    assert differing(other(image), segzoo.Predictor(model, **chosen)(image)) == 0
    assert differing(other(image), usual) > 0
    assert differing(first(image), usual) == 0
    assert copy.copy(other).settings == other.settings == segzoo.Predictor(model, **chosen).settings
    assert first.with_options().settings == first.settings
    with pytest.raises(OptionError, match="between 0 and 1"):
        first.with_options(threshold=1)


def test_a_threshold_decides_how_much_is_found(model, image):
    chances = segzoo.predict(image, model=model, probabilities=True).probabilities[0]
    level = float(np.quantile(chances, 0.9))
    assert segzoo.Predictor(model, threshold=level)(image).mask.mean() == pytest.approx(0.1, abs=0.01)
    by_class = segzoo.Predictor(model, thresholds={"class 1": level})(image)
    assert by_class.mask.mean() == pytest.approx(0.1, abs=0.01)


def test_small_objects_go(model, image):
    cleaned = segzoo.Predictor(model, smallest_object=10**6)(image)
    assert not cleaned.mask.any()


@pytest.mark.slow
def test_tiles_give_the_mask_of_the_whole():
    small = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    large = np.asarray(Image.fromarray(small).resize((600, 400), Image.Resampling.BICUBIC))
    # Bilinear steps with aligned corners depend on the size of what they enlarge; these do not.
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, width=4, depth=3).eval()
    told = []
    tiled = segzoo.Predictor(model, memory="45MB", on_message=told.append)
    assert differing(tiled(large), segzoo.predict(large, model=model)) < 1e-4
    assert "tiles" in told[-1]
    chances = tiled(large, probabilities=True).probabilities
    whole = segzoo.Predictor(model, memory="4GB")(large, probabilities=True).probabilities
    assert np.abs(chances - whole).max() < 1e-3


def test_a_budget_that_is_too_small_tells_the_least_one(model, image):
    with pytest.raises(OptionError, match="MB"):
        segzoo.Predictor(model, memory="1MB")(image)


def test_a_batch_of_images_of_one_size_is_segmented_together(model, image):
    predictor = segzoo.Predictor(model)
    prepared = [predictor.prepare(picture) for picture in (image, image[::-1], image[:, ::-1])]
    assert len({one.kind for one in prepared}) == 1
    together = predictor.segment_prepared(prepared)
    for found, picture in zip(together, (image, image[::-1], image[:, ::-1]), strict=True):
        assert differing(found, predictor(picture)) < 1e-3


def test_every_size_down_to_a_single_pixel_is_segmented(model):
    predictor = segzoo.Predictor(model)
    for shape in ((1, 1), (1, 9), (7, 3), (33, 17)):
        assert predictor(np.zeros((*shape, 3), np.uint8)).mask.shape == shape


@pytest.mark.medium
def test_settings_are_equal_only_where_masks_are(model, monkeypatch):
    # As on a machine that has nothing faster than float32.
    slow = torch.float32, "there is nothing faster"
    monkeypatch.setattr("segzoo.prediction.engines.making.fast_dtype", lambda device: slow)
    same = segzoo.Predictor(model).settings
    assert segzoo.Predictor(model).settings == same
    trained = copy.deepcopy(model)
    trained.head.weight.data += 1e-3
    others = [
        segzoo.Predictor(trained),
        segzoo.Predictor(model, threshold=0.4),
        segzoo.Predictor(model, flips=("horizontal",)),
        segzoo.Predictor(model, flips=("vertical",)),
        segzoo.Predictor(model, smallest_object=9),
        segzoo.Predictor(model, precision="fast"),
    ]
    assert len({same, *(other.settings for other in others)}) == 7


def test_tensors_are_segmented_as_the_arrays_they_hold(model, image):
    expected = segzoo.Predictor(model)(image).mask
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
    assert np.array_equal(segzoo.Predictor(model)(tensor, layout="CHW").mask, expected)
    assert np.array_equal(segzoo.predict(tensor / 255, model=model, layout="CHW").mask, expected)


@pytest.mark.medium
def test_a_folder_of_weights_is_a_model_as_text_or_as_a_path(model, image, tmp_path):
    folder = segzoo.save(model, tmp_path / "unet")
    expected = segzoo.predict(image, model=model).mask
    for one in (folder, str(folder)):
        assert np.array_equal(segzoo.predict(image, model=one).mask, expected)
        assert differing(segzoo.Predictor(one)(image), segzoo.predict(image, model=one)) < 1e-3


@pytest.mark.medium
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_predictor_can_be_pickled_and_copied(model, image, precision):
    predictor = segzoo.Predictor(model, precision=precision, threshold=0.4, flips=["horizontal"])
    expected = predictor(image)
    for again in (pickle.loads(pickle.dumps(predictor)), copy.deepcopy(predictor)):
        assert again.settings == predictor.settings
        assert np.array_equal(again(image).mask, expected.mask)


@pytest.mark.slow
def test_a_predictor_works_in_the_processes_of_a_pool(image):
    predictor = segzoo.Predictor("unet-nuclei")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(predictor, image).result()
    assert np.array_equal(found.mask, predictor(image).mask)
