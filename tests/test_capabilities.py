"""What a model can do is declared by its specs, and holds."""

from __future__ import annotations

import pytest

from segzoo import zoo
from segzoo.cli import facts
from segzoo.errors import PluginError, UsageError
from segzoo.specs import CAPABILITIES, DecoderSpec, ModelSpec
from segzoo.testing import capabilities

#: Models of several families, narrow where an option allows it, that are held against their specs.
FAMILIES = {
    "nested": {"encoder": {"width": 4, "depth": 3}},
    "residual": {"encoder": {"width": 4, "depth": 3}},
    "linear/xcit_nano_12_p16_224": {"encoder": {"layers": [0]}},
    "smp-fpn": {"encoder_name": "resnet18"},
    "transformers": {
        "config": {
            "model_type": "segformer",
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [4, 8, 12, 16],
            "num_attention_heads": [1, 1, 2, 2],
            "decoder_hidden_size": 8,
        }
    },
}
#: What of each is tried: exporting takes most of the time, and each plug-in's own checks export its networks.
TRIED = [
    ("nested", ("compile", "engines")),
    ("residual", ("onnx",)),
    ("linear/xcit_nano_12_p16_224", ("export",)),
    ("smp-fpn", ("bands", "one-image", "engines")),
    ("transformers", ("odd-sizes", "one-pixel", "pickle")),
]
QUICK = ("odd-sizes", "one-pixel", "bands", "one-image", "pickle")


@pytest.mark.medium
def test_a_small_unet_can_do_all_that_is_quick_to_try():
    assert set(capabilities.check_capabilities("unet", only=QUICK, width=4).values()) == {""}


@pytest.mark.slow
def test_a_small_unet_can_do_everything():
    found = capabilities.check_capabilities("unet", backend="aot_eager", width=4, depth=3)
    assert found == dict.fromkeys(CAPABILITIES, "")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "only"), TRIED)
def test_models_of_several_families_can_do_what_their_specs_say_and_nothing_else(name, only):
    capabilities.check_capabilities(name, only=only, backend="aot_eager", **FAMILIES[name])


@pytest.mark.slow
def test_every_limit_says_why_and_what_to_use_instead():
    entries = [
        entry for kind in ("models", "encoders", "decoders") for _, entry in zoo.registry(kind).items()
    ]
    entries += [zoo.find_encoder(name) for name in ("xcit_nano_12_p16_224", "samvit_base_patch16")]
    limits = [(entry.full_name, one, why) for entry in entries for one, why in entry.spec.limits.items()]
    assert limits
    for name, one, why in limits:
        reason, _, instead = why.partition(": ")
        assert len(reason.split()) > 4, f"{name}: {one}: say why: {why}"
        assert len(instead.split()) > 2, f"{name}: {one}: say after a colon what to use instead: {why}"


def test_a_limit_that_is_missing_or_is_none_is_found(monkeypatch):
    with pytest.raises(PluginError, match="fails at any number of bands"):
        capabilities.check_capabilities("unet", only=("bands",), width=-1)
    monkeypatch.setattr(zoo, "limits_of", lambda found: {"bands": "because"})
    with pytest.raises(PluginError, match="can do any number of bands: take 'bands' out"):
        capabilities.check_capabilities("unet", only=("bands",), width=4)


def test_a_limit_names_a_capability_and_a_reason():
    with pytest.raises(UsageError, match="no capability is named 'eport'; did you mean 'export'"):
        ModelSpec(name="mine", factory="a.b:c", limits={"eport": "it branches on the size"})
    with pytest.raises(UsageError, match="must give a reason"):
        DecoderSpec(name="mine", factory="a.b:c", limits={"export": " "})


def test_a_pair_has_the_limits_of_its_parts(monkeypatch):
    found = zoo.find_model("unet-vgg")
    assert zoo.limits_of(found) == {}
    decoder = zoo.find_model("unet/plain").decoder.spec
    monkeypatch.setitem(vars(decoder), "limits", {"onnx": "why"})
    assert zoo.limits_of(zoo.find_model("unet/plain")) == {"onnx": "why"}
    assert zoo.limits_of(found) == {"onnx": "why"}
    told = facts.facts(found)
    assert told["cannot"] == {CAPABILITIES["onnx"]: "why"}
    assert "one pixel" in told["can"]
    assert "onnx" not in told["can"]
