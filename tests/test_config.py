"""Configs: what is written is read again, and nothing else is read."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segzoo import json_text
from segzoo.config import Architecture, ModelConfig, from_json, to_json
from segzoo.errors import OptionError, WeightsError
from segzoo.specs import Labels, Preprocessing, Resize, Separator

words = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
versions = st.dictionaries(
    st.sampled_from(["segzoo", "segmentation-zoo", "segzoo-nested", "A.b_c"]),
    st.sampled_from(["0.1.0", "1!2.0rc1+cu118", "0+unknown"]),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
options = st.dictionaries(words, plain, max_size=3)
colour = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def configs(draw):
    classes = tuple(draw(st.lists(names, min_size=2, max_size=5, unique=True)))
    in_channels = draw(st.integers(1, 20))
    given = draw(st.sampled_from([1, in_channels]))
    separator = draw(
        st.none()
        | st.builds(Separator, kind=st.sampled_from(["boundary", "distance"]), smallest=st.integers(1, 9))
    )
    std = tuple(draw(st.lists(st.floats(0.01, 1), min_size=given, max_size=given)))
    return ModelConfig(
        architecture=Architecture(
            name=draw(names),
            num_classes=len(classes) + (separator is not None),
            in_channels=in_channels,
            options=draw(options),
            encoder=draw(options),
            decoder=draw(options),
            requires=draw(versions),
        ),
        preprocessing=Preprocessing(
            channels=draw(st.sampled_from(["rgb", "bgr", "grey", "any"])),
            mean=tuple(draw(st.lists(st.floats(-2, 2), min_size=len(std), max_size=len(std)))),
            std=std,
            resize=draw(st.none() | st.just(Resize(mode="scale", scale=0.5))),
        ),
        labels=Labels(
            classes=classes,
            palette=tuple(draw(st.just(()) | st.tuples(*[colour] * len(classes)))),
            ignore_index=draw(st.none() | st.integers(0, 255)),
        ),
        threshold=draw(st.floats(0.01, 0.99)),
        temperature=draw(st.floats(0.1, 10)),
        separator=separator,
        smallest_object=draw(st.integers(0, 99)),
        licence=draw(names),
        provenance=draw(options),
    )


@pytest.mark.medium
@given(configs())
def test_what_is_written_is_read_again(config):
    assert from_json(json.loads(json.dumps(to_json(config))), "config.json") == config


@given(plain)
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
        ({"threshold": 10**400}, "threshold is too large a number"),
        (
            {"architecture__num_classes": 10**12},
            "architecture: num_classes must be an integer from 1 to 65,535",
        ),
        ({"architecture__in_channels": 0}, "architecture: in_channels must be an integer from 1 to 65,535"),
        ({"architecture__requires": {"segzoo": 5}}, "architecture: requires must name distributions"),
        ({"architecture__requires": {"segzoo": "1' -i evil"}}, "architecture: requires must name"),
        ({"architecture__requires": {"x' ; reboot '": "1"}}, "architecture: requires must name"),
        ({"labels__classes": ["a", "a"]}, r"labels: classes\[0\] and classes\[1\] have the same name, 'a'"),
        ({"labels__classes": ["a", " "]}, r"labels: classes\[1\] must be a name, got ' '"),
        ({"labels__classes": ["a", "\ud800"]}, r"labels.classes\[1\] holds half a character"),
        ({"labels__palette": [[0, 0, 0], [0, 256, 0]]}, r"labels: palette\[1\] \(green\) must be an integer"),
        ({"labels__palette": [[0, 0, -1], [0, 0, 0]]}, r"labels: palette\[0\] \(blue\) must be an integer"),
        ({"labels__values": [0, 70_000]}, r"labels: values\[1\] must be an integer from 0 to 65,535"),
        ({"labels__ignore_index": 256}, "labels: ignore_index must be an integer from 0 to 255"),
        (
            {"preprocessing__mean": [0.0, 0.0], "preprocessing__std": [1.0, 1.0]},
            "for 2 channels, but the netw",
        ),
        ({"preprocessing__mean": [1e300]}, r"preprocessing: mean\[0\] must be a finite number from"),
        ({"preprocessing__std": [1e-300]}, "preprocessing: std must be above 0"),
        ({"preprocessing__resize": {"mode": "scale", "scale": 0}}, "resize: resize scale must lie in"),
        (
            {"preprocessing__resize": {"mode": "letterbox", "height": 9, "width": 9, "fill": 256}},
            "resize fill",
        ),
        (
            {"preprocessing__resize": {"mode": "stretch", "height": 10**9, "width": 9}},
            "resize height must be",
        ),
        ({"preprocessing__resize": {"mode": "stretch", "height": 9, "width": 0}}, "resize width must be"),
        (
            {"preprocessing__resize": {"mode": "stretch", "height": 32_000, "width": 32_000}},
            "exceeds the maximum of",
        ),
        ({"labels__classes": "ab"}, "labels.classes must be a list"),
        ({"labels__classes": ["a", 2]}, r"labels.classes\[1\] must be of type str"),
        ({"labels__classes": ["a", "b", "c"]}, "labels name 3 classes"),
        ({"labels__palette": [[0, 0, 0], [1, 2]]}, r"labels.palette\[1\] must hold 3 values"),
        ({"preprocessing__channels": "rbg"}, "channels must be one of"),
        ({"preprocessing__std": [0.0]}, "std must be above 0"),
        ({"segzoo_format": 2}, "upgrade segzoo"),
        ({"segzoo_format": True}, "upgrade segzoo"),
        ({"k" * 100_000: 1}, r"^.{0,400}$"),
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


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_network_in_the_error_has_all_its_logits(overlapping):
    told = r"num_classes=3 \(the last logit is the separator\)"
    with pytest.raises(OptionError, match=told):
        ModelConfig(
            architecture=Architecture(name="unet", num_classes=3),
            labels=Labels(classes=("a", "b", "c"), overlapping=overlapping),
            separator=Separator(kind="boundary"),
        )


def test_one_logit_tells_two_classes_apart():
    ModelConfig(architecture=Architecture(name="unet", num_classes=1), labels=Labels(classes=("a", "b")))


def test_an_architecture_without_pretraining_keeps_everything_else():
    old = Architecture(name="unet/vgg16", num_classes=2, encoder={"pretrained": True, "depth": 4})
    assert old.without_pretraining().encoder == {"depth": 4}
    assert old.without_pretraining().name == old.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": NaN}', "NaN is not JSON: numbers must be finite"),
        (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
        (b'{"a": 1e400}', "1e400 is too large a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        (b"[" * 100_000, "levels deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "levels deep"),
        (b'"\xff"', "utf-8"),
        (b"{} {}", "Extra data"),
        (b"", "Expecting value"),
    ],
    ids=range(10),
)
def test_json_that_strangers_wrote_is_strict(text, message):
    with pytest.raises(json_text.JsonError, match=message):
        json_text.parse(text)


def test_json_may_begin_with_a_byte_order_mark_and_hold_names_of_files_that_are_not_utf8():
    assert json_text.parse(b'\xef\xbb\xbf{"a": "\\udce9"}') == {"a": "\udce9"}


def test_a_json_file_that_is_huge_or_no_file_is_refused_at_once(tmp_path):
    huge, pipe = tmp_path / "huge.json", tmp_path / "pipe.json"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(pipe)
    with pytest.raises(json_text.JsonError, match="larger than 64 MB"):
        json_text.read(huge)
    with pytest.raises(json_text.JsonError, match="not an ordinary file"):
        json_text.read(pipe)
    with pytest.raises(OSError, match="Is a directory"):
        json_text.read(tmp_path)


def test_a_separator_has_a_logit_of_its_own():
    two = Labels(classes=("background", "cell"))
    config = ModelConfig(
        architecture=Architecture(name="unet", num_classes=2),
        labels=two,
        separator=Separator(kind="boundary"),
    )
    assert config.class_logits == 1
    for logits in (1, 4):
        with pytest.raises(OptionError):
            ModelConfig(
                architecture=Architecture(name="unet", num_classes=logits),
                labels=two,
                separator=Separator(kind="distance"),
            )


def test_a_config_without_what_is_new_is_written_as_older_versions_read_it():
    config = ModelConfig(
        architecture=Architecture(name="unet", num_classes=1), labels=Labels(classes=("background", "cell"))
    )
    assert not {"separator", "temperature", "smallest_object"} & set(to_json(config))
