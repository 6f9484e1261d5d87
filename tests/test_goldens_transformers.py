"""Folders of transformers give the logits that the library gives."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from goldens.libraries import LibraryGolden, names

import segzoo
from segzoo import zoo
from segzoo.architecture import build
from segzoo.errors import WeightsError
from segzoo.plugins import resolve
from segzoo.weights.layouts import Checkpoint

NAMES = names("transformers_")


def checkpoint_of(golden, tensors=None, **config):
    files = golden.about["files"]
    extras = {"config": {**files["config.json"], **config}}
    extras["preprocessor_config"] = files["preprocessor_config.json"]
    return Checkpoint(tensors=tensors or golden.tensors, extras=extras, file=golden.name)


def converted(checkpoint, **options):
    """What the layout makes of a checkpoint, and its network."""
    conversion = resolve(zoo.registry("layouts").get("segzoo-transformers:transformers").factory)(
        checkpoint, **options
    )
    network = build(conversion.architecture).eval()
    assert conversion.transfer.troubles(network.state_dict()) == ([], [], [])
    network.load_state_dict(conversion.transfer.tensors)
    return conversion, network


#: Those that take more than a second.
SLOW = ("transformers_segformer_b0_150", "transformers_mobilenetv2_deeplab", "transformers_mask2former")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES]
)
def test_a_folder_gives_the_logits_of_transformers(name, record_property):
    golden = LibraryGolden(name)
    conversion, network = converted(checkpoint_of(golden))
    with torch.no_grad():
        logits = network(golden.images)
    error = golden.error(logits)
    record_property("relative_error", error)
    print(f"{name}: {error:.2e}")
    assert error <= golden.tolerance
    assert len(conversion.labels.classes) == golden.about["num_classes"]
    assert conversion.labels.classes[:2] == ("class_0", "class_1")


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("transformers_eomt", {"num_attention_heads": 0}, "transformers cannot load it: ZeroDivisionError"),
        ("transformers_eomt", {"patch_size": 0}, "patch_size must be at least 1, got 0"),
        ("transformers_eomt", {"image_size": -4}, "image_size must be at least 1, got -4"),
        ("transformers_eomt", {"mlp_ratio": 10**9}, "whose network has .* parameters: the file holds"),
        ("transformers_eomt", {"architectures": 2.5}, r"cannot be read by layout .* \(TypeError"),
        ("transformers_eomt", {"num_hidden_layers": 10**6}, "must be at most 1000"),
        ("transformers_upernet_swin", {"backbone_config": {"model_type": [0]}}, "TypeError"),
    ],
)
def test_a_config_that_nobody_wrote_is_an_error_of_the_file(tmp_path, name, damage, told):
    folder = LibraryGolden(name).write(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **damage}))
    with pytest.raises(WeightsError, match=told):
        segzoo.convert(folder, tmp_path / "made")


@pytest.mark.medium
def test_tensors_of_half_the_bits_are_widened():
    golden = LibraryGolden("transformers_segformer_tiny")
    halved = {
        name: one.bfloat16() if one.is_floating_point() else one for name, one in golden.tensors.items()
    }
    _, network = converted(checkpoint_of(golden, halved, dtype="bfloat16"))
    widened = {name: one.float() if one.is_floating_point() else one for name, one in halved.items()}
    _, wanted = converted(checkpoint_of(golden, widened))
    with torch.no_grad():
        logits = network(golden.images)
        assert logits.dtype == torch.float32
        assert torch.equal(logits, wanted(golden.images))


@pytest.mark.medium
def test_names_in_memory_are_read_as_those_in_files():
    golden = LibraryGolden("transformers_segformer_tiny")
    _, network = converted(checkpoint_of(golden))
    inside = {name.removeprefix("network."): one for name, one in network.state_dict().items()}
    assert (set(inside) != set(golden.tensors)) == (transformers.__version__ >= "5")
    _, again = converted(checkpoint_of(golden, inside))
    with torch.no_grad():
        assert torch.equal(again(golden.images), network(golden.images))


@pytest.mark.medium
def test_what_only_training_uses_is_left_out_by_name():
    golden = LibraryGolden("transformers_upernet_swin")
    conversion, _ = converted(checkpoint_of(golden))
    left = conversion.transfer.left_out
    assert left
    assert all(name.startswith(("auxiliary_head.", "backbone.swin.layernorm.")) for name in left)


def layout(checkpoint):
    return resolve(zoo.registry("layouts").get("segzoo-transformers:transformers").factory)(checkpoint)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"auto_map": {"AutoModel": "x.Y"}}, r"names code of its own \(auto_map\)"),
        ({"architectures": ["SegformerForWonders"]}, "a class that transformers .* does not have"),
        ({"architectures": ["SegformerForImageClassification"]}, "weights of another task"),
        ({"model_type": "segformed"}, "no model_type 'segformed'; did you mean 'segformer'"),
        ({"quantization_config": {"bits": 4}}, "quantised weights"),
        ({"id2label": {"0": "a", "1": "b"}}, "names 2 classes .id2label., its head has 5"),
        ({"id2label": {"a": "b"}}, "has the key 'a'; its keys must be numbers"),
        ({"hidden_sizes": [8, 16, 24, 40]}, "contradicts its config in .* tensors:"),
        ({"num_channels": "three"}, "num_channels 'three'"),
        ({"hidden_sizes": [8, 16, 24, -4]}, r"hidden_sizes must be at least 1, got \[8, 16, 24, -4\]"),
        ({"decoder_hidden_size": 10**6}, "whose network has .* parameters: the file holds"),
    ],
)
def test_a_config_that_is_not_of_its_tensors_is_refused(config, told):
    golden = LibraryGolden("transformers_segformer_tiny")
    with pytest.raises(WeightsError, match=told):
        layout(checkpoint_of(golden, **config))


def test_a_config_without_names_follows_the_head():
    golden = LibraryGolden("transformers_segformer_tiny")
    checkpoint = checkpoint_of(golden, id2label=None, label2id=None)
    conversion, network = converted(checkpoint)
    assert conversion.labels is None
    assert network.num_logits == 5


def test_tensors_that_lack_or_are_too_many_are_listed():
    golden = LibraryGolden("transformers_segformer_tiny")
    tensors = dict(golden.tensors)
    lost = tensors.pop("decode_head.linear_fuse.weight")
    tensors["decode_head.linear_glue.weight"] = lost
    checkpoint = checkpoint_of(golden, tensors)
    conversion = layout(checkpoint)
    missing, extra, wrong = conversion.transfer.troubles(build(conversion.architecture).state_dict())
    assert missing == ["missing: decode_head.linear_fuse.weight"]
    assert extra == ["not in the network: decode_head.linear_glue.weight (24, 96, 1, 1)"]
    assert wrong == []
    with pytest.raises(WeightsError, match=r"has no config.json of transformers"):
        layout(Checkpoint(tensors=golden.tensors, file="bare.pth"))
