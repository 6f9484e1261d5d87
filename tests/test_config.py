"""Configs: what is written is read again, and nothing else is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segzoo.config import Architecture, ModelConfig, from_json, to_json
from segzoo.errors import OptionError, WeightsError
from segzoo.specs import Labels, Preprocessing, Resize

words = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
options = st.dictionaries(words, plain, max_size=3)
colour = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def configs(draw):
    classes = tuple(draw(st.lists(words, min_size=2, max_size=5)))
    one = st.lists(st.floats(0.01, 1), min_size=1, max_size=4)
    std = tuple(draw(one))
    return ModelConfig(
        architecture=Architecture(
            name=draw(words),
            num_classes=len(classes),
            in_channels=draw(st.integers(1, 20)),
            options=draw(options),
            encoder=draw(options),
            decoder=draw(options),
            requires=draw(st.dictionaries(words, words, max_size=2)),
        ),
        preprocessing=Preprocessing(
            channels=draw(st.sampled_from(["rgb", "bgr", "grey", "any"])),
            mean=tuple(draw(st.lists(numbers, min_size=len(std), max_size=len(std)))),
            std=std,
            resize=draw(st.none() | st.just(Resize(mode="scale", scale=0.5))),
        ),
        labels=Labels(
            classes=classes,
            palette=tuple(draw(st.just(()) | st.tuples(*[colour] * len(classes)))),
            ignore_index=draw(st.none() | st.integers(0, 255)),
        ),
        threshold=draw(st.floats(0.01, 0.99)),
        licence=draw(words),
        provenance=draw(options),
    )


@given(configs())
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read_again(config):
    assert from_json(json.loads(json.dumps(to_json(config))), "config.json") == config


@given(plain)
@settings(max_examples=80, deadline=None)
def test_anything_else_is_refused_in_one_sentence(data):
    with pytest.raises(WeightsError):
        from_json(data, "config.json")


def _data(**changes):
    config = ModelConfig(
        architecture=Architecture(name="unet", num_classes=2), labels=Labels(classes=("a", "b"))
    )
    data = json.loads(json.dumps(to_json(config)))
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"treshold": 0.5}, "unknown key 'treshold'; did you mean 'threshold'"),
        ({"architecture__nmae": "unet"}, "unknown key 'architecture.nmae'; did you mean 'name'"),
        ({"architecture": 3}, r"architecture\.? must be an object, got 3"),
        ({"architecture__name": 3}, "architecture.name must be of type str, got 3"),
        ({"architecture__num_classes": "2"}, "architecture.num_classes must be of type int, got '2'"),
        ({"architecture__num_classes": True}, "architecture.num_classes must be of type int, got True"),
        ({"architecture__num_classes": 2.5}, "architecture.num_classes must be of type int"),
        ({"architecture__options": []}, "architecture.options must be of type dict"),
        ({"threshold": None}, "threshold must be of type float, got None"),
        ({"threshold": 1}, "threshold must lie between 0 and 1"),
        ({"labels__classes": "ab"}, "labels.classes must be a list"),
        ({"labels__classes": ["a", 2]}, r"labels.classes\[1\] must be of type str"),
        ({"labels__classes": ["a", "b", "c"]}, "labels name 3 classes"),
        ({"labels__palette": [[0, 0, 0], [1, 2]]}, r"labels.palette\[1\] must hold 3 values"),
        ({"preprocessing__channels": "rbg"}, "channels must be one of"),
        ({"preprocessing__std": [0.0]}, "std must be above 0"),
        ({"segzoo_format": 2}, "upgrade segzoo"),
    ],
    ids=str,
)
def test_a_key_or_value_that_does_not_belong_is_named(changes, message):
    with pytest.raises(WeightsError, match=message):
        from_json(_data(**changes), "config.json")


def test_a_missing_key_is_named():
    data = _data()
    del data["architecture"]["name"]
    with pytest.raises(WeightsError, match=r"config.json: key 'architecture.name' is missing"):
        from_json(data, "config.json")


def test_reading_leaves_the_data_alone():
    data = _data()
    before = json.dumps(data)
    from_json(data, "config.json")
    assert json.dumps(data) == before


def test_labels_and_logits_must_agree():
    with pytest.raises(OptionError, match="labels name 3 classes"):
        ModelConfig(
            architecture=Architecture(name="unet", num_classes=1), labels=Labels(classes=("a", "b", "c"))
        )


def test_one_logit_tells_two_classes_apart():
    ModelConfig(architecture=Architecture(name="unet", num_classes=1), labels=Labels(classes=("a", "b")))


def test_an_architecture_without_pretraining_keeps_everything_else():
    old = Architecture(name="unet/vgg16", num_classes=2, encoder={"pretrained": True, "depth": 4})
    assert old.without_pretraining().encoder == {"depth": 4}
    assert old.without_pretraining().name == old.name
