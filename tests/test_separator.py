"""Networks with a separator: masks stay what they were, and one plane more says where objects touch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

import segzoo
from segzoo.config import config_of
from segzoo.errors import OptionError
from segzoo.exporting.preprocessing import WholeImage
from segzoo.prediction.combining import Augmented, Ensemble, check_alike
from segzoo.prediction.predictor import Predictor
from segzoo.prediction.tiling import ArrayRows, ArraySink, measure, plan_tiles, segment_large
from segzoo.publishing.card import model_card
from segzoo.specs import Labels, Preprocessing, Resize, Separator, WeightsSpec
from segzoo.weights.converted import declared
from segzoo.weights.folder import save

SIZE = 61, 83


def image(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def separating(logits=1, *, seed=0, resize=None, overlapping=False, **config):
    """A small U-Net whose last logit is a separator's, with masks that are neither empty nor full."""
    torch.manual_seed(seed)
    model = segzoo.create("unet", num_classes=logits + 1, width=2, depth=2).eval()
    with torch.no_grad():
        found = model(torch.rand(1, 3, 64, 64))[0].flatten(1)
        model.head.weight.mul_((2 / found.std(dim=1)).view(-1, 1, 1, 1))
        found = model(torch.rand(1, 3, 64, 64))[0].flatten(1)
        model.head.bias.sub_(found.mean(dim=1))
    names = ("class", "other", "third", "fourth")[: logits if overlapping else max(logits, 2)]
    model.segzoo_config = replace(
        config_of(model),
        labels=Labels(classes=names, overlapping=overlapping),
        preprocessing=Preprocessing(resize=resize),
        separator=Separator(kind="boundary"),
        **config,
    )
    return model


def without(model):
    """The same network without the last logit."""
    config = config_of(model)
    plain = segzoo.create("unet", num_classes=config.class_logits, width=2, depth=2).eval()
    tensors = model.state_dict()
    for name in ("head.weight", "head.bias"):
        tensors[name] = tensors[name][:-1]
    plain.load_state_dict(tensors)
    architecture = replace(config.architecture, num_classes=config.class_logits)
    plain.segzoo_config = replace(config, architecture=architecture, separator=None)
    return plain


def last_logit(model, pixels):
    with torch.no_grad():
        return model(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)[0, -1]


HALF = Resize(mode="scale", scale=0.5)
VARIANTS = [
    {"logits": 1},
    {"logits": 1, "threshold": 0.3},
    {"logits": 2},
    {"logits": 3, "resize": HALF},
    {"logits": 2, "resize": replace(HALF, restore="probabilities")},
    {"logits": 3, "overlapping": True},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("views", [{}, {"flips": ("horizontal",), "scales": (1.0, 0.75)}])
@pytest.mark.parametrize("probabilities", [False, True])
def test_a_separator_changes_no_mask_and_no_probability(options, views, probabilities):
    model, pixels = separating(**options), image()
    apart = Predictor(model, backend="eager", **views)(pixels, probabilities=probabilities, separation=True)
    plain = Predictor(without(model), backend="eager", **views)(pixels, probabilities=probabilities)
    np.testing.assert_array_equal(apart.mask, plain.mask)
    assert len(np.unique(apart.mask)) > 1
    assert plain.separation is None
    assert (apart.separation.dtype, apart.separation.shape) == (np.float32, SIZE)
    if probabilities:
        np.testing.assert_allclose(apart.probabilities, plain.probabilities, atol=1e-6)


def test_the_separation_is_the_sigmoid_of_the_last_logit():
    model, pixels = separating(2), image()
    found = Predictor(model, backend="eager")(pixels, separation=True).separation
    np.testing.assert_allclose(found, last_logit(model, pixels).sigmoid(), atol=1e-6)
    assert 0 <= found.min() < 0.45 < 0.6 < found.max() <= 1


def test_nothing_is_kept_unless_it_is_asked_for_or_objects_are_split_by_it():
    predictor = Predictor(separating(), backend="eager", split_touching=False)
    assert predictor(image()).separation is None
    assert Predictor(separating(), backend="eager")(image()).separation is not None


@pytest.mark.parametrize("resize", [None, HALF])
@pytest.mark.parametrize("probabilities", [False, True])
def test_a_network_without_a_separator_says_so_when_it_is_asked(resize, probabilities):
    predictor = Predictor(without(separating(resize=resize)), backend="eager")
    with pytest.raises(OptionError, match="no output that separates touching objects: train one with"):
        predictor(image(), probabilities=probabilities, separation=True)


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("probabilities", [False, True])
def test_tiles_give_the_separation_of_the_whole_image(options, probabilities):
    model, pixels = separating(**options), image(size=(300, 200))
    whole = Predictor(model, backend="eager")(pixels, probabilities=probabilities, separation=True)
    tiled = Predictor(model, backend="eager")
    tiled.tiler.memory = 10**18
    plan = tiled.tiler._planned(300, 200, 3, 0, 0, 10**18, probabilities=probabilities, side=64)
    assert not plan.single
    assert plan.exact
    mask, kept, apart = tiled.tiler.run(pixels, plan, probabilities=probabilities, separation=True)
    np.testing.assert_allclose(apart, whole.separation, atol=1e-4)
    assert (mask != whole.mask).mean() < 1e-3
    assert (kept is None) is not probabilities
    if probabilities:
        assert kept.shape == whole.probabilities.shape


def test_rows_take_the_separation_where_they_are_asked_to():
    model, pixels = separating(2), image(size=(130, 70))
    mask, apart = ArraySink(130, 70), ArraySink(130, 70)
    plan = plan_tiles(measure(model), 130, 70, memory="1GB", tile=48, separation=True)
    given = {"config": config_of(model), "plan": plan}
    segment_large(model, ArrayRows(pixels), mask, separation=apart, **given)
    whole = Predictor(model, backend="eager")(pixels, separation=True)
    np.testing.assert_allclose(apart.mask, whole.separation, atol=1e-4)
    with pytest.raises(OptionError, match="no output that separates touching objects"):
        segment_large(
            model,
            ArrayRows(pixels),
            mask,
            separation=apart,
            plan=plan,
            config=config_of(without(model)),
        )


def test_a_plan_counts_the_plane_that_may_be_kept():
    traits = measure(separating())
    plans = [plan_tiles(traits, 2000, 2000, memory="1GB", separation=one, tile=512) for one in (False, True)]
    assert plans[0].peak < plans[1].peak


def test_more_memory_is_counted_where_there_is_a_separator():
    model = separating()
    held = [Predictor(one, backend="eager").tiler.held(100, 100) for one in (without(model), model)]
    assert held[1] > held[0]


# -- temperature


@pytest.mark.parametrize("logits", [1, 3])
def test_a_temperature_changes_probabilities_and_neither_masks_nor_separation(logits):
    model, pixels = separating(logits), image()
    hot = separating(logits, temperature=3.0)
    one, other = (
        Predictor(each, backend="eager")(pixels, probabilities=True, separation=True) for each in (model, hot)
    )
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.separation, other.separation)
    with torch.no_grad():
        classes = model(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)[0, :-1] / 3
    expected = classes.sigmoid() if logits == 1 else classes.softmax(dim=0)
    np.testing.assert_allclose(other.probabilities, expected, atol=1e-5)
    assert np.abs(one.probabilities - other.probabilities).max() > 0.1


# -- several views, several networks


class Engine:
    device, description = torch.device("cpu"), "plain"

    def __init__(self, network):
        self.network = network

    def __call__(self, images):
        with torch.no_grad():
            return self.network(images)


@pytest.mark.parametrize("logits", [1, 3])
def test_the_mean_over_views_is_of_sigmoids_for_the_separator(logits):
    model, images = separating(logits), torch.rand(2, 3, 33, 40)
    found = Augmented(Engine(model), flips=("horizontal",), separator=True)(images)
    with torch.no_grad():
        views = [model(images), model(images.flip(-1)).flip(-1)]
    expected = torch.stack([one[:, -1].sigmoid() for one in views]).mean(dim=0)
    torch.testing.assert_close(found[:, -1].sigmoid(), expected)
    plain = Augmented(Engine(without(model)), flips=("horizontal",))(images)
    torch.testing.assert_close(found[:, :-1], plain)


def test_an_ensemble_averages_what_its_networks_say_of_touching_objects():
    models, pixels = [separating(2, seed=seed) for seed in (0, 1)], image()
    apart = [Predictor(one, backend="eager")(pixels, separation=True).separation for one in models]
    both = Predictor(models, backend="eager")(pixels, separation=True).separation
    np.testing.assert_allclose(both, np.mean(apart, axis=0), atol=1e-6)
    assert Ensemble([Engine(models[0])], separator=True)(torch.rand(1, 3, 8, 8)).shape[1] == 3


def test_networks_of_different_separators_are_no_ensemble():
    model = separating(2)
    distance = replace(config_of(model), separator=Separator(kind="distance"))
    with pytest.raises(OptionError, match="same separator: the first has boundary, number 2 has distance"):
        check_alike([config_of(model), distance])


# -- folders and exported files


def test_weights_with_a_separator_come_back_from_their_folder(tmp_path):
    model, pixels = separating(2), image()
    save(model, tmp_path / "weights")
    again = Predictor(tmp_path / "weights", backend="eager")(pixels, separation=True)
    before = Predictor(model, backend="eager")(pixels, separation=True)
    np.testing.assert_array_equal(again.separation, before.separation)
    np.testing.assert_array_equal(again.mask, before.mask)


def test_a_new_head_has_no_separator(tmp_path):
    save(separating(2), tmp_path / "weights")
    model = segzoo.create(str(tmp_path / "weights"), num_classes=4, weights=None)
    assert config_of(model).separator is None
    assert len(config_of(model).labels.classes) == 4


def test_a_file_with_preprocessing_decides_by_the_logits_of_classes():
    model, pixels = separating(3, resize=HALF, temperature=2.0), image()
    with torch.no_grad():
        found = WholeImage(model, config_of(model), torch.uint8)(torch.from_numpy(pixels)).numpy()
    assert (found != Predictor(model, backend="eager")(pixels).mask).mean() < 1e-3


@pytest.mark.slow
def test_an_exported_network_keeps_its_separator(tmp_path):
    model, pixels = separating(1, temperature=2.0), image()
    file = segzoo.export(model, tmp_path / "apart.onnx")
    exported = Predictor(file, backend="eager")(pixels, separation=True)
    before = Predictor(model, backend="eager")(pixels, separation=True)
    np.testing.assert_allclose(exported.separation, before.separation, atol=1e-4)
    np.testing.assert_array_equal(exported.mask, before.mask)
    inside = segzoo.export(model, tmp_path / "inside.onnx", with_preprocessing=True)
    (mask,) = onnxruntime.InferenceSession(inside).run(["mask"], {"image": pixels})
    np.testing.assert_array_equal(mask, before.mask)


def test_registered_weights_may_say_that_they_have_a_separator():
    told = {"summary": "tells cells apart", "model": "unet", "url": "https://example.org/cells.pth"}
    spec = WeightsSpec(
        name="cells", **told, num_classes=2, classes=("no", "cell"), separator=Separator(kind="distance")
    )
    config = declared(spec)
    assert (spec.class_logits, config.class_logits) == (1, 1)
    assert config.separator == Separator(kind="distance")
    several = replace(spec, num_classes=0)
    assert (several.class_logits, declared(several).architecture.num_classes) == (2, 3)


def test_people_read_that_touching_objects_are_told_apart():
    model = separating(2)
    told = "One more logit separates touching objects, by their boundary."
    assert told in model_card(config_of(model), name="cells")
    assert "told apart by the last logit, their boundary" in model._repr_html_()
    assert "threshold" in separating(1)._repr_html_()
