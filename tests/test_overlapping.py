"""Classes that overlap: a sigmoid and a threshold for each, wherever masks are read, decided or written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from goldens import containers
from goldens.golden import Golden
from safetensors.torch import save_file

import segzoo
from segzoo.config import ModelConfig, config_of, from_json, to_json
from segzoo.errors import OptionError
from segzoo.images import placed
from segzoo.prediction.decision import Decision
from segzoo.prediction.predictor import Predictor
from segzoo.specs import Labels, Preprocessing, Resize

CLASSES = ("vessel", "optic disc", "lesion")
LABELS = Labels(classes=CLASSES, overlapping=True)


def network(classes=CLASSES, *, seed=0, resize=None, threshold=0.5):
    """A small U-Net whose classes overlap, with logits of both signs."""
    torch.manual_seed(seed)
    model = segzoo.create(
        "unet/plain", num_classes=len(classes), encoder={"width": 8}, decoder={"widths": [64, 32, 16, 8]}
    )
    model.segzoo_config = replace(
        config_of(model),
        labels=Labels(classes=tuple(classes), overlapping=True),
        threshold=threshold,
        preprocessing=Preprocessing(resize=resize),
    )
    model.eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
    return model


def picture(height=60, width=84, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


# -- labels


def test_one_class_alone_has_one_logit_and_no_background():
    labels = Labels(classes=("cell",), overlapping=True)
    assert (labels.background, labels.foreground, labels.index_type) == (None, (0,), "uint8")
    assert labels.colours[0] != (0, 0, 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"background": 1}, "no background"),
        ({"values": (0, 1, 2)}, "leave out values"),
        ({"ignore_index": 1}, "ignore_index must"),
        ({"classes": ()}, "at least one class"),
    ],
)
def test_labels_that_overlap_refuse_what_means_nothing_for_them(options, told):
    with pytest.raises(OptionError, match=told):
        Labels(**{"classes": CLASSES, "overlapping": True, **options})


def test_a_config_needs_a_logit_for_each_class_and_comes_back_as_it_was():
    config = config_of(network())
    assert from_json(json.loads(json.dumps(to_json(config))), "it") == config
    with pytest.raises(OptionError, match="each of which needs a logit"):
        ModelConfig(architecture=config.architecture, labels=replace(LABELS, classes=("a",)))


def test_a_config_without_overlap_says_nothing_of_it():
    config = replace(config_of(network()), labels=Labels(classes=CLASSES))
    assert not {"background", "overlapping"} & set(to_json(config)["labels"])


# -- decision


@pytest.mark.parametrize("restore", ["logits", "probabilities", None])
@pytest.mark.parametrize("keeps", [None, torch.float32])
def test_a_class_is_there_where_its_sigmoid_exceeds_its_threshold(restore, keeps):
    resize = restore and Resize(
        mode="stretch", height=24, width=40, interpolation="bilinear", restore=restore
    )
    config = replace(config_of(network(resize=resize)), threshold=0.3)
    size = (48, 56)
    (height, width), place = placed(*size, resize)
    logits = 3 * torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))
    mask, *kept = Decision(config, {1: 0.7}, keeps).whole(logits, place, size)
    if restore == "probabilities":
        chances = torch.nn.functional.interpolate(logits.sigmoid()[None], size, mode="bilinear")[0].numpy()
    elif restore == "logits":
        chances = sigmoid(torch.nn.functional.interpolate(logits[None], size, mode="bilinear")[0].numpy())
    else:
        chances = sigmoid(logits.numpy())
    levels = np.array([0.3, 0.7, 0.3])[:, None, None]
    sure = abs(chances - levels) > 1e-5
    assert mask.dtype == torch.uint8
    assert ((mask.numpy() == (chances > levels)) | ~sure).all()
    for one in kept:
        np.testing.assert_allclose(one.numpy(), chances, atol=1e-5)


def test_logits_that_are_all_negative_are_no_class_at_all():
    config = config_of(network())
    (mask,) = Decision(config).whole(torch.full((3, 4, 5), -1.0), placed(4, 5, None)[1], (4, 5))
    assert not mask.any()


def test_one_class_alone_is_decided_by_its_one_logit():
    model, image = network(["cell"]), picture()
    found = Predictor(model, backend="eager")(image)
    assert found.mask.shape == (1, 60, 84)
    logits = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).detach().numpy()[0]
    np.testing.assert_array_equal(found.mask, logits > 0)


@pytest.mark.parametrize("resize", [None, Resize(mode="scale", scale=0.5)])
def test_tiles_find_what_the_whole_image_shows(resize):
    model, image = network(resize=resize), picture(700, 500)
    whole = Predictor(model, backend="eager", thresholds={"lesion": 0.4})(image).mask
    least = "120MB" if resize is None else "80MB"
    predictor = Predictor(model, backend="eager", memory=least, thresholds={"lesion": 0.4})
    prepared = predictor.prepare(image)
    assert prepared.plan is not None
    tiled = predictor.segment_prepared([prepared])[0].mask
    assert whole.shape == tiled.shape == (3, 700, 500)
    assert np.mean(whole != tiled) < 1e-4


def test_views_and_ensembles_average_the_probabilities_of_each_class():
    models, image = [network(seed=seed) for seed in (1, 2)], picture(64, 64)
    alone = [Predictor(one, backend="eager")(image, probabilities=True).probabilities for one in models]
    both = Predictor(models, backend="eager")(image, probabilities=True)
    np.testing.assert_allclose(both.probabilities, np.mean(alone, axis=0), atol=1e-5)
    flipped = Predictor(models[0], backend="eager")(image[:, ::-1].copy(), probabilities=True)
    views = Predictor(models[0], backend="eager", flips=["horizontal"])(image, probabilities=True)
    mean = (alone[0] + flipped.probabilities[..., ::-1]) / 2
    np.testing.assert_allclose(views.probabilities, mean, atol=1e-5)
    np.testing.assert_array_equal(views.mask, views.probabilities > 0.5)


def test_networks_whose_classes_overlap_make_no_ensemble_with_others():
    other = network()
    other.segzoo_config = replace(config_of(other), labels=Labels(classes=CLASSES))
    with pytest.raises(OptionError, match="same kind of classes: the first has classes that overlap"):
        Predictor([network(), other])


# -- checkpoints of other programs


def same_rule(model, golden, logits, threshold=0.5):
    """Whether the masks are those of a sigmoid a class above a threshold, written in plain numpy."""
    config, size = model.segzoo_config, golden.images.shape[-2:]
    decision = Decision(replace(config, preprocessing=Preprocessing()))
    with torch.no_grad():
        (mask,) = decision.whole(model(golden.images)[0], placed(*size, None)[1], tuple(size))
    chances, step = sigmoid(logits), golden.about["output_stride"]
    sure = abs(chances - threshold) > 1e-4
    assert sure.mean() > 0.99
    assert 0 < (chances > threshold).mean() < 1
    return ((mask.numpy()[:, ::step, ::step] == (chances > threshold)) | ~sure).all()


@pytest.mark.parametrize("write", [containers.plain, containers.ascend])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_the_unet_plus_plus_program_and_its_port_give_the_masks_of_their_rule(tmp_path, write, threshold):
    golden = Golden("nested_unet")
    tensors, logits = golden.tensors, golden.logits["logits"].numpy()[0]
    shifts = np.float32([0, -np.median(logits), -2 * abs(logits).max()])
    tensors["final.weight"] = tensors["final.weight"].repeat(3, 1, 1, 1)
    tensors["final.bias"] = tensors["final.bias"] + torch.from_numpy(shifts)
    write(tensors, tmp_path / "model.pth")
    model = segzoo.load(segzoo.convert(tmp_path / "model.pth", tmp_path / "out", threshold=threshold))
    assert model.segzoo_config.labels.classes == ("class 1", "class 2", "class 3")
    assert same_rule(model, golden, logits + shifts[:, None, None], threshold)


def test_where_all_logits_are_negative_the_unet_plus_plus_program_sees_nothing(tmp_path):
    tensors = containers.small(Golden("nested_unet"))
    tensors["final.weight"] = 0 * tensors["final.weight"].repeat(3, 1, 1, 1)
    tensors["final.bias"] = torch.tensor([-1.0, -2.0, -3.0])
    containers.plain(tensors, tmp_path / "model.pth")
    out = segzoo.convert(tmp_path / "model.pth", tmp_path / "out")
    assert not segzoo.predict(picture(), model=out).mask.any()


def test_a_multi_label_folder_of_smp_gives_the_masks_of_its_rule(tmp_path):
    golden = Golden("smp_resnet18")
    (tmp_path / "smp").mkdir()
    save_file(golden.tensors, tmp_path / "smp/model.safetensors")
    (tmp_path / "smp/config.json").write_text(json.dumps({**golden.about["config"], "activation": "sigmoid"}))
    model = segzoo.load(segzoo.convert(tmp_path / "smp", tmp_path / "out"))
    assert same_rule(model, golden, golden.logits["logits"].numpy()[0])
