"""Images are prepared as other libraries prepare them, and classes are named as their configs name them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from goldens.golden import uniform
from goldens.libraries import FOLDER, image8
from safetensors.torch import load_file

import segzoo
from segzoo.errors import WeightsError
from segzoo.images import Placement, normalised, resized
from segzoo.prediction.decision import Decision
from segzoo.specs import Preprocessing, Resize
from segzoo.weights.layouts.processors import labels, processor

TRANSFORMERS = ["beit", "mobilevit", "segformer", "segformer_reduce"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def golden(name):
    about = json.loads((FOLDER / f"processor_{name}.json").read_text())
    return about, load_file(FOLDER / f"processor_{name}.safetensors")


def steps(about, expected, preprocessing):
    """How many of 255 grey levels what a network sees differs, at most; a golden may be its middle."""
    image = image8(*about["image"]["size"])
    image = image[..., ::-1] if preprocessing.channels == "bgr" else image
    seen = normalised(resized(image, preprocessing.resize)[0], preprocessing)
    expected = expected[0].numpy()
    spare = [(have - 2 * want) // 2 for have, want in zip(seen.shape[1:], expected.shape[1:], strict=True)]
    rows, columns = (
        slice(max(start, 0), max(start, 0) + 2 * want, 2)
        for start, want in zip(spare, expected.shape[1:], strict=True)
    )
    std = np.array(preprocessing.std).reshape(-1, 1, 1)
    return float((np.abs(seen[:, rows, columns] - expected) * std).max() * 255)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_network_sees_what_the_processor_of_transformers_gives(name):
    about, stored = golden(name)
    made = processor(about["files"]["preprocessor_config.json"])
    assert steps(about, stored["pixel_values_pil"], made.preprocessing) < 1e-3
    assert steps(about, stored["pixel_values"], made.preprocessing) < 1.001
    assert bool(made.notes) == (name in ("beit", "mobilevit"))


def test_a_network_sees_what_the_transforms_of_torchvision_give():
    about, stored = golden("torchvision")
    resize = Resize(mode="short", short=about["args"]["resize_size"], interpolation="bilinear")
    preprocessing = Preprocessing(mean=IMAGENET[0], std=IMAGENET[1], resize=resize)
    assert steps(about, stored["pixel_values"], preprocessing) < 1e-3
    assert steps(about, stored["pixel_values_tensor"], preprocessing) < 1.001


def test_a_network_sees_what_the_pipeline_of_mmsegmentation_gives():
    about, stored = golden("mmseg")
    long, short = about["args"]["scale"]
    resize = Resize(mode="bounds", short=short, long=long, interpolation="bilinear", antialias=False)
    mean, std = (tuple(value / 255 for value in about[key]) for key in ("mean", "std"))
    preprocessing = Preprocessing(mean=mean, std=std, resize=resize)
    assert steps(about, stored["pixel_values"], preprocessing) < 1.001


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_classes_are_those_of_logits_resized_to_the_image(name):
    about, stored = golden(name)
    shape = about["post"]["logits"]["shape"]
    logits = torch.from_numpy(uniform("logits", int(np.prod(shape))).reshape(shape))
    config = segzoo.create("unet", num_classes=shape[1], width=1, depth=2).segzoo_config
    (mask,) = Decision(config).whole(logits[0], Placement(0, 0, *shape[2:]), (*about["post"]["target_size"],))
    assert (mask != stored["class_map"]).float().mean() < 1e-4


@pytest.mark.parametrize(
    ("config", "resize"),
    [
        ({"feature_extractor_type": "SegformerFeatureExtractor", "size": 512, "resample": 2}, (512, 512)),
        (
            {"feature_extractor_type": "BeitFeatureExtractor", "size": 640, "do_center_crop": False},
            (640, 640),
        ),
        ({"image_processor_type": "SegformerImageProcessorFast", "size": None}, (512, 512)),
        ({"image_processor_type": "DPTImageProcessor", "size": {"height": 480, "width": 480}}, (480, 480)),
        ({"image_processor_type": "ViTImageProcessor", "size": [224, 196]}, (224, 196)),
        ({"image_processor_type": "MobileNetV2ImageProcessor", "size": {"shortest_edge": 60}}, (60, 75)),
        ({"image_processor_type": "MobileNetV2ImageProcessor", "size": 60}, (60, 75)),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}}, (384, 384)),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}}, (256, 320)),
        ({"image_processor_type": "Mask2FormerImageProcessor"}, (800, 1024)),
        ({"feature_extractor_type": "MaskFormerFeatureExtractor", "size": 512, "max_size": 600}, (480, 608)),
        ({"image_processor_type": "OneFormerImageProcessor"}, (800, 1000)),
        (
            {
                "image_processor_type": "EomtImageProcessor",
                "size": {"shortest_edge": 64, "longest_edge": None},
            },
            (64, 80),
        ),
        ({"image_processor_type": "EomtImageProcessor"}, (512, 640)),
        ({"image_processor_type": "SegformerImageProcessor", "do_resize": False}, (120, 150)),
        (None, (120, 150)),
    ],
)
def test_sizes_of_every_form_are_understood(config, resize):
    image = np.zeros((120, 150, 3), np.uint8)
    assert resized(image, processor(config).preprocessing.resize)[0].shape[:2] == resize


def test_every_processor_has_the_values_of_its_library():
    assert processor({"image_processor_type": "BeitImageProcessor"}).preprocessing.mean == (0.5, 0.5, 0.5)
    assert processor({"image_processor_type": "EomtImageProcessor"}).preprocessing.mean == IMAGENET[0]
    bare = processor({"image_processor_type": "SegformerImageProcessor", "do_normalize": False}).preprocessing
    assert (bare.mean, bare.std) == ((0.0,), (1.0,))
    mobile = processor({"feature_extractor_type": "MobileViTFeatureExtractor", "size": 544}).preprocessing
    assert (mobile.channels, mobile.mean) == ("bgr", (0.0,))
    grey = processor({"image_mean": 0.4, "image_std": 0.2}, in_channels=1).preprocessing
    assert (grey.channels, grey.mean, grey.std) == ("grey", (0.4,), (0.2,))


def test_values_of_another_range_are_brought_to_it():
    image = np.full((1, 1, 3), 100, np.uint8)
    config = {"do_resize": False, "rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0}
    assert np.allclose(normalised(image, processor(config).preprocessing), 100 / 127.5 - 1)
    config = {"do_resize": False, "do_rescale": False, "image_mean": [90] * 3, "image_std": [50] * 3}
    assert np.allclose(normalised(image, processor(config).preprocessing), 0.2)


def test_what_segzoo_does_otherwise_is_told():
    config = {"image_processor_type": "EomtImageProcessor", "do_split_image": True, "resample": 1}
    windows, lanczos = processor(config).notes
    assert "square windows" in windows
    assert "Lanczos" in lanczos
    (crop,) = processor(
        {"image_processor_type": "BeitImageProcessor", "do_center_crop": True, "crop_size": 64}
    ).notes
    assert "64x64" in crop
    (unknown,) = processor({"image_processor_type": "PicassoImageProcessor"}).notes
    assert "'PicassoImageProcessor', which is unknown" in unknown
    (missing,) = processor(None, model_type="segformer").notes
    assert "there is no preprocessor_config.json: ImageNet's mean and std are assumed" in missing
    (half,) = processor(None, model_type="beit").notes
    assert "mean and std 0.5 are assumed" in half
    (bands,) = processor({"image_processor_type": "SegformerImageProcessor"}, in_channels=5).notes
    assert "3 means, but the network takes 5 bands" in bands


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size": "big"}, "size must be a number of pixels"),
        ({"size": {"height": 5}}, "size must be"),
        ({"size": {"height": 5, "width": -5}}, "size must be"),
        ({"size": 10**9}, "height must be"),
        ({"resample": 9}, "resample must be a number of Pillow's filters"),
        ({"image_mean": "imagenet"}, "image_mean must be a number for each channel"),
        ({"image_std": [0, 1, 1]}, "image_std must be"),
        ({"do_rescale": "yes"}, "do_rescale must be true or false"),
        ({"rescale_factor": -1}, "rescale_factor must be a number above 0"),
        ([1], "it must be an object"),
    ],
)
def test_settings_of_no_known_form_are_refused_by_name(wrong, told):
    with pytest.raises(WeightsError, match=f"preprocessor_config.json: .*{told}"):
        processor(wrong)


def test_classes_are_named_in_numeric_order():
    named = {str(index): f"thing {index}" for index in (10, 2, 0, 1, 9, 3, 4, 8, 7, 6, 5)}
    found, notes = labels({"id2label": named, "semantic_loss_ignore_index": 255}, 11)
    assert found.classes == tuple(f"thing {index}" for index in range(11))
    assert (found.ignore_index, found.background, notes) == (255, None, ())
    assert labels({"id2label": {0: "Background", 1: "cat"}}, 2).labels.background == 0


def test_classes_without_names_of_their_own_are_left_to_segzoo():
    assert labels({}, 4).labels is None
    assert labels({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, 2).labels is None


def test_one_logit_has_a_background_beside_its_class():
    assert labels({"id2label": {"0": "polyp"}}, 1).labels.classes == ("background", "polyp")


def test_what_a_config_says_of_its_classes_is_told():
    config = {"id2label": {"0": "door", "1": "wall", "2": "door"}, "label2id": {"wall": 0}}
    found, (reduced, backwards, twice) = labels(config, 3, preprocessor={"reduce_labels": True})
    assert found.classes == ("door 0", "wall", "door 2")
    assert "reduced by one" in reduced
    assert "label2id" in backwards
    assert "share a name" in twice


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"0": "a", "1": "b"}, "names 2 classes .* its head has 3"),
        ({"0": "a", "2": "b", "3": "c"}, "no name for class 1"),
        ({"a": 0, "b": 1, "c": 2}, "has the key 'a'; its keys must be numbers"),
        (["a", "b", "c"], "must map numbers to names"),
    ],
)
def test_class_names_that_contradict_the_head_are_refused(named, told):
    with pytest.raises(WeightsError, match=told):
        labels({"id2label": named}, 3)
